"""What every store of requests and offers must do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from core.errors import Conflict
from core.events import NoCabFound, search_ended_id
from core.money import Money
from dispatch.model import Offer, RideRequest
from dispatch.ports import Store
from dispatch.settle import booking
from runtime.answers import KEY_KEPT, FirstAnswer, StoredAnswer
from tests.dispatch.stores import FakeTrips, InMemory, InSql, StoreKind
from tests.dispatch.world import AIRPORT, CENTRE
from tests.servers import SQL_KINDS

S1, S2 = "881f25c4d5fffff", "881f25a5b7fffff"


def a_request(request_id: str = "req_1", **fields: Any) -> RideRequest:
    values: dict[str, Any] = {
        "request_id": request_id,
        "rider_id": "rdr_1",
        "pickup": CENTRE,
        "dropoff": AIRPORT,
        "rider_class": "standard",
        "mode": "broadcast",
        "status": "searching",
        "segment": "881f25c4d5fffff",
        "fare": Money(12_345, "SEK"),
        "created_at": 100.0,
        "expires_at": 220.0,
    }
    return RideRequest(**values | fields)


def an_offer(offer_id: str = "off_1", request_id: str = "req_1", driver_id: str = "a", **fields: Any) -> Offer:
    values: dict[str, Any] = {
        "offer_id": offer_id,
        "request_id": request_id,
        "driver_id": driver_id,
        "mode": "broadcast",
        "status": "open",
        "made_at": 101.5,
        "expires_at": 113.5,
        "pickup_eta_s": 61.25,
        "pickup_distance_m": 512.0,
        "score": 59.0,
        "why": "1 of 1: 61 s away",
    }
    return Offer(**values | fields)


@pytest.fixture(params=["memory", *SQL_KINDS])
async def kind(request: pytest.FixtureRequest, new_sql_url: Callable[[str], str]) -> AsyncIterator[StoreKind]:
    trips = FakeTrips()
    made: StoreKind = InMemory(trips) if request.param == "memory" else InSql(trips, new_sql_url(request.param))
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def store(kind: StoreKind) -> Store:
    return kind.store


async def add(store: Store, *things: RideRequest | Offer) -> None:
    for thing in things:
        if isinstance(thing, RideRequest):
            await store.book(booking(thing))
    async with store.transaction() as uow:
        if new := [thing for thing in things if isinstance(thing, Offer)]:
            await uow.offers.add(new)


async def save(store: Store, *things: RideRequest | Offer) -> None:
    async with store.transaction() as uow:
        for thing in things:
            if isinstance(thing, RideRequest):
                await uow.requests.save(thing)
            else:
                await uow.offers.save(thing)


async def test_what_was_stored_comes_back_the_same(store: Store) -> None:
    request = a_request(quote_id="quo_1", vehicle_class="van", seats=6, supply_seen=3, counts='{"seen":3}')
    offer = an_offer()
    await add(store, request, offer)
    assert await store.request("req_1") == request
    assert await store.offer("off_1") == offer
    assert await store.request_and_offers("req_1") == (request, [offer])
    assert await store.open_offers_of("a") == [(offer, request)]
    async with store.transaction() as uow:
        assert await uow.requests.lock("req_1") == request
        assert await uow.offers.of_request("req_1") == [offer]


async def test_saved_changes_come_back(store: Store) -> None:
    request, offer = a_request(), an_offer()
    await add(store, request, offer)
    request = msgspec.structs.replace(request, status="assigned", trip_id="trip_1", ended_at=105.0)
    offer = msgspec.structs.replace(offer, status="declined", ended_at=104.0, reason="Trött på Göteborg")
    await save(store, request, offer)
    assert await store.request_and_offers("req_1") == (request, [offer])


async def test_what_is_unknown_is_none(store: Store) -> None:
    assert await store.request("req_x") is None
    assert await store.offer("off_x") is None
    assert await store.request_and_offers("req_x") is None
    assert await store.open_offers_of("nobody") == []
    assert await store.holding_offers([]) == set()
    async with store.transaction() as uow:
        assert await uow.requests.lock("req_x") is None


async def test_a_rider_has_one_open_request(store: Store) -> None:
    await add(store, a_request())
    with pytest.raises(Conflict) as refused:
        await add(store, a_request("req_2"))
    assert refused.value.code == "rider_busy"
    await add(store, a_request("req_3", rider_id="rdr_2"))
    assert await store.request("req_2") is None


@pytest.mark.parametrize("status", ["cancelled", "expired", "no_driver"])
async def test_an_ended_request_frees_its_rider(store: Store, status: str) -> None:
    await add(store, a_request())
    await save(store, a_request(status=status, ended_at=130.0))
    await add(store, a_request("req_2"))


async def test_an_assigned_request_frees_its_rider_when_the_trip_ends(kind: StoreKind) -> None:
    store = kind.store
    await add(store, a_request())
    await save(store, a_request(status="offered"))
    await save(store, a_request(status="assigned", trip_id="trip_1"))
    with pytest.raises(Conflict):
        await add(store, a_request("req_2"))
    await kind.end_trip("req_1")
    await kind.end_trip("req_1")
    await add(store, a_request("req_2"))


async def test_a_driver_holds_one_open_offer(store: Store) -> None:
    await add(store, a_request(), an_offer(), a_request("req_2", rider_id="rdr_2"))
    with pytest.raises(Conflict) as refused:
        await add(store, an_offer("off_2", "req_2"))
    assert refused.value.code == "driver_has_offer"
    assert await store.holding_offers(["a", "b"]) == {"a"}
    await save(store, an_offer(status="expired", ended_at=113.5))
    assert await store.holding_offers(["a", "b"]) == set()
    await add(store, an_offer("off_2", "req_2"))


async def test_many_drivers_may_be_asked_for_at_once(store: Store) -> None:
    await add(store, a_request(), *(an_offer(f"off_{n}", driver_id=f"drv_{n}") for n in range(1_100)))
    wanted = [f"drv_{n}" for n in range(1_050, 2_000)]
    assert await store.holding_offers(wanted) == {f"drv_{n}" for n in range(1_050, 1_100)}


async def test_a_failed_transaction_leaves_no_trace(kind: StoreKind) -> None:
    store = kind.store

    async def fail() -> None:
        async with store.transaction() as uow:
            await uow.requests.save(a_request(status="cancelled"))
            await uow.offers.add([an_offer()])
            uow.publish(ending("req_1"))
            raise RuntimeError("half-way")

    await add(store, a_request())
    with pytest.raises(RuntimeError, match="half-way"):
        await fail()
    assert await store.request("req_1") == a_request()
    assert await store.offer("off_1") is None
    assert await kind.events() == [booking(a_request()).event]


async def test_a_search_ends_once(kind: StoreKind) -> None:
    async def end(status: str) -> None:
        async with kind.store.transaction() as uow:
            await uow.requests.save(a_request(status=status))
            uow.publish(ending("req_1"))

    await add(kind.store, a_request())
    await end("no_driver")
    with pytest.raises(Conflict):
        await end("expired")
    assert await kind.events() == [booking(a_request()).event, ending("req_1")]
    request = await kind.store.request("req_1")
    assert request is not None
    assert request.status == "no_driver"


async def test_open_searches_come_oldest_first(store: Store) -> None:
    await add(
        store,
        a_request("req_3", rider_id="r3", created_at=103.0),
        a_request("req_1", rider_id="r1", created_at=101.0, status="offered"),
        a_request("req_2", rider_id="r2", created_at=102.0),
    )
    await save(store, a_request("req_2", rider_id="r2", created_at=102.0, status="cancelled"))
    found = await store.open_searches()
    assert [(each.request_id, each.status) for each in found] == [("req_1", "offered"), ("req_3", "searching")]
    assert found[0].segment == a_request("req_1").segment


async def test_a_rider_finds_the_latest_request_open_or_ended(store: Store) -> None:
    assert await store.latest_of_rider("rdr_1") is None
    await add(store, a_request("req_9"))
    assert await store.latest_of_rider("rdr_1") == a_request("req_9")
    assert await store.latest_of_rider("rdr_2") is None
    ended = a_request("req_9", status="cancelled", ended_at=101.0)
    await save(store, ended)
    assert await store.latest_of_rider("rdr_1") == ended
    later = a_request("req_1", created_at=102.0)
    await add(store, later)
    assert await store.latest_of_rider("rdr_1") == later


async def test_of_requests_of_one_moment_the_latest_is_the_one_that_keeps_the_rider_busy(store: Store) -> None:
    await add(store, a_request("req_9"))
    await save(store, a_request("req_9", status="cancelled", ended_at=100.0))
    await add(store, a_request("req_1"))
    assert await store.latest_of_rider("rdr_1") == a_request("req_1")
    assigned = a_request("req_1", status="assigned", trip_id="trip_1", ended_at=100.0)
    await save(store, assigned)
    assert await store.latest_of_rider("rdr_1") == assigned


async def test_an_id_is_taken_once_even_when_its_rider_is_free(store: Store) -> None:
    ended = a_request(status="cancelled", ended_at=101.0)
    await add(store, a_request())
    await save(store, ended)
    with pytest.raises(Conflict) as taken:
        await add(store, a_request(rider_id="rdr_2"))
    assert taken.value.code == "request_exists"
    assert await store.request("req_1") == ended


async def test_a_booking_leaves_its_event_and_keeps_its_answer(kind: StoreKind) -> None:
    first = FirstAnswer("key 1", "hash").say(201, '{"request_id":"req_1"}')
    await kind.store.book(booking(a_request(), first))
    assert first.kept
    assert await kind.events() == [booking(a_request()).event]
    assert await kind.answers() == {"key 1": StoredAnswer(201, '{"request_id":"req_1"}')}


async def test_a_booking_that_is_refused_keeps_no_answer(kind: StoreKind) -> None:
    await kind.store.book(booking(a_request()))
    first = FirstAnswer("key 1", "hash").say(201, "{}")
    with pytest.raises(Conflict):
        await kind.store.book(booking(a_request("req_2"), first))
    assert not first.kept
    assert await kind.answers() == {}
    assert len(await kind.events()) == 1


async def test_a_key_that_has_its_answer_books_nothing(kind: StoreKind) -> None:
    await kind.store.book(booking(a_request(), FirstAnswer("key 1", "hash").say(201, "first")))
    with pytest.raises(Conflict) as refused:
        await kind.store.book(
            booking(a_request("req_2", rider_id="rdr_2"), FirstAnswer("key 1", "hash").say(201, "second"))
        )
    assert refused.value.code == KEY_KEPT
    assert await kind.store.request("req_2") is None
    assert await kind.answers() == {"key 1": StoredAnswer(201, "first")}


async def test_of_bookings_at_once_each_has_its_own_outcome(kind: StoreKind) -> None:
    store = kind.store
    await add(store, a_request("req_old", rider_id="rdr_busy"), a_request("req_ended", rider_id="rdr_free"))
    await save(store, a_request("req_ended", rider_id="rdr_free", status="cancelled"))
    wanted = {f"req_{n}": None for n in range(20)}
    bookings = [booking(a_request(f"req_{n}", rider_id=f"rdr_{n}")) for n in range(20)]
    bookings.insert(5, booking(a_request("req_x", rider_id="rdr_busy")))
    bookings.insert(9, booking(a_request("req_ended", rider_id="rdr_other")))
    bookings.append(booking(a_request("req_y", rider_id="rdr_3")))  # a second one of a rider of the same batch
    outcomes = await asyncio.gather(*(store.book(each) for each in bookings), return_exceptions=True)
    codes = {
        each.request.request_id: outcome.code if isinstance(outcome, Conflict) else outcome
        for each, outcome in zip(bookings, outcomes, strict=True)
    }
    assert codes == {**wanted, "req_x": "rider_busy", "req_ended": "request_exists", "req_y": "rider_busy"}
    assert {event.id for event in await kind.events()} >= {f"ride-requested:req_{n}" for n in range(20)}
    assert await store.request("req_x") is None


async def test_a_key_that_is_taken_stands_in_the_way_of_its_own_booking_alone(kind: StoreKind) -> None:
    await kind.store.book(booking(a_request(), FirstAnswer("key 0", "hash").say(201, "first")))
    bookings = [
        booking(a_request(f"req_{n + 2}", rider_id=f"rdr_{n + 2}"), FirstAnswer(f"key {n}", "hash").say(201, "later"))
        for n in range(8)
    ]
    outcomes = await asyncio.gather(*(kind.store.book(each) for each in bookings), return_exceptions=True)
    assert [outcome is None for outcome in outcomes] == [False, *[True] * 7]
    assert [each.answer is not None and each.answer.kept for each in bookings] == [False, *[True] * 7]


async def test_demand_counts_open_requests_by_segment(store: Store) -> None:
    assert dict(await store.demand()) == {}
    await add(store, *(a_request(f"req_{n}", rider_id=f"rdr_{n}", segment=S1 if n else S2) for n in range(4)))
    await save(store, a_request("req_1", rider_id="rdr_1", segment=S1, status="expired"))
    await save(store, a_request("req_2", rider_id="rdr_2", segment=S1, status="offered"))
    assert dict(await store.demand()) == {S1: 2, S2: 1}


async def test_offers_come_oldest_first(store: Store) -> None:
    offers = [an_offer(f"off_{n}", driver_id=f"drv_{n}", made_at=110.0 - n) for n in range(3)]
    await add(store, a_request(), *offers)
    found = await store.request_and_offers("req_1")
    assert found is not None
    assert [offer.offer_id for offer in found[1]] == ["off_2", "off_1", "off_0"]


def ending(request_id: str) -> NoCabFound:
    return NoCabFound(
        id=search_ended_id(request_id),
        at=110.0,
        request_id=request_id,
        rider_id="rdr_1",
        segment="881f25c4d5fffff",
        supply_seen=0,
        mode="broadcast",
        reason="no_driver",
        waited_s=10.0,
    )
