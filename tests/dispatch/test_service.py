from __future__ import annotations

import asyncio

import msgspec
import pytest

from core.clock import rfc3339
from core.errors import Conflict, Forbidden, InvalidInput, NotFound, TooMany, Unavailable
from core.events import CabFound, NoCabFound, OfferAccepted, OffersMade, RideRequested, search_ended_id
from core.geo import LatLng
from core.money import Money
from dispatch.model import Quoted, RequestRide, SupplyRows
from dispatch.views import request_body
from tests.dispatch.conftest import MakeWorld
from tests.dispatch.world import AIRPORT, CENTRE, ON_TRIP, World, north_of, supply_rows


async def test_a_request_is_durable_and_announced_when_it_is_acknowledged(world: World) -> None:
    request = await world.desk.request_ride(RequestRide(rider_id="rdr_1", pickup=CENTRE, dropoff=AIRPORT))
    world.request_ids.append(request.request_id)
    assert request.status == "searching"
    assert await world.store.request(request.request_id) is not None
    (event,) = await world.events_of(RideRequested)
    assert (event.request_id, event.segment, event.mode) == (request.request_id, request.segment, "broadcast")


async def test_broadcast_asks_several_and_the_first_to_accept_wins(world: World) -> None:
    world.drivers("a", "b", "c", "d")
    request = await world.ask()
    assert [driver for driver, _ in world.delivery.offers()] == ["a", "b", "c"]
    offer = await world.offer_to(request, "b")
    accepted = await world.desk.accept("b", offer.offer_id)
    await world.settled()

    after = await world.now(request)
    assert (after.status, after.trip_id) == ("assigned", accepted.trip_id)
    assert await world.by_driver(request) == {"a": "accepted_elsewhere", "b": "accepted", "c": "accepted_elsewhere"}
    assert world.delivery.closed() == {"a": "accepted_elsewhere", "c": "accepted_elsewhere"}
    assert world.delivery.statuses("rdr_1") == ["searching", "offered", "assigned"]
    (won,) = await world.events_of(OfferAccepted)
    (found,) = await world.events_of(CabFound)
    assert (won.offer_id, found.driver_id, found.trip_id) == (offer.offer_id, "b", accepted.trip_id)
    assert (found.id, found.supply_seen) == (search_ended_id(request.request_id), 4)
    assert len(world.desk.searches) == 0


async def test_a_driver_whose_trip_ended_at_once_is_soon_asked_again(world: World) -> None:
    world.drivers("a")
    request = await world.ask()
    await world.desk.accept("a", (await world.offer_to(request, "a")).offer_id)
    again = await world.ask("rdr_2")
    assert await world.by_driver(again) == {}, "the supply may not know yet that the driver is busy"
    await world.advance(8)
    assert await world.by_driver(again) == {"a": "open"}


async def test_best_asks_one_after_the_other(world: World) -> None:
    world.drivers("a", "b")
    request = await world.ask(rider_class="premium")
    assert await world.by_driver(request) == {"a": "open"}
    await world.desk.decline("a", (await world.offer_to(request, "a")).offer_id, "going home")
    await world.settled()
    assert await world.by_driver(request) == {"a": "declined", "b": "open"}
    assert (await world.offer_to(request, "a")).reason == "going home"
    assert "a" not in world.delivery.closed()


async def test_an_offer_that_expires_goes_to_the_next_driver_at_once(world: World) -> None:
    world.drivers("a", "b")
    request = await world.ask(rider_class="premium")
    await world.advance(12)
    assert await world.by_driver(request) == {"a": "expired", "b": "open"}
    assert world.delivery.closed() == {"a": "expired"}


async def test_a_declined_place_of_a_broadcast_is_filled_without_waiting(world: World) -> None:
    world.drivers("a", "b", "c", "d")
    request = await world.ask()
    await world.desk.decline("a", (await world.offer_to(request, "a")).offer_id, None)
    await world.settled()
    assert await world.by_driver(request) == {"a": "declined", "b": "open", "c": "open", "d": "open"}


async def test_an_offer_that_cannot_be_delivered_goes_to_the_next_driver_at_once(world: World) -> None:
    world.drivers("a", "b")
    world.delivery.away = {"a"}
    request = await world.ask(rider_class="premium")
    assert await world.by_driver(request) == {"a": "undelivered", "b": "open"}


async def test_a_driver_who_could_not_be_reached_is_asked_again_after_pinging_again(world: World) -> None:
    world.drivers("a")
    world.delivery.away = {"a"}
    request = await world.ask(rider_class="premium")
    world.supply.drivers["a"]["seen_at"] = world.clock.now()
    await world.advance(6)
    assert await world.by_driver(request) == {"a": "undelivered"}
    del world.supply.drivers["a"]["seen_at"]
    world.delivery.away = set()
    await world.advance(2)
    assert [offer.status for offer in await world.offers(request)] == ["undelivered", "open"]


async def test_who_declined_is_not_asked_again(world: World) -> None:
    world.drivers("a")
    request = await world.ask()
    await world.desk.decline("a", (await world.offer_to(request, "a")).offer_id, None)
    await world.advance(120)
    assert len(await world.offers(request)) == 1
    assert (await world.now(request)).status == "expired"


async def test_a_driver_who_appears_later_is_found(world: World) -> None:
    request = await world.ask()
    await world.advance(10)
    world.drivers("a")
    await world.advance(2)
    assert await world.by_driver(request) == {"a": "open"}


async def test_no_driver_until_expiry_ends_no_driver(world: World) -> None:
    world.supply.add("busy", north_of(CENTRE, 100), flags=ON_TRIP)
    world.supply.add("far", north_of(CENTRE, 30_000))
    request = await world.ask()
    await world.advance(119)
    assert (await world.now(request)).status == "searching"
    await world.advance(1)
    after = await world.now(request)
    assert after.status == "no_driver"
    assert msgspec.json.decode(after.counts)["busy"] == 1
    (event,) = await world.events_of(NoCabFound)
    assert (event.reason, event.supply_seen, event.waited_s) == ("no_driver", 0, 120.0)
    assert world.delivery.statuses("rdr_1") == ["searching", "no_driver"]
    assert len(world.desk.searches) == 0


async def test_offers_that_nobody_accepts_end_expired(world: World) -> None:
    world.drivers("a", "b")
    request = await world.ask()
    await world.advance(120)
    assert (await world.now(request)).status == "expired"
    (event,) = await world.events_of(NoCabFound)
    assert (event.reason, event.supply_seen) == ("expired", 2)
    await world.ask()


async def test_an_offer_never_outlives_its_request(world: World) -> None:
    request = await world.ask()
    await world.advance(112)
    world.drivers("a")
    await world.advance(2)
    (offer,) = await world.offers(request)
    assert offer.expires_at == request.expires_at
    await world.advance(6)
    assert await world.by_driver(request) == {"a": "expired"}


async def test_a_driver_holds_one_offer_at_a_time(world: World) -> None:
    world.drivers("a", "b")
    first, second, third = [await world.ask(f"rdr_{n}", rider_class="premium") for n in range(3)]
    assert [await world.by_driver(request) for request in (first, second, third)] == [{"a": "open"}, {"b": "open"}, {}]
    await world.desk.decline("a", (await world.offer_to(first, "a")).offer_id, None)
    await world.advance(world.settings.dispatch.cool_down_s + 2)
    assert await world.by_driver(third) == {"a": "open"}


async def test_a_broadcast_goes_out_in_waves_while_nobody_accepts(world: World) -> None:
    world.drivers(*"abcdefgh")
    request = await world.ask()
    assert sorted(await world.by_driver(request)) == ["a", "b", "c"]
    await world.advance(5)
    assert sorted(await world.by_driver(request)) == ["a", "b", "c"]
    await world.advance(1)
    assert sorted(await world.by_driver(request)) == ["a", "b", "c", "d", "e", "f"]
    await world.advance(5)
    assert len(await world.by_driver(request)) == 6, "no more than parallel_offers at a time"
    await world.advance(1)  # the first wave has run out
    assert await world.by_driver(request) == dict.fromkeys("abc", "expired") | dict.fromkeys("defgh", "open")
    await world.desk.accept("e", (await world.offer_to(request, "e")).offer_id)
    await world.settled()
    assert set((await world.by_driver(request)).values()) == {"expired", "accepted", "accepted_elsewhere"}


async def test_a_wave_goes_out_after_a_restart_too(world: World) -> None:
    world.drivers(*"abcdef")
    request = await world.ask()
    await world.advance(3)
    await world.restart()
    await world.advance(3)
    assert len(await world.by_driver(request)) == 6


async def test_requests_at_the_same_moment_do_not_share_a_driver(world: World) -> None:
    world.drivers(*"abcdef")
    asks = [RequestRide(rider_id=f"rdr_{n}", pickup=CENTRE, dropoff=AIRPORT, rider_class="premium") for n in range(6)]
    requests = await asyncio.gather(*(world.desk.request_ride(ask) for ask in asks))
    world.request_ids += [request.request_id for request in requests]
    await world.settled()
    await world.advance(2)
    asked = [await world.by_driver(request) for request in requests]
    assert sorted(driver for each in asked for driver in each) == list("abcdef")


async def test_accept_by_the_winner_may_be_repeated(world: World) -> None:
    world.drivers("a")
    request = await world.ask()
    offer = await world.offer_to(request, "a")
    assert await world.desk.accept("a", offer.offer_id) == await world.desk.accept("a", offer.offer_id)
    assert len(world.trips.opened) == 1


async def test_accept_after_the_deadline_is_refused(world: World) -> None:
    world.drivers("a")
    request = await world.ask()
    offer = await world.offer_to(request, "a")
    await world.advance(11)
    await world.clock.advance(1, settle_s=0)
    with pytest.raises(Conflict) as refused:
        await world.desk.accept("a", offer.offer_id)
    assert refused.value.code == "offer_expired"
    await world.settled()
    with pytest.raises(Conflict) as refused:
        await world.desk.decline("a", offer.offer_id, None)
    assert refused.value.code == "offer_expired"


async def test_unknown_and_foreign_offers_look_the_same(world: World) -> None:
    world.drivers("a")
    request = await world.ask()
    offer = await world.offer_to(request, "a")
    for driver, offer_id in (("b", offer.offer_id), ("a", "off_unknown")):
        with pytest.raises(NotFound):
            await world.desk.accept(driver, offer_id)
        with pytest.raises(NotFound):
            await world.desk.decline(driver, offer_id, None)


async def test_a_driver_on_another_trip_cannot_accept_and_the_search_goes_on(world: World) -> None:
    world.drivers("a", "b")
    request = await world.ask(rider_class="premium")
    world.trips.active["a"] = "trip_elsewhere"
    with pytest.raises(Conflict) as refused:
        await world.desk.accept("a", (await world.offer_to(request, "a")).offer_id)
    assert refused.value.code == "driver_busy"
    await world.settled()
    assert await world.by_driver(request) == {"a": "undelivered", "b": "open"}


async def test_a_rider_has_one_request_until_the_trip_has_ended(world: World) -> None:
    world.drivers("a")
    request = await world.ask()
    with pytest.raises(Conflict) as refused:
        await world.ask()
    assert refused.value.code == "rider_busy"
    await world.desk.accept("a", (await world.offer_to(request, "a")).offer_id)
    with pytest.raises(Conflict, match="active trip"):
        await world.ask()
    await world.kind.end_trip(request.request_id)
    await world.ask()


async def test_cancel_ends_the_search_and_its_offers_and_may_be_repeated(world: World) -> None:
    world.drivers("a", "b")
    request = await world.ask()
    with pytest.raises(NotFound):
        await world.desk.cancel(request.request_id, "rdr_other")
    cancelled = await world.desk.cancel(request.request_id, "rdr_1")
    assert cancelled.status == "cancelled"
    assert (await world.desk.cancel(request.request_id, None)) == cancelled
    await world.settled()
    assert world.delivery.closed() == {"a": "cancelled", "b": "cancelled"}
    assert world.delivery.statuses("rdr_1") == ["searching", "offered", "cancelled"]
    (event,) = await world.events_of(NoCabFound)
    assert (event.reason, event.supply_seen) == ("cancelled", 2)
    assert len(world.desk.searches) == 0
    await world.ask()


async def test_cancel_after_the_assignment_is_refused(world: World) -> None:
    world.drivers("a")
    request = await world.ask()
    await world.desk.accept("a", (await world.offer_to(request, "a")).offer_id)
    with pytest.raises(Conflict) as refused:
        await world.desk.cancel(request.request_id, "rdr_1")
    assert refused.value.code == "already_assigned"


async def test_cancel_of_an_expired_search_is_refused(world: World) -> None:
    request = await world.ask()
    await world.advance(120)
    with pytest.raises(Conflict) as refused:
        await world.desk.cancel(request.request_id, "rdr_1")
    assert refused.value.code == "already_ended"


async def test_a_driver_who_drops_out_makes_room_for_the_next(world: World) -> None:
    world.drivers("a", "b")
    request = await world.ask(rider_class="premium")
    await world.desk.driver_gone("a")
    await world.desk.driver_gone("a")
    await world.settled()
    assert await world.by_driver(request) == {"a": "undelivered", "b": "open"}
    assert (await world.offer_to(request, "a")).reason == "disconnected"


async def test_a_driver_who_connects_again_gets_the_open_offers(world: World) -> None:
    world.drivers("a")
    request = await world.ask()
    (offer,) = await world.desk.open_offers_of("a")
    (message,) = await world.desk.offer_messages("a")
    assert message == world.delivery.to_drivers[0][1]
    assert message == {
        "type": "offer",
        "offer_id": offer.offer_id,
        "request_id": request.request_id,
        "expires_at": rfc3339(world.clock.now() + 12),
        "pickup": {"lat": CENTRE.lat, "lng": CENTRE.lng},
        "dropoff": {"lat": AIRPORT.lat, "lng": AIRPORT.lng},
        "pickup_eta_s": 10.0,
        "pickup_distance_m": 100.0,
        "fare": {"amount_minor": 12_300, "currency": "SEK"},
        "mode": "broadcast",
        "why": "1 of 1: 10 s away, -2 idle, +6 rating, +6 acceptance",
    }
    await world.clock.advance(12, settle_s=0)
    assert await world.desk.offer_messages("a") == []
    await world.settled()  # the search is just ending the offer, and truths hold between its steps


async def test_auto_accept_assigns_the_best_driver_without_asking(make_world: MakeWorld) -> None:
    world = await make_world(auto_accept=True)
    world.drivers("a", "b")
    world.trips.active["a"] = "trip_elsewhere"
    request = await world.ask()
    assert (await world.now(request)).status == "assigned"
    assert await world.by_driver(request) == {"b": "accepted"}
    assert world.delivery.to_drivers == []
    assert world.delivery.statuses("rdr_1") == ["searching", "assigned"]


async def test_the_neighbourhood_is_searched_outward_with_one_road_call(world: World) -> None:
    world.supply.add("far", north_of(CENTRE, 4_000))
    request = await world.ask()
    assert await world.by_driver(request) == {"far": "open"}
    assert world.travel.calls <= 2  # one for each look: the offer, and the two free places of the broadcast


async def test_only_operators_choose_the_mode(world: World) -> None:
    with pytest.raises(Forbidden):
        await world.ask(mode="best")
    world.drivers("a", "b")
    request = await world.ask(mode="best", by_ops=True)
    assert await world.by_driver(request) == {"a": "open"}


async def test_the_same_ask_with_the_same_id_is_the_same_request_even_when_it_has_ended(world: World) -> None:
    request = await world.ask(request_id="req_tap")
    assert await world.ask(request_id="req_tap") == request
    ended = await world.desk.cancel("req_tap", "rdr_1")
    await world.settled()
    assert await world.ask(request_id="req_tap") == ended
    assert len(await world.events_of(RideRequested)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"rider_id": "rdr_2"},
        {"pickup": north_of(CENTRE, 1)},
        {"dropoff": north_of(AIRPORT, 1)},
        {"quote_id": "quo_1"},
        {"mode": "best", "by_ops": True},
        {"seats": 6},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_another_ask_with_the_same_id_conflicts_also_after_the_search(
    world: World, other: dict[str, object]
) -> None:
    request = await world.ask(request_id="req_tap")
    for _ in range(2):
        with pytest.raises(Conflict) as refused:
            await world.ask(**{"rider_id": "rdr_1", "request_id": "req_tap", **other})  # type: ignore[arg-type]
        assert refused.value.code == "idempotency_conflict"
        if (await world.now(request)).is_open:
            await world.desk.cancel("req_tap", None)
            await world.settled()
    assert len(await world.events_of(RideRequested)) == 1


async def test_the_same_ask_side_by_side_is_one_request(world: World) -> None:
    ask = RequestRide(rider_id="rdr_1", pickup=CENTRE, dropoff=AIRPORT, request_id="req_tap")
    answers = await asyncio.gather(*(world.desk.request_ride(ask) for _ in range(5)))
    await world.settled()
    world.request_ids.append("req_tap")
    assert {answer.request_id for answer in answers} == {"req_tap"}
    assert len(await world.events_of(RideRequested)) == 1
    assert world.delivery.statuses("rdr_1") == ["searching"]


async def test_an_ask_that_was_heard_before_is_the_same_request_though_it_could_not_be_made_any_more(
    world: World,
) -> None:
    world.quotes.quotes["quo_1", "rdr_1"] = Quoted(pickup=CENTRE, dropoff=AIRPORT, fare=Money(20_000, "SEK"))
    ask = RequestRide(rider_id="rdr_1", pickup=CENTRE, dropoff=AIRPORT, quote_id="quo_1", request_id="req_tap")
    first = await world.desk.request_ride(ask)
    del world.quotes.quotes["quo_1", "rdr_1"]  # as when it has expired
    assert await world.desk.request_ride(ask) == first
    with pytest.raises(NotFound):
        await world.desk.request_ride(msgspec.structs.replace(ask, request_id="req_other"))


async def test_side_by_side_another_ask_of_the_same_id_conflicts_and_another_id_finds_the_rider_busy(
    world: World,
) -> None:
    one = RequestRide(rider_id="rdr_1", pickup=CENTRE, dropoff=AIRPORT, request_id="req_tap")
    asks = [one, msgspec.structs.replace(one, dropoff=CENTRE), msgspec.structs.replace(one, request_id="req_other")]
    first, *refused = await asyncio.gather(*(world.desk.request_ride(ask) for ask in asks), return_exceptions=True)
    await world.settled()
    world.request_ids.append("req_tap")
    assert not isinstance(first, BaseException)
    assert [error.code for error in refused if isinstance(error, Conflict)] == ["idempotency_conflict", "rider_busy"]


async def test_a_rider_finds_the_last_request_until_it_ended_too_long_ago(world: World) -> None:
    assert await world.desk.recent_of_rider("rdr_1", 10) is None
    request = await world.ask()
    assert await world.desk.recent_of_rider("rdr_1", 10) == await world.now(request)
    await world.advance(120)
    after = await world.desk.recent_of_rider("rdr_1", 10)
    assert after is not None
    assert after.status == "no_driver"
    await world.advance(10)
    assert await world.desk.recent_of_rider("rdr_1", 10) == after
    await world.advance(1)
    assert await world.desk.recent_of_rider("rdr_1", 10) is None


async def test_a_quote_must_be_the_riders_own_and_for_these_places(world: World) -> None:
    good = Quoted(pickup=CENTRE, dropoff=AIRPORT, fare=Money(9_900, "SEK"))
    world.quotes.quotes["quo_1", "rdr_1"] = good
    world.quotes.quotes["quo_3", "rdr_1"] = msgspec.structs.replace(good, dropoff=north_of(AIRPORT, 500))
    with pytest.raises(NotFound):
        await world.ask("rdr_2", quote_id="quo_1")
    with pytest.raises(InvalidInput) as mismatch:
        await world.ask(quote_id="quo_3")
    assert mismatch.value.code == "quote_mismatch"
    world.drivers("a")
    request = await world.ask(quote_id="quo_1")
    assert request.fare == Money(9_900, "SEK")
    assert (await world.desk.offer_messages("a"))[0]["fare"] == {"amount_minor": 9_900, "currency": "SEK"}


async def test_vehicle_and_seats_are_kept_to(world: World) -> None:
    world.supply.add("small", north_of(CENTRE, 100), seats=4)
    world.supply.add("van", north_of(CENTRE, 900), seats=8)
    request = await world.ask(seats=6)
    assert await world.by_driver(request) == {"van": "open"}


async def test_open_requests_are_bounded(make_world: MakeWorld) -> None:
    world = await make_world(max_open_requests=2)
    await world.ask("rdr_1")
    first = await world.ask("rdr_2")
    with pytest.raises(TooMany) as refused:
        await world.ask("rdr_3")
    assert refused.value.code == "too_many_requests"
    await world.desk.cancel(first.request_id, None)
    await world.settled()
    await world.ask("rdr_3")


async def test_a_closed_desk_accepts_nothing(world: World) -> None:
    await world.desk.close()
    with pytest.raises(Unavailable):
        await world.ask()


async def test_a_failing_road_service_delays_a_search_but_does_not_end_it(world: World) -> None:
    world.drivers("a")
    for failure in (Unavailable("the roads are away"), RuntimeError("a bug")):
        world.travel.failure = failure
        request = await world.ask(f"rdr_{type(failure).__name__}")
        await world.advance(4)
        assert (await world.now(request)).status == "searching"
        world.travel.failure = None
        await world.advance(2)
        assert await world.by_driver(request) == {"a": "open"}
        await world.desk.cancel(request.request_id, None)
        await world.settled()


async def test_messages_that_cannot_be_sent_undo_nothing(world: World) -> None:
    world.drivers("a")
    world.delivery.failing = True
    request = await world.ask()
    assert await world.by_driver(request) == {"a": "undelivered"}
    world.delivery.failing = False
    await world.advance(4)
    offer = (await world.offers(request))[-1]
    world.delivery.failing = True
    await world.desk.accept("a", offer.offer_id)
    assert (await world.now(request)).status == "assigned"


async def test_what_the_decision_saw_is_kept_with_the_request(world: World) -> None:
    world.drivers("a", "b")
    world.supply.add("offline", north_of(CENTRE, 100), flags=0)
    world.supply.add("stale", north_of(CENTRE, 100), seen_at=world.clock.now() - 31)
    request = await world.ask()
    counts = msgspec.json.decode((await world.now(request)).counts)
    assert counts["seen"] == 4
    assert (counts["offline"], counts["stale"], counts["ranked"]) == (1, 1, 2)
    (event,) = await world.events_of(OffersMade)
    assert event.driver_ids == ["a", "b"]


async def test_the_request_body_is_the_contracts(world: World) -> None:
    request = await world.ask()
    body = request_body(request)
    assert body["created_at"] == "2026-09-21T14:13:20.000Z"
    assert (body["status"], body["trip_id"], body["ended_at"]) == ("searching", None, None)
    rider, message = world.delivery.to_riders[0]
    assert (rider, message) == ("rdr_1", {"type": "request", **body})
    assert await world.desk.get(request.request_id, "rdr_1") == request
    with pytest.raises(NotFound):
        await world.desk.get(request.request_id, "rdr_2")


class NoPickups:
    """Nobody is picked up anywhere."""

    def check_pickup(self, at: LatLng) -> None:
        raise InvalidInput("nobody is picked up here", code="no_pickup", more={"pickup_points": []})


async def test_a_pickup_where_nobody_is_picked_up_is_refused_with_and_without_a_quote(world: World) -> None:
    world.quotes.quotes["quo_1", "rdr_1"] = Quoted(pickup=CENTRE, dropoff=AIRPORT, fare=Money(10_000, "SEK"))
    world.pickups = NoPickups()
    await world.restart()
    for quote_id in (None, "quo_1"):
        with pytest.raises(InvalidInput) as refused:
            await world.ask(quote_id=quote_id)
        assert refused.value.code == "no_pickup"
    assert await world.events_of(RideRequested) == []


async def test_a_request_made_before_the_zone_was_there_is_still_known_by_its_id(world: World) -> None:
    first = await world.ask(request_id="req_mine")
    world.pickups = NoPickups()
    await world.restart()
    again = RequestRide(rider_id="rdr_1", pickup=CENTRE, dropoff=AIRPORT, request_id="req_mine")
    assert await world.desk.request_ride(again) == first


class Line:
    """Drivers who wait in line for every pickup."""

    def __init__(self, world: World, *drivers: str) -> None:
        self._world = world
        self.drivers = list(drivers)

    def at(self, pickup: LatLng) -> bool:
        return True

    async def first(self, pickup: LatLng, limit: int) -> SupplyRows:
        known = self._world.supply.drivers
        now = self._world.clock.now()
        return supply_rows([{"seen_at": now, **known[driver]} for driver in self.drivers[:limit]])


async def test_a_pickup_where_drivers_wait_is_offered_to_the_head_of_the_line_then_to_the_next(world: World) -> None:
    world.drivers("near", "second", "third")
    world.supply.add("first", north_of(CENTRE, 4_000))
    world.queues = Line(world, "first", "second")
    await world.restart()
    request = await world.ask()
    assert request.mode == "best"
    assert await world.by_driver(request) == {"first": "open"}
    await world.desk.decline("first", (await world.offer_to(request, "first")).offer_id, None)
    await world.settled()
    assert await world.by_driver(request) == {"first": "declined", "second": "open"}
    await world.desk.decline("second", (await world.offer_to(request, "second")).offer_id, None)
    await world.settled()
    assert (await world.by_driver(request))["near"] == "open"
