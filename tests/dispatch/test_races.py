"""Commands that meet at the same moment: whatever the order, the truths hold (`make_world` checks them at the end)."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import Conflict
from core.events import CabFound, OfferAccepted
from dispatch.model import Accepted, Offer, RequestRide, RideRequest
from tests.dispatch.conftest import MakeWorld
from tests.dispatch.world import AIRPORT, CENTRE, World


async def test_of_drivers_who_accept_at_once_exactly_one_wins(make_world: MakeWorld) -> None:
    world = await make_world(broadcast_drivers=5)
    world.drivers(*"abcde")
    request = await world.ask()
    offers = await world.offers(request)
    answers = await asyncio.gather(
        *(world.desk.accept(offer.driver_id, offer.offer_id) for offer in offers for _ in range(2)),
        return_exceptions=True,
    )
    won = [answer for answer in answers if isinstance(answer, Accepted)]
    lost = [answer for answer in answers if isinstance(answer, Conflict)]
    assert (len(won), len(set(won))) == (2, 1)  # the winner's repetition gets the same trip
    assert [each.code for each in lost] == ["offer_closed"] * 8
    assert len(world.trips.opened) == 1
    assert len(await world.events_of(CabFound)) == len(await world.events_of(OfferAccepted)) == 1


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_accept_and_cancel_at_once_leave_one_outcome(world: World, cancel_first: bool) -> None:
    world.drivers("a")
    request = await world.ask()
    offer = await world.offer_to(request, "a")
    calls = [world.desk.accept("a", offer.offer_id), world.desk.cancel(request.request_id, "rdr_1")]
    answers = await asyncio.gather(*(reversed(calls) if cancel_first else calls), return_exceptions=True)
    after = await world.now(request)
    assert after.status in ("assigned", "cancelled")
    (refused,) = [answer for answer in answers if isinstance(answer, Conflict)]
    assert refused.code == ("already_assigned" if after.status == "assigned" else "offer_closed")


@pytest.mark.parametrize("accept_first", [True, False])
async def test_accept_and_the_drivers_disconnect_at_once_leave_one_outcome(world: World, accept_first: bool) -> None:
    world.drivers("a", "b")
    request = await world.ask(rider_class="premium")
    offer = await world.offer_to(request, "a")
    calls = [world.desk.driver_gone("a"), world.desk.accept("a", offer.offer_id)]
    await asyncio.gather(*(reversed(calls) if accept_first else calls), return_exceptions=True)
    await world.settled()
    assert await world.by_driver(request) in ({"a": "accepted"}, {"a": "undelivered", "b": "open"})


async def test_an_accept_beats_a_disconnect_that_was_noticed_before_but_commits_after_it(world: World) -> None:
    world.drivers("a", "b")
    request = await world.ask(rider_class="premium")
    offer = await world.offer_to(request, "a")
    open_offers = world.store.open_offers_of
    seen = await open_offers("a")

    async def as_it_was(driver_id: str) -> list[tuple[Offer, RideRequest]]:
        return seen

    world.store.open_offers_of = as_it_was  # type: ignore[method-assign]
    await world.desk.accept("a", offer.offer_id)
    await world.desk.driver_gone("a")
    await world.settled()
    assert await world.by_driver(request) == {"a": "accepted"}


async def test_a_driver_who_accepts_while_the_offers_still_go_out_wins(world: World) -> None:
    world.drivers("a", "b", "c")
    accepting: list[asyncio.Task[Accepted]] = []
    deliver = world.delivery.deliver

    async def deliver_to_an_eager_driver(driver_id: str, message: dict[str, object]) -> bool:
        if message["type"] == "offer" and driver_id != "a":
            await world.clock.sleep(0.5)  # a slow gateway
        arrived = await deliver(driver_id, message)
        if message["type"] == "offer" and driver_id == "a":
            accepting.append(asyncio.create_task(world.desk.accept("a", str(message["offer_id"]))))
        return arrived

    world.delivery.deliver = deliver_to_an_eager_driver  # type: ignore[method-assign]
    request = await world.desk.request_ride(RequestRide(rider_id="rdr_1", pickup=CENTRE, dropoff=AIRPORT))
    world.request_ids.append(request.request_id)
    async with asyncio.timeout(10):
        while not accepting:
            await asyncio.sleep(0.001)
    await world.clock.advance(1, settle_s=0.05)
    await accepting[0]
    assert await world.by_driver(request) == {"a": "accepted", "b": "accepted_elsewhere", "c": "accepted_elsewhere"}
    told_b = [message["type"] for driver, message in world.delivery.to_drivers if driver == "b"]
    assert told_b == ["offer", "offer_closed"]
    assert world.delivery.statuses("rdr_1") == ["searching", "offered", "assigned"]


async def test_requests_of_one_rider_at_once_leave_one(world: World) -> None:
    ask = RequestRide(rider_id="rdr_1", pickup=CENTRE, dropoff=AIRPORT)
    answers = await asyncio.gather(*(world.desk.request_ride(ask) for _ in range(5)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Conflict)]
    assert [each.code for each in refused] == ["rider_busy"] * 4
    await world.settled()


async def test_a_command_is_finished_when_its_caller_goes_away(world: World) -> None:
    world.drivers("a")
    caller = asyncio.create_task(world.desk.request_ride(RequestRide(rider_id="rdr_1", pickup=CENTRE, dropoff=AIRPORT)))
    await asyncio.sleep(0)  # the command has begun
    assert not world.desk.resting
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await world.settled()
    assert [driver for driver, _ in world.delivery.offers()] == ["a"]
