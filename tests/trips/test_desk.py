"""The desk's steps on SQLite: who may do what, what leaves with the commit, and what repeats change."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import Conflict, Forbidden, InvalidInput, NotFound
from core.events import TripArrived, TripAssigned, TripCancelled, TripCompleted, TripRated, TripStarted
from maps.segments import region_of
from runtime.telemetry import trip_id
from tests.trips.world import QUOTE, SETTINGS, Audience, World
from trips.model import By, Trip
from trips.service import DeskPorts, TripDesk
from trips.views import trip_body

RIDER, DRIVER, OPS = By("rider", "rdr_1"), By("driver", "drv_1"), By("ops", "ops_1")


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10_000:04d}"


async def test_ride_from_accept_to_dropoff(world: World) -> None:
    trip = await world.ride(quote_id="quo_1")
    assert (trip.status, trip.quote, trip.active) == ("completed", QUOTE, False)
    assert await world.desk.get(trip.trip_id, RIDER) == trip
    assert [type(event) for event in await world.published()] == [TripAssigned, TripArrived, TripStarted, TripCompleted]
    assert {event.region for event in await world.published()} == {region_of(trip.segment)}
    assert world.requests.ended == ["req_1"]
    assert [status for _, status in world.audience.told] == ["arrived", "riding", "completed"]
    assert await world.desk.active_of_driver("drv_1") is None
    assert await world.desk.active_of_rider("rdr_1") is None


async def test_what_is_logged_during_a_step_carries_the_trip(world: World) -> None:
    at_hand: list[str | None] = []

    class Logs(Audience):
        async def changed(self, trip: Trip) -> None:
            at_hand.append(trip_id.get())

    ports = DeskPorts(world.transactions, world.live, world.history, Logs())
    desk, trip = TripDesk(ports, world.clock, SETTINGS), await world.open()
    await desk.arrive("drv_1", trip.trip_id)
    assert at_hand == [trip.trip_id]
    with pytest.raises(Conflict):
        await desk.complete("drv_1", trip.trip_id)
    assert trip_id.get() is None


async def test_active_trip_is_found_by_its_driver_and_its_rider(world: World) -> None:
    trip = await world.open()
    assert await world.desk.active_of_driver("drv_1") == trip
    assert await world.desk.active_of_rider("rdr_1") == trip
    assert await world.desk.active_of_rider("drv_1") is None


@pytest.mark.parametrize(
    ("n", "rider", "driver", "code"),
    [
        (2, "rdr_2", "drv_1", "driver_busy"),
        (2, "rdr_1", "drv_2", "rider_busy"),
        (1, "rdr_2", "drv_2", "already_assigned"),
    ],
)
async def test_nobody_is_on_two_trips(world: World, n: int, rider: str, driver: str, code: str) -> None:
    await world.open()
    with pytest.raises(Conflict) as refused:
        await world.open(n, rider, driver)
    assert refused.value.code == code
    assert len(await world.published()) == 1


async def test_of_many_accepts_at_once_one_gets_the_driver(world: World) -> None:
    opened = await asyncio.gather(*(world.open(n, f"rdr_{n}", "drv_1") for n in range(8)), return_exceptions=True)
    refused = [each for each in opened if isinstance(each, Conflict)]
    assert len(refused) == 7
    assert {each.code for each in refused} == {"driver_busy"}


async def test_driver_and_rider_are_free_for_the_next_trip_after_the_end(world: World) -> None:
    await world.ride(1)
    second = await world.open(2)
    await world.desk.cancel(second.trip_id, RIDER)
    third = await world.open(3)
    assert await world.desk.active_of_driver("drv_1") == third


async def test_repeated_steps_answer_the_same_and_tell_nobody_twice(world: World) -> None:
    trip = await world.open()
    first = [
        await world.desk.arrive("drv_1", trip.trip_id),
        await world.desk.board("drv_1", trip.trip_id, trip.start_code),
        await world.desk.complete("drv_1", trip.trip_id),
    ]
    done = first[-1]
    assert await world.desk.arrive("drv_1", trip.trip_id) == done
    assert await world.desk.board("drv_1", trip.trip_id, trip.start_code) == done
    assert await world.desk.complete("drv_1", trip.trip_id) == done
    assert len(await world.published()) == 4
    assert len(world.audience.told) == 3
    assert world.requests.ended == ["req_1"]


async def test_same_step_twice_at_once_happens_once(world: World) -> None:
    trip = await world.open()
    both = await asyncio.gather(*(world.desk.arrive("drv_1", trip.trip_id) for _ in range(2)))
    assert both[0] == both[1]
    assert len(await world.published()) == 2


async def test_steps_out_of_order_are_refused(world: World) -> None:
    trip = await world.open()
    for step in (
        world.desk.board("drv_1", trip.trip_id, trip.start_code),
        world.desk.complete("drv_1", trip.trip_id),
    ):
        with pytest.raises(Conflict) as refused:
            await step
        assert refused.value.code == "wrong_status"
    assert await world.desk.get(trip.trip_id, OPS) == trip


async def test_foreign_trip_looks_unknown(world: World) -> None:
    trip = await world.open()
    for attempt in (
        world.desk.arrive("drv_2", trip.trip_id),
        world.desk.cancel(trip.trip_id, By("rider", "rdr_2")),
        world.desk.cancel(trip.trip_id, By("driver", "rdr_1")),
        world.desk.get(trip.trip_id, By("rider", "rdr_2")),
        world.desk.rate(trip.trip_id, By("driver", "drv_2"), 5),
        world.desk.arrive("drv_1", "trip_none"),
    ):
        with pytest.raises(NotFound) as refused:
            await attempt
        assert refused.value.code == "not_found"


async def test_wrong_code_is_counted_for_good_until_the_trip_is_locked(world: World) -> None:
    trip = await world.open()
    await world.desk.arrive("drv_1", trip.trip_id)
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(InvalidInput, match=f"{left} tries left") as refused:
            await world.desk.board("drv_1", trip.trip_id, wrong(trip.start_code))
        assert refused.value.code == "wrong_start_code"
    with pytest.raises(Conflict) as locked:
        await world.desk.board("drv_1", trip.trip_id, trip.start_code)
    assert locked.value.code == "code_locked"
    assert (await world.desk.get(trip.trip_id, OPS)).code_tries == 5
    assert len(await world.published()) == 2  # assigned and arrived: a wrong code is no event
    assert [status for _, status in world.audience.told] == ["arrived"]
    assert (await world.desk.cancel(trip.trip_id, DRIVER, "code")).status == "cancelled"


@pytest.mark.parametrize("by", [RIDER, DRIVER, OPS])
async def test_cancel_ends_the_request_and_says_who_and_why(world: World, by: By) -> None:
    trip = await world.open()
    cancelled = await world.desk.cancel(trip.trip_id, by, "changed plans")
    assert (cancelled.status, cancelled.cancelled_by, cancelled.cancel_reason) == (
        "cancelled",
        by.party,
        "changed plans",
    )
    event = (await world.published())[-1]
    assert isinstance(event, TripCancelled)
    assert (event.by, event.reason, event.id) == (by.party, "changed plans", f"trip-cancelled:{trip.trip_id}")
    assert world.requests.ended == ["req_1"]
    assert await world.desk.cancel(trip.trip_id, RIDER, "again") == cancelled
    assert len(await world.published()) == 2


async def test_only_ops_cancel_a_ride_under_way(world: World) -> None:
    trip = await world.open()
    await world.desk.arrive("drv_1", trip.trip_id)
    await world.desk.board("drv_1", trip.trip_id, trip.start_code)
    for by in (RIDER, DRIVER):
        with pytest.raises(Conflict):
            await world.desk.cancel(trip.trip_id, by)
    assert (await world.desk.cancel(trip.trip_id, OPS, "accident")).status == "cancelled"


async def test_step_happens_whole_or_not_at_all(world: World) -> None:
    trip = await world.open()
    world.requests.fails = True
    with pytest.raises(RuntimeError):
        await world.desk.cancel(trip.trip_id, RIDER)
    assert await world.desk.get(trip.trip_id, RIDER) == trip
    assert len(await world.published()) == 1
    assert world.audience.told == []


async def test_each_party_rates_the_other_once(world: World) -> None:
    trip = await world.ride()
    by_rider = await world.desk.rate(trip.trip_id, RIDER, 5)
    await world.desk.rate(trip.trip_id, DRIVER, 4)
    assert await world.desk.rate(trip.trip_id, RIDER, 5) == by_rider
    with pytest.raises(Conflict) as refused:
        await world.desk.rate(trip.trip_id, RIDER, 1)
    assert refused.value.code == "already_rated"
    assert await told_ratings(world) == [("driver", "drv_1", 5), ("rider", "rdr_1", 4)]


async def test_archived_trip_is_rated_too(world: World) -> None:
    trip = await world.ride()
    await world.price(trip)
    assert (await world.archiver.run_once()).moved == 1
    await world.desk.rate(trip.trip_id, RIDER, 5)
    with pytest.raises(Conflict):
        await world.desk.rate(trip.trip_id, RIDER, 2)
    assert await told_ratings(world) == [("driver", "drv_1", 5)]


async def told_ratings(world: World) -> list[tuple[str, str, int]]:
    """What leaves for the accounts."""
    rated = [event for event in await world.published() if isinstance(event, TripRated)]
    return [(event.about, event.about_id, event.stars) for event in rated]


async def test_rating_needs_a_completed_trip_real_stars_and_a_party(world: World) -> None:
    trip = await world.open()
    with pytest.raises(Conflict) as early:
        await world.desk.rate(trip.trip_id, RIDER, 5)
    assert early.value.code == "wrong_status"
    for stars in (0, 6, True, 4.5):
        with pytest.raises(InvalidInput) as refused:
            await world.desk.rate(trip.trip_id, RIDER, stars)  # type: ignore[arg-type]
        assert [error.field for error in refused.value.errors] == ["stars"]
    with pytest.raises(Forbidden):
        await world.desk.rate(trip.trip_id, OPS, 5)


async def test_archived_trip_answers_late_repeats_and_refuses_new_steps(world: World) -> None:
    trip = await world.price(await world.ride())
    await world.archiver.run_once()
    assert await world.desk.complete("drv_1", trip.trip_id) == trip
    with pytest.raises(Conflict):
        await world.desk.cancel(trip.trip_id, RIDER)
    with pytest.raises(NotFound):
        await world.desk.complete("drv_2", trip.trip_id)


async def test_start_code_is_shown_to_the_rider_alone(world: World) -> None:
    trip = await world.open(quote_id="quo_1")
    assert trip_body(trip, "rider")["start_code"] == trip.start_code
    assert "start_code" not in trip_body(trip, "driver")
    assert "start_code" not in trip_body(trip, "ops")
    body = trip_body(trip, "driver")
    assert body["vehicle"] == {"plate": "ABC123", "class": "standard", "seats": 4}
    assert body["driver"] == {"driver_id": "drv_1", "name": "Dora", "rating": 4.8}
    assert (body["fare"], body["quoted_fare"]) == (None, {"amount_minor": 20_000, "currency": "SEK"})
    assert [event["type"] for event in body["events"]] == ["assigned"]


async def test_the_same_stars_given_twice_at_once_answer_the_same(world: World) -> None:
    trip = await world.ride()
    given = await asyncio.gather(*(world.desk.rate(trip.trip_id, RIDER, 4) for _ in range(6)))
    assert {(rating.stars, rating.about_id) for rating in given} == {(4, "drv_1")}
    assert await told_ratings(world) == [("driver", "drv_1", 4)]
