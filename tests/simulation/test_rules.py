"""The rules accept histories that keep every truth, and each finds the one truth that a history breaks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.history import Body
from tests.simulation.rules import RULES, judge
from tests.simulation.stories import FARE, Story, digest

RIDES = st.lists(
    st.tuples(
        st.sampled_from(["ride", "unserved", "cancelled", "called_off", "contested"]),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    max_size=12,
)


def told(rides: list[tuple[str, int, int]]) -> Story:
    """A story of rides of all kinds by a few people, one after the other."""
    story = Story()
    for kind, rider, driver in rides:
        rider_id, driver_id = f"rid_{rider}", f"drv_{driver}"
        if kind == "ride":
            story.ride(rider_id, driver_id)
        elif kind == "unserved":
            story.unserved(rider_id)
        elif kind == "called_off":
            story.unserved(rider_id, "cancelled")
        elif kind == "cancelled":
            story.step(story.assigned(rider_id, driver_id), "cancel_trip")
        else:
            story.step(story.assigned(rider_id, driver_id, refused=f"drv_{(driver + 1) % 3}"), "cancel_trip")
    return story


@given(RIDES)
def test_a_history_that_keeps_every_truth_is_accepted(rides: list[tuple[str, int, int]]) -> None:
    story = told(rides)
    assert judge(story.history.records, story.facts) == []


def lose_the_request(story: Story) -> None:
    del story.facts.requests["req_1"]


def give_the_request_to_another(story: Story) -> None:
    story.facts.requests["req_1"]["rider_id"] = "rid_9"


def leave_the_request_open(story: Story) -> None:
    story.facts.requests["req_1"] |= {"status": "offered", "trip_id": None}


def tell_a_second_winner(story: Story) -> None:
    story.history.news("drv_9", "trip", **{**trip_of(story), "trip_id": "trp_9", "driver_id": "drv_9"})


def find_a_second_cab(story: Story) -> None:
    story.facts.events.append(
        {
            "type": "CabFound", "id": "x", "state": "published", "request_id": "req_1", "trip_id": "trp_9",
            "driver_id": "drv_9",
        }
    )  # fmt: skip


def tell_the_rider_that_nobody_came(story: Story) -> None:
    news = {"request_id": "req_1", "rider_id": "rid_1", "status": "expired", "trip_id": None}
    story.history.news("rid_1", "request", **news)


def tell_the_rider_nothing(story: Story) -> None:
    story.history.records = [
        record for record in story.history.records if record.who != "rid_1" or record.what == "book"
    ]


def make_two_requests_of_a_key(story: Story) -> None:
    call = story.history.invoke("rid_1", "book", key="key_1")
    call.ok(request_id="req_2", rider_id="rid_2", status="searching", trip_id=None)


def answer_two_keys_with_a_request(story: Story) -> None:
    call = story.history.invoke("rid_1", "book", key="key_9")
    call.ok(request_id="req_1", rider_id="rid_1", status="searching", trip_id=None)


def make_a_request_of_a_refused_booking(story: Story) -> None:
    story.history.invoke("rid_3", "book", key="key_9").fail(code="rider_busy")
    story.facts.events.append(
        {"type": "RideRequested", "id": "y", "state": "published", "request_id": "req_9", "rider_id": "rid_3"}
    )


def let_a_rider_ask_before_the_last_ride_is_over(story: Story) -> None:
    ended = next(event for event in story.facts.events if event["type"] == "TripCompleted")
    second = next(event for event in story.facts.events[1:] if event["type"] == "RideRequested")
    second["rider_id"] = "rid_1"
    story.facts.events.remove(ended)
    story.facts.events.append(ended)


def let_clients_see_a_rider_ride_twice_at_once(story: Story) -> None:
    first, second = story.assigned("rid_5", "drv_5"), story.assigned("rid_6", "drv_6")
    for trip_id in (first, second):
        story.facts.requests[story.facts.trips[trip_id]["request_id"]]["rider_id"] = "rid_5"
        story.step(trip_id, "cancel_trip")
    story.facts.events.clear()  # which show nothing of it


def lose_an_accepted_trip(story: Story) -> None:
    del story.facts.trips["trp_1"]


def give_the_trip_to_another_driver(story: Story) -> None:
    story.facts.trips["trp_1"]["driver_id"] = "drv_2"


def open_two_trips_for_a_request(story: Story) -> None:
    story.facts.trips["trp_9"] = {**story.facts.trips["trp_1"], "trip_id": "trp_9"}


def give_the_trip_to_who_was_refused(story: Story) -> None:
    call = story.history.invoke("drv_1", "accept", offer_id="off_8", request_id="req_2")
    call.fail(code="offer_expired")
    story.facts.trips["trp_9"] = {**story.facts.trips["trp_1"], "trip_id": "trp_9", "request_id": "req_2"}


def leave_an_offer_open(story: Story) -> None:
    story.facts.events = [event for event in story.facts.events if event["type"] != "OfferAccepted"]


def end_an_offer_twice(story: Story) -> None:
    story.facts.events.append(
        {"type": "OfferEnded", "id": "z", "state": "published", "offer_id": "off_1", "request_id": "req_1"}
    )


def show_an_offer_that_was_never_made(story: Story) -> None:
    story.history.news("drv_1", "offer", offer_id="off_9", request_id="req_1")


def assign_a_trip_before_the_last_one_is_over(story: Story) -> None:
    assigned = next(event for event in story.facts.events if event["type"] == "TripAssigned")
    story.facts.events.insert(story.facts.events.index(assigned), {**assigned, "id": "u", "trip_id": "trp_9"})


def let_clients_see_a_driver_on_two_trips_at_once(story: Story) -> None:
    first, second = story.assigned("rid_5", "drv_5"), story.assigned("rid_6", "drv_6")
    story.facts.trips[second]["driver_id"] = "drv_5"
    story.step(first, "cancel_trip")
    story.step(second, "cancel_trip")
    story.facts.events.clear()  # which show nothing of it


def take_a_told_step_back(story: Story) -> None:
    story.facts.trips["trp_1"]["started_at"] = None


def leave_a_trip_under_way(story: Story) -> None:
    story.facts.trips["trp_1"] |= {"status": "riding", "completed_at": None}


def complete_and_cancel_a_trip(story: Story) -> None:
    story.facts.trips["trp_1"]["cancelled_at"] = story.facts.trips["trp_1"]["completed_at"]


def show_a_trip_to_a_stranger(story: Story) -> None:
    story.history.news("rid_8", "trip", **trip_of(story))


def leave_a_trip_without_a_fare(story: Story) -> None:
    story.facts.trips["trp_1"] |= {"fare": None, "events": []}


def tell_another_fare(story: Story) -> None:
    story.history.news("rid_1", "trip", **{**trip_of(story), "fare": {**FARE, "amount_minor": 1}})


def price_a_trip_twice(story: Story) -> None:
    story.facts.trips["trp_1"]["events"] *= 2


def lose_an_archived_trip(story: Story) -> None:
    story.facts.rides_of["rid_1"].remove("trp_1")


def double_an_archived_trip(story: Story) -> None:
    story.facts.rides_of["drv_1"].append("trp_1")


def lose_an_acked_ping(story: Story) -> None:
    del story.facts.trails["trp_1"][1]


def move_an_acked_ping(story: Story) -> None:
    spot = story.facts.trails["trp_1"][1]
    story.facts.trails["trp_1"][1] = spot._replace(lat=spot.lat + 0.01)


def say_nothing_of_a_search(story: Story) -> None:
    story.facts.events = [event for event in story.facts.events if event["type"] not in ("CabFound", "NoCabFound")]


def say_that_a_search_ended_otherwise(story: Story) -> None:
    event = next(event for event in story.facts.events if event["type"] == "NoCabFound")
    event["reason"] = "expired"


def keep_an_event_back(story: Story) -> None:
    story.facts.events[0]["state"] = "waiting"


def give_two_events_an_id(story: Story) -> None:
    story.facts.events[1]["id"] = story.facts.events[0]["id"]


def speak_of_a_step_that_never_was(story: Story) -> None:
    story.facts.events.append(
        {
            "type": "TripCancelled",
            "id": "w",
            "state": "published",
            "trip_id": "trp_1",
            "request_id": "req_1",
            "driver_id": "drv_1",
        }
    )


def speak_of_a_request_that_never_was(story: Story) -> None:
    story.facts.events.append(
        {"type": "RideRequested", "id": "v", "state": "published", "request_id": "req_9", "rider_id": "rid_1"}
    )


def deliver_an_event_that_was_rolled_back(story: Story) -> None:
    assert story.facts.delivered is not None
    story.facts.delivered.add("ghost")


def deliver_an_event_never(story: Story) -> None:
    assert story.facts.delivered is not None
    story.facts.delivered.remove(story.facts.events[0]["id"])


BROKEN: dict[Callable[[Story], None], str] = {
    lose_the_request: "an_acknowledged_booking_ends",
    give_the_request_to_another: "an_acknowledged_booking_ends",
    leave_the_request_open: "an_acknowledged_booking_ends",
    tell_a_second_winner: "a_request_has_one_winner",
    find_a_second_cab: "a_request_has_one_winner",
    tell_the_rider_that_nobody_came: "its_rider_is_told_the_end",
    tell_the_rider_nothing: "its_rider_is_told_the_end",
    make_two_requests_of_a_key: "a_key_makes_one_request",
    answer_two_keys_with_a_request: "a_key_makes_one_request",
    make_a_request_of_a_refused_booking: "a_key_makes_one_request",
    let_a_rider_ask_before_the_last_ride_is_over: "a_rider_has_one_ride_at_a_time",
    let_clients_see_a_rider_ride_twice_at_once: "a_rider_has_one_ride_at_a_time",
    lose_an_accepted_trip: "an_accepted_offer_makes_one_trip",
    give_the_trip_to_another_driver: "an_accepted_offer_makes_one_trip",
    open_two_trips_for_a_request: "an_accepted_offer_makes_one_trip",
    give_the_trip_to_who_was_refused: "a_refused_accept_makes_none",
    leave_an_offer_open: "every_offer_ends",
    end_an_offer_twice: "every_offer_ends",
    show_an_offer_that_was_never_made: "every_offer_ends",
    assign_a_trip_before_the_last_one_is_over: "a_driver_has_one_trip_at_a_time",
    let_clients_see_a_driver_on_two_trips_at_once: "a_driver_has_one_trip_at_a_time",
    take_a_told_step_back: "told_steps_stand",
    leave_a_trip_under_way: "told_steps_stand",
    complete_and_cancel_a_trip: "told_steps_stand",
    show_a_trip_to_a_stranger: "trips_are_told_to_their_people_alone",
    leave_a_trip_without_a_fare: "a_completed_trip_is_priced_once",
    tell_another_fare: "a_completed_trip_is_priced_once",
    price_a_trip_twice: "a_completed_trip_is_priced_once",
    lose_an_archived_trip: "history_lists_every_trip_once",
    double_an_archived_trip: "history_lists_every_trip_once",
    lose_an_acked_ping: "acked_pings_of_a_trip_are_in_its_trail",
    move_an_acked_ping: "acked_pings_of_a_trip_are_in_its_trail",
    say_nothing_of_a_search: "a_search_ends_in_one_event",
    say_that_a_search_ended_otherwise: "a_search_ends_in_one_event",
    keep_an_event_back: "events_tell_what_is_true",
    give_two_events_an_id: "events_tell_what_is_true",
    speak_of_a_step_that_never_was: "events_tell_what_is_true",
    speak_of_a_request_that_never_was: "events_tell_what_is_true",
    deliver_an_event_that_was_rolled_back: "events_on_the_bus_are_those_that_were_committed",
    deliver_an_event_never: "events_on_the_bus_are_those_that_were_committed",
}


def trip_of(story: Story) -> Body:
    return digest(story.facts.trips["trp_1"])


@pytest.mark.parametrize("breaks", BROKEN, ids=lambda breaks: breaks.__name__)
def test_a_broken_truth_is_found(breaks: Callable[[Story], None]) -> None:
    story = told([("ride", 1, 1), ("unserved", 2, 2)])
    breaks(story)
    assert BROKEN[breaks] in {violation.rule for violation in judge(story.history.records, story.facts)}


def test_every_rule_has_a_history_that_it_rejects() -> None:
    assert {rule.__name__ for rule in RULES} == set(BROKEN.values())


@given(RIDES, st.data())
def test_any_acked_ping_that_is_lost_is_found(rides: list[tuple[str, int, int]], data: st.DataObject) -> None:
    story = told([*rides, ("ride", 1, 1)])
    trip_id = data.draw(st.sampled_from([key for key, trail in story.facts.trails.items() if trail]))
    trail = story.facts.trails[trip_id]
    trail.pop(data.draw(st.integers(0, len(trail) - 1)))
    assert [violation.about for violation in judge(story.history.records, story.facts)] == [trip_id]


def test_a_ping_without_an_ack_may_be_lost() -> None:
    story = Story()
    trip_id = story.assigned("rid_1", "drv_1")
    story.ping(trip_id, ack=False)
    story.step(trip_id, "cancel_trip")
    assert judge(story.history.records, story.facts) == []


def test_a_ping_that_is_acked_after_the_trip_may_be_missing_from_it() -> None:
    story = Story()
    trip_id = story.assigned("rid_1", "drv_1")
    seq = story.ping(trip_id, ack=False)
    story.step(trip_id, "cancel_trip")
    story.history.news("drv_1", "ack", seq=seq)
    assert judge(story.history.records, story.facts) == []
