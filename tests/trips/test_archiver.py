"""The archiver: interrupted anywhere, it neither loses nor doubles a trip."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Coroutine, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from core.errors import Unavailable
from core.ids import Ids
from runtime.clocks import ManualClock
from runtime.sql import Database
from runtime.tasks import repeat
from tests.trips.world import SETTINGS, World, new_world
from trips.adapters import tables
from trips.adapters.memory import MemoryTripArchive
from trips.adapters.sql import SqlLiveTrips, SqlTransactions
from trips.adapters.sqlite_archive import SqliteTripArchive
from trips.archive import Archiver, ArchiveReport
from trips.history import History
from trips.model import By, Trip

OPS = By("ops", "ops_1")


async def fill(world: World, n: int) -> list[Trip]:
    """`n` settled trips of one rider and one driver, newest first; every third cancelled."""
    made = []
    for i in range(n):
        if i % 3 == 2:
            trip = await world.open(i)
            made.append(await world.desk.cancel(trip.trip_id, OPS))
        else:
            made.append(await world.price(await world.ride(i)))
        world.clock._now += 1
    return made[::-1]


async def everything(world: World) -> list[Trip]:
    """A rider's whole history, in pages of two."""
    found: list[Trip] = []
    cursor = None
    while True:
        page = await world.history.of_rider("rdr_1", cursor, 2)
        found.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return found


async def test_settled_trips_move_and_the_rest_stays(world: World) -> None:
    trips = await fill(world, 10)
    unpriced = await world.ride(20)
    active = await world.open(21)
    assert await world.archiver.run_once() == ArchiveReport(moved=10, left=1)
    assert await world.live.list_of("rider", "rdr_1", None, 50) == [active, unpriced]
    assert await everything(world) == [active, unpriced, *trips]
    assert await world.archiver.run_once() == ArchiveReport(moved=0, left=1)
    await world.price(unpriced)
    assert await world.archiver.run_once() == ArchiveReport(moved=1, left=0)


async def test_trip_that_does_not_read_back_stays_in_sql(world: World) -> None:
    class Forgetful(MemoryTripArchive):
        async def verified(self, trips: Sequence[Trip]) -> list[Trip]:
            return list(trips)[1:]

    trips = await fill(world, 3)
    archiver = Archiver(world.transactions, world.live, Forgetful(), SETTINGS)
    assert await archiver.run_once() == ArchiveReport(moved=2, left=1)
    assert await world.live.get(trips[-1].trip_id) == trips[-1]


async def test_trips_that_cannot_move_do_not_hold_up_those_behind_them(world: World) -> None:
    class Picky(MemoryTripArchive):
        async def verified(self, trips: Sequence[Trip]) -> list[Trip]:
            return [trip for trip in await super().verified(trips) if trip.trip_id not in stuck]

    trips = await fill(world, 11)
    stuck = {trip.trip_id for trip in trips[-SETTINGS.archive_batch :]} | {trips[0].trip_id}
    archiver = Archiver(world.transactions, world.live, Picky(), SETTINGS)
    assert await archiver.run_once() == ArchiveReport(moved=6, left=5)
    assert {trip.trip_id for trip in await world.live.list_of("rider", "rdr_1", None, 50)} == stuck
    stuck.clear()
    assert await archiver.run_once() == ArchiveReport(moved=5, left=0)


async def test_several_at_once_lose_and_double_nothing_and_count_each_trip_once(world: World) -> None:
    trips = await fill(world, 21)
    url = world.database.engine.url.render_as_string(hide_password=False)
    databases = [Database(url) for _ in range(3)]
    archivers = [
        Archiver(SqlTransactions(each, world.requests), SqlLiveTrips(each), world.archive, SETTINGS)
        for each in databases
    ]
    reports = await asyncio.gather(*(archiver.run_once() for archiver in (*archivers, *archivers)))
    assert sum(report.moved for report in reports) == 21
    assert await world.live.count_ended() == 0
    await check_nothing_lost_or_doubled(world, trips)
    for database in databases:
        await database.close()


async def test_trip_that_changed_meanwhile_stays_in_sql(world: World) -> None:
    trips = await fill(world, 2)
    async with world.database.transaction() as tx:
        await tx.connection.execute(
            sa.update(tables.trips).where(tables.trips.c.trip_id == trips[0].trip_id).values(code_tries=1)
        )
    async with world.transactions() as uow:
        assert await uow.trips.remove_unchanged(trips) == 1
    stored = await world.live.get(trips[0].trip_id)
    assert stored is not None
    assert stored.code_tries == 1


async def test_runs_now_and_on_schedule_and_outlives_a_store_that_is_away(world: World) -> None:
    class Away(MemoryTripArchive):
        away = True

        async def put(self, trips: Sequence[Trip]) -> None:
            if self.away:
                raise Unavailable("the archive is away")
            await super().put(trips)

    await fill(world, 2)
    archive = Away()
    archiver = Archiver(world.transactions, world.live, archive, SETTINGS)
    schedule = repeat(archiver.run_once, SETTINGS.archive_every_s, world.clock.sleep, SETTINGS.archive_retry_s)
    running = asyncio.create_task(schedule)
    await world.clock.advance(1, settle_s=0.1)
    assert not archive.by_trip
    archive.away = False
    await world.clock.advance(SETTINGS.archive_retry_s, settle_s=0.3)
    assert len(archive.by_trip) == 2
    late = await _cancelled(world, 7)
    await world.clock.advance(SETTINGS.archive_every_s - SETTINGS.archive_retry_s, settle_s=0.1)
    assert late.trip_id not in archive.by_trip
    await world.clock.advance(2 * SETTINGS.archive_retry_s, settle_s=0.3)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert len(archive.by_trip) == 3
    assert await world.live.count_ended() == 0


class Interrupted(Exception):
    """Thrown into the archiver."""


class _CancelAt:
    """Awaits a coroutine and cancels the task when it is suspended for the nth time."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], nth: int) -> None:
        self._coroutine = coroutine
        self._nth = nth

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._coroutine.__await__()
        task = asyncio.current_task()
        assert task is not None
        with contextlib.suppress(StopIteration):
            waiting = next(inner)
            for n in itertools.count():
                if n == self._nth:
                    asyncio.get_running_loop().call_soon(task.cancel)
                try:
                    sent = yield waiting
                except BaseException as error:
                    waiting = inner.throw(error)
                else:
                    waiting = inner.send(sent)


async def cancelled_at(archiver: Archiver, nth: int) -> bool:
    """Run the archiver and cancel it at its nth suspension; False when it ended before."""

    async def run() -> None:
        await _CancelAt(archiver.run_once(), nth)

    try:
        await asyncio.create_task(run())
    except asyncio.CancelledError:
        return True
    return False


class _Between:
    """A port whose nth call raises: even calls before the work, odd ones after it."""

    def __init__(self, port: Any, counter: list[int], fail_at: int) -> None:
        self._port = port
        self._counter = counter
        self._fail_at = fail_at

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        async def guarded(*args: Any) -> Any:
            self._tick()
            result = await call(*args)
            self._tick()
            return result

        return guarded

    def _tick(self) -> None:
        self._counter[0] += 1
        if self._counter[0] == self._fail_at:
            raise Interrupted


async def check_nothing_lost_or_doubled(world: World, trips: list[Trip]) -> None:
    assert await everything(world) == trips
    for trip in trips:
        assert await world.history.trip(trip.trip_id, OPS) == trip


async def test_failure_before_or_after_any_call_to_a_store_loses_and_doubles_nothing(world: World) -> None:
    trips = await fill(world, 9)
    points = 0
    for fail_at in range(1, 60):
        counter = [0]
        live = _Between(world.live, counter, fail_at)
        archive = _Between(world.archive, counter, fail_at)
        archiver = Archiver(world.transactions, live, archive, SETTINGS)
        try:
            await archiver.run_once()
        except Interrupted:
            points += 1
        await check_nothing_lost_or_doubled(world, trips)
    assert points > 5
    assert await world.archiver.run_once() == ArchiveReport(0, 0)


async def test_cancel_at_any_suspension_loses_and_doubles_nothing(tmp_path: Path, clock: ManualClock, ids: Ids) -> None:
    resting = Database(f"sqlite+aiosqlite:///{tmp_path / 'archive.db'}")
    archive = SqliteTripArchive(resting)
    await archive.prepare()
    world = await new_world(f"sqlite+aiosqlite:///{tmp_path / 'main.db'}", clock, ids, archive)
    trips: list[Trip] = []
    points = 0
    for nth in itertools.count():
        trips = await refill(world, trips, nth)
        if not await cancelled_at(world.archiver, nth):
            break
        points += 1
        assert (await world.history.of_rider("rdr_1", None, 6)).items == tuple(trips[:6])
    await check_nothing_lost_or_doubled(world, trips)
    await world.archiver.run_once()
    assert await world.live.count_ended() == 0
    await check_nothing_lost_or_doubled(world, trips)
    assert points > 5
    await world.database.close()
    await resting.close()


class _FailingStatement:
    """Makes the nth statement or commit on any of some databases fail: even counts before it runs, odd ones after."""

    def __init__(self, *databases: Database) -> None:
        self.left: int | None = None
        for database in databases:
            engine = database.engine.sync_engine
            event.listen(engine, "before_cursor_execute", self._tick)
            event.listen(engine, "after_cursor_execute", self._tick)
            event.listen(engine, "commit", self._tick)

    def _tick(self, *_args: Any) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Interrupted


async def test_failure_around_any_sql_statement_loses_and_doubles_nothing(
    tmp_path: Path, clock: ManualClock, ids: Ids
) -> None:
    resting = Database(f"sqlite+aiosqlite:///{tmp_path / 'archive.db'}")
    archive = SqliteTripArchive(resting)
    await archive.prepare()
    world = await new_world(f"sqlite+aiosqlite:///{tmp_path / 'main.db'}", clock, ids, archive)
    failing = _FailingStatement(world.database, resting)
    trips: list[Trip] = []
    points = 0
    for nth in itertools.count():
        trips = await refill(world, trips, nth)
        failing.left = nth
        try:
            await world.archiver.run_once()
        except Interrupted:
            points += 1
        else:
            break
        finally:
            failing.left = None
        assert (await world.history.of_rider("rdr_1", None, 6)).items == tuple(trips[:6])
    await check_nothing_lost_or_doubled(world, trips)
    assert await world.live.count_ended() == 0
    assert points >= 8  # begin and commit, each with the way in and out: statements run without a suspension
    await world.database.close()
    await resting.close()


async def refill(world: World, trips: list[Trip], n: int) -> list[Trip]:
    """Three more trips to move when none is left; all trips, newest first."""
    if await world.live.count_ended():
        return trips
    for i in range(3):
        trips = [await _cancelled(world, 10 * n + i), *trips]
    return trips


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_pages_are_whole_while_the_archiver_moves_rows_between_them(world: World, size: int) -> None:
    trips = await fill(world, 11)
    found: list[Trip] = []
    cursor = None
    while True:
        page = await world.history.of_driver("drv_1", cursor, size)
        found.extend(page.items)
        batch = await world.live.settled(2)  # two rows move after each page
        await world.archive.put(batch)
        async with world.transactions() as uow:
            await uow.trips.remove_unchanged(batch)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == trips


class _MovesAfterReading:
    """A store after each of whose reads everything settled has moved to the archive."""

    def __init__(self, store: Any, world: World) -> None:
        self._store = store
        self._world = world

    def __getattr__(self, name: str) -> Any:
        read = getattr(self._store, name)

        async def and_move(*args: Any) -> Any:
            found = await read(*args)
            await self._world.archiver.run_once()
            return found

        return and_move


async def test_trips_that_move_between_the_two_reads_of_a_page_are_seen_once(world: World) -> None:
    moving_live, moving_archive = _MovesAfterReading(world.live, world), _MovesAfterReading(world.archive, world)
    history = History(moving_live, moving_archive, SETTINGS)
    trips = await fill(world, 5)
    assert (await history.of_rider("rdr_1")).items == tuple(trips)
    another = await _cancelled(world, 90)
    assert await history.trip(another.trip_id, OPS) == another
    assert (await history.of_rider("rdr_1")).items == (another, *trips)


async def _cancelled(world: World, n: int) -> Trip:
    trip = await world.open(n)
    world.clock._now += 1
    return await world.desk.cancel(trip.trip_id, OPS)
