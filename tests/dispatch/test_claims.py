"""Workers that search at the same time pass by each other's drivers; without shared claims each has its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from core.errors import Unavailable
from dispatch.adapters.memory import MemoryClaims
from dispatch.claims import Claims
from dispatch.model import Offer, RequestRide
from dispatch.service import RideDesk
from maps import segments
from runtime.clocks import ManualClock
from runtime.settings import DispatchSettings
from tests.contracts.test_claims import offer
from tests.dispatch.conftest import MakeWorld
from tests.dispatch.world import AIRPORT, CENTRE, World, north_of

SETTINGS = DispatchSettings(claim_timeout_s=0.05, claim_pause_s=30.0)
NORTH, SOUTH = 1, 2
HERE = segments.segment_of(*CENTRE)
BORDER = next(
    place for metres in range(50, 3_000, 50) if segments.segment_of(*(place := north_of(CENTRE, metres))) != HERE
)


class Shared(MemoryClaims):
    """Shared claims that can be away, or not answer at all."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock.now)
        self.away = False
        self.silent = False
        self.asked = 0

    async def take(self, offers: Sequence[Offer], keep_s: float) -> set[str]:
        await self._check()
        return await super().take(offers, keep_s)

    async def end(self, offers: Sequence[Offer], keep_s: float) -> None:
        await self._check()
        await super().end(offers, keep_s)

    async def _check(self) -> None:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.away:
            raise Unavailable("away")


@pytest.fixture
def shared(clock: ManualClock) -> Shared:
    return Shared(clock)


@pytest.fixture
def workers(shared: Shared, clock: ManualClock) -> tuple[Claims, Claims]:
    return Claims(shared, SETTINGS, clock), Claims(shared, SETTINGS, clock)


def chosen(clock: ManualClock, offer_id: str, driver_id: str) -> Offer:
    return msgspec.structs.replace(offer(offer_id, driver_id), expires_at=clock.now() + 12.0)


async def test_a_driver_of_another_worker_is_passed_by_from_then_on(
    workers: tuple[Claims, Claims], clock: ManualClock
) -> None:
    a, b = workers
    assert await a.hold([chosen(clock, "off_1", "drv_1")])
    theirs = [chosen(clock, "off_2", "drv_1"), chosen(clock, "off_3", "drv_2")]
    assert not await b.hold(theirs)
    assert set(b.held(clock.now())) == {"drv_1"}, "all or none: the other driver is free again"
    assert await a.hold([chosen(clock, "off_4", "drv_2")])
    await clock.advance(SETTINGS.retry_s)
    assert not b.held(clock.now())


async def test_whoever_ends_an_offer_ends_its_claim_for_all(workers: tuple[Claims, Claims], clock: ManualClock) -> None:
    a, b = workers
    mine = chosen(clock, "off_1", "drv_1")
    await a.hold([mine])
    await b.release([mine])  # the driver declined on another host
    assert await b.hold([chosen(clock, "off_2", "drv_1")])
    a.ended([mine])
    assert not a.held(clock.now())


async def test_an_accepted_offer_claims_its_driver_until_the_supply_shows_the_trip(
    workers: tuple[Claims, Claims], clock: ManualClock
) -> None:
    a, b = workers
    mine = chosen(clock, "off_1", "drv_1")
    await a.hold([mine])
    await b.shorten(mine)
    await a.shorten(mine)
    await clock.advance(SETTINGS.busy_shown_s - 0.1)
    assert set(a.held(clock.now())) == {"drv_1"}
    assert not await b.hold([chosen(clock, "off_2", "drv_1")])
    await clock.advance(0.2)
    assert not a.held(clock.now())
    assert await b.hold([chosen(clock, "off_3", "drv_1")])


@pytest.mark.parametrize("how", ["away", "silent"])
async def test_without_shared_claims_each_worker_goes_on_with_its_own_and_they_are_counted(
    workers: tuple[Claims, Claims], shared: Shared, clock: ManualClock, how: str
) -> None:
    a, b = workers
    setattr(shared, how, True)
    mine = chosen(clock, "off_1", "drv_1")
    assert await a.hold([mine])
    assert set(a.held(clock.now())) == {"drv_1"}
    assert await b.hold([chosen(clock, "off_2", "drv_1")]), "SQL decides then"
    asked = shared.asked
    await a.release([mine])
    assert await a.hold([mine])
    assert shared.asked == asked, "they are left alone for a while"
    assert (a.unshared, b.unshared) == (2, 1)


async def test_shared_claims_that_are_back_are_used_again(shared: Shared, clock: ManualClock) -> None:
    patient = msgspec.structs.replace(SETTINGS, claim_pause_s=0.01)
    a, b = Claims(shared, patient, clock), Claims(shared, patient, clock)
    shared.away = True
    await a.hold([chosen(clock, "off_1", "drv_1")])
    shared.away = False
    async with asyncio.timeout(5):
        while a.unshared and shared.asked < 2:
            await a.hold([chosen(clock, "off_2", "drv_2")])
            await asyncio.sleep(0.01)
    assert not await b.hold([chosen(clock, "off_3", "drv_2")])


async def _two_workers(world: World, shared: Shared) -> list[RideDesk]:
    """One worker for the segment of the centre, and one for the next; both see the same drivers."""
    await world.desk.close()
    world.claims = shared

    def lane_of(segment: str) -> int:
        return SOUTH if segments.parse(segment) == HERE else NORTH

    world.desk = world.new_desk(lane_of)
    world.workers = [world.new_desk(lane_of), world.new_desk(lane_of)]
    for worker, lane in zip(world.workers, (SOUTH, NORTH), strict=True):
        await worker.searches.take({lane})
    return world.workers


@pytest.mark.parametrize("away", [False, True])
async def test_two_workers_at_a_border_offer_each_driver_once(
    make_world: MakeWorld, clock: ManualClock, away: bool
) -> None:
    world = await make_world(broadcast_drivers=2)
    shared = Shared(clock)
    shared.away = away
    workers = await _two_workers(world, shared)
    world.drivers(*"abcdefgh", apart_m=60.0)
    for number in range(4):
        for pickup in (CENTRE, BORDER):
            ride = RequestRide(rider_id=f"rdr_{number}_{pickup.lat}", pickup=pickup, dropoff=AIRPORT)
            world.request_ids.append((await world.desk.request_ride(ride)).request_id)
    await asyncio.gather(*(worker.searches.look() for worker in workers))
    await world.advance(10)
    offered = [driver for driver, _ in world.delivery.offers()]
    assert sorted(offered) == list("abcdefgh"), "nobody twice, nobody left out"
    unshared = sum(worker.unshared_claims for worker in workers)
    assert (unshared > 0) == away
