"""Any sequence of commands, drop-outs, restarts and waiting leaves the truths intact, on both stores."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.errors import Conflict
from dispatch.model import Offer, Policy, RequestRide
from dispatch.modes import places
from dispatch.searches import ONE_LANE
from runtime.clocks import ManualClock
from tests.dispatch.stores import FakeTrips, InMemory, InSql
from tests.dispatch.world import AIRPORT, CENTRE, World, north_of, tuned

DRIVERS = [f"drv_{n}" for n in range(5)]
RIDERS = [f"rdr_{n}" for n in range(3)]
BROADCAST = Policy(broadcast_drivers=2)
NOTICED_S = 10  # a driver whose trip has just begun is passed by for busy_shown_s; then whoever waits looks again


class Rides(RuleBasedStateMachine):
    """A few drivers and riders who do anything at any time."""

    in_sql = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = contextlib.ExitStack()
        self.world: World | None = None

    def do[T](self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(auto=st.sampled_from([False, False, False, True]), drivers=st.sampled_from([2, 3, 5]))
    def open_the_city(self, auto: bool, drivers: int) -> None:
        self.do(self._open(auto, DRIVERS[:drivers]))

    async def _open(self, auto: bool, drivers: list[str]) -> None:
        trips = FakeTrips()
        folder = Path(self.folder.enter_context(tempfile.TemporaryDirectory()))
        kind = InSql(trips, f"sqlite+aiosqlite:///{folder / 'rides.db'}") if self.in_sql else InMemory(trips)
        await kind.start()
        self.world = World(
            ManualClock(),
            kind,
            trips,
            tuned(auto_accept=auto, broadcast_drivers=BROADCAST.broadcast_drivers, look_again_s=60.0),
        )
        await self.world.desk.searches.take(ONE_LANE)
        self.world.drivers(*drivers)

    @rule(rider=st.sampled_from(RIDERS), mode=st.sampled_from(["best", "broadcast", "batch"]))
    def ask(self, rider: str, mode: str) -> None:
        async def work(world: World) -> None:
            with contextlib.suppress(Conflict):
                await world.ask(rider, mode=mode, by_ops=True)

        self.do(work(self._world))

    @precondition(lambda self: self._may_answer())
    @rule(data=st.data(), yes=st.booleans())
    def answer(self, data: st.DataObject, yes: bool) -> None:
        driver, offer_id = data.draw(st.sampled_from(self._world.delivery.offers()[-6:]))
        self.do(self._answer(driver, offer_id, yes))

    @precondition(lambda self: self._may_answer())
    @rule(data=st.data(), also_cancel=st.booleans())
    def answer_all_at_once(self, data: st.DataObject, also_cancel: bool) -> None:
        """The latest offers are answered, cancelled and lost in the same moment, in any order."""
        world = self._world
        latest = data.draw(st.permutations(world.delivery.offers()[-4:]))
        works = [self._answer(driver, offer_id, True) for driver, offer_id in latest]
        works.append(self._gone(latest[0][0]))
        if world.request_ids and also_cancel:
            works.append(self._cancel(world.request_ids[-1]))

        async def together() -> None:
            await asyncio.gather(*works)
            await world.settled()

        self.do(together())

    async def _answer(self, driver: str, offer_id: str, yes: bool) -> None:
        world = self._world
        with contextlib.suppress(Conflict):
            if yes:
                accepted = await world.desk.accept(driver, offer_id)
                request = await world.store.request(accepted.request_id)
                assert request is not None
                assert request.trip_id == accepted.trip_id
            else:
                await world.desk.decline(driver, offer_id, None)
        await world.settled()

    async def _gone(self, driver: str) -> None:
        await self._world.desk.driver_gone(driver)

    async def _cancel(self, request_id: str) -> None:
        with contextlib.suppress(Conflict):
            await self._world.desk.cancel(request_id, None)

    @precondition(lambda self: self.world is not None and self.world.request_ids)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        async def work(request_id: str) -> None:
            await self._cancel(request_id)
            await self._world.settled()

        self.do(work(data.draw(st.sampled_from(self._world.request_ids))))

    @rule(driver=st.sampled_from(DRIVERS))
    def drop_out(self, driver: str) -> None:
        async def work(world: World) -> None:
            world.delivery.away.add(driver)
            await world.desk.driver_gone(driver)
            await world.settled()

        self.do(work(self._world))

    @rule(driver=st.sampled_from(DRIVERS), metres=st.sampled_from([100, 700, 2_500]))
    def come_back_elsewhere(self, driver: str, metres: int) -> None:
        self._world.delivery.away.discard(driver)
        self._world.supply.add(driver, north_of(CENTRE, metres))

    @precondition(lambda self: self.world is not None and self.world.trips.active)
    @rule(data=st.data())
    def end_trip(self, data: st.DataObject) -> None:
        world = self._world
        driver = data.draw(st.sampled_from(sorted(world.trips.active)))
        trip_id = world.trips.active.pop(driver)
        request_id = world.trips.opened[int(trip_id.removeprefix("trip_")) - 1].request_id
        self.do(world.kind.end_trip(request_id))

    @rule(seconds=st.sampled_from([0.5, 3.0, 12.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.do(self._world.advance(seconds))

    @precondition(lambda self: self._may_answer())
    @rule(data=st.data(), before_s=st.sampled_from([0.0, 0.5, 1.0]))
    def answer_at_the_deadline(self, data: st.DataObject, before_s: float) -> None:
        """An accept and the end of the offer's time come in the same moment."""
        world = self._world
        driver, offer_id = data.draw(st.sampled_from(world.delivery.offers()[-4:]))

        async def race() -> None:
            offer = await world.store.offer(offer_id)
            assert offer is not None
            if offer.is_open and (left_s := offer.expires_at - before_s - world.clock.now()) > 0:
                await world.advance(left_s)
            await asyncio.gather(world.clock.advance(before_s, settle_s=0), self._answer(driver, offer_id, True))
            await world.settled()
            after = await world.store.offer(offer_id)
            assert after is not None
            if after.status == "accepted":
                assert after.ended_at is not None
                assert after.ended_at < after.expires_at, "at the deadline it is too late"

        self.do(race())

    @rule()
    def nobody_waits_for_nothing(self) -> None:
        """No search leaves a free driver near unasked for longer than it takes to notice the driver."""

        async def work(world: World) -> None:
            always = await self._unasked(world)
            for _ in range(NOTICED_S):
                await world.advance(1)
                always &= await self._unasked(world)
            assert not always

        self.do(work(self._world))

    async def _unasked(self, world: World) -> set[tuple[str, str]]:
        """(request, driver) where the request has a place for the driver, who is free and was never asked."""
        searches = await world.store.open_searches()
        offers = {each.request_id: (await world.store.request_and_offers(each.request_id)) for each in searches}
        known = [each for each in offers.values() if each is not None]
        busy = {offer.driver_id for _, made in known for offer in made if offer.is_open}
        busy |= world.trips.active.keys() | world.delivery.away
        return {
            (request.request_id, driver)
            for request, made in known
            if sum(offer.is_open for offer in made) < places(request.mode, BROADCAST)
            for driver in world.supply.drivers.keys() - busy - {offer.driver_id for offer in made}
        }

    @rule(seconds=st.sampled_from([0.0, 13.0, 200.0]), rider=st.sampled_from(RIDERS))
    def restart(self, seconds: float, rider: str) -> None:
        """The engine stops right after an acknowledgement, stays down for a while, and starts again."""

        async def work(world: World) -> None:
            with contextlib.suppress(Conflict):
                request = await world.desk.request_ride(RequestRide(rider_id=rider, pickup=CENTRE, dropoff=AIRPORT))
                world.request_ids.append(request.request_id)
            await world.desk.close()
            await world.clock.advance(seconds, settle_s=0)
            await world.restart()

        self.do(work(self._world))

    @invariant()
    def truths_hold(self) -> None:
        if self.world is not None:
            self.do(self.world.check_truths())
            self.do(self._open_things_are_cared_for(self.world))

    async def _open_things_are_cared_for(self, world: World) -> None:
        """Each open request has its search, and nothing open is overdue."""
        assert len(world.desk.searches) == len(await world.store.open_searches())
        for each in await world.store.open_searches():
            request = await world.store.request(each.request_id)
            assert request is not None
            assert request.expires_at > world.clock.now()
            overdue: list[Offer] = [
                offer
                for offer in await world.offers(request)
                if offer.is_open and offer.expires_at <= world.clock.now()
            ]
            assert not overdue

    def teardown(self) -> None:
        if self.world is not None:
            self.do(self._end(self.world))
        self.runner.close()
        self.folder.close()

    async def _end(self, world: World) -> None:
        await world.advance(130)
        await world.check_truths()
        assert await world.store.open_searches() == []
        assert len(world.desk.searches) == 0
        await world.close()

    def _may_answer(self) -> bool:
        return self.world is not None and bool(self.world.delivery.offers())

    @property
    def _world(self) -> World:
        assert self.world is not None
        return self.world


class RidesInSql(Rides):
    in_sql = True


_relaxed = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
TestTruthsInMemory = Rides.TestCase
TestTruthsInMemory.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=_relaxed
)
TestTruthsInSql = RidesInSql.TestCase
TestTruthsInSql.settings = settings(
    max_examples=5, stateful_step_count=15, deadline=None, suppress_health_check=_relaxed
)
