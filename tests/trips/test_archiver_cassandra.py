"""The archiver on a real Cassandra: interrupted around any statement it neither loses nor doubles a trip."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from core.ids import Ids
from runtime.cassandra import Cassandra, Write
from runtime.clocks import ManualClock
from tests.servers.engines import cassandra_session, cassandra_settings
from tests.trips.test_archiver import (
    OPS,
    Interrupted,
    check_nothing_lost_or_doubled,
    fill,
    refill,
)
from tests.trips.world import World, new_world
from trips.adapters.cassandra import TABLES, CassandraTripArchive
from trips.archive import ArchiveReport
from trips.model import Trip

pytestmark = pytest.mark.slow


class Failing:
    """A session whose nth statement is not sent, or sent without that its answer comes back."""

    def __init__(self, cassandra: Cassandra) -> None:
        self._cassandra = cassandra
        self.left: int | None = None

    async def rows(self, cql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        self._tick()
        found = await self._cassandra.rows(cql, values)
        self._tick()
        return found

    async def write(self, writes: Sequence[Write]) -> None:
        for one in writes:
            self._tick()
            await self._cassandra.write([one])
            self._tick()

    def _tick(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Interrupted


@pytest.fixture
async def cassandra(cassandra_address: tuple[str, int], keyspace: str) -> AsyncIterator[Cassandra]:
    async with cassandra_session(cassandra_settings(cassandra_address, keyspace), TABLES) as session:
        yield session


@pytest.fixture
def failing(cassandra: Cassandra) -> Failing:
    return Failing(cassandra)


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock, ids: Ids, failing: Failing) -> AsyncIterator[World]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'main.db'}"
    made = await new_world(url, clock, ids, CassandraTripArchive(cast(Cassandra, failing)))
    yield made
    await made.database.close()


async def test_failure_around_any_statement_loses_and_doubles_nothing(world: World, failing: Failing) -> None:
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
    assert points == 3 * 2 * (5 + 5)  # each trip: five rows written and five read back, before and after


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
        assert await world.archive.verified(batch) == batch
        async with world.transactions() as uow:
            await uow.trips.remove_unchanged(batch)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == trips
    assert await world.archiver.run_once() == ArchiveReport(max(0, 11 - 2 * -(-11 // size)), 0)
    assert [await world.history.trip(trip.trip_id, OPS) for trip in trips] == trips
