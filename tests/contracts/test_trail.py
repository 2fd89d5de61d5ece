"""What every TrailLog keeps: in memory, in SQLite and in Cassandra."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from core.clock import Clock
from core.errors import Unavailable
from location.adapters.cassandra import TABLES, CassandraTrail
from location.adapters.memory import MemoryTrail
from location.adapters.sqlite_trail import SqliteTrail
from location.messages import Position
from location.model import LastPosition, TrailPoint
from location.ports import TrailLog
from runtime.clocks import ManualClock
from runtime.sql import Database
from tests.servers.engines import cassandra_session, cassandra_settings

T = 1_790_000_000_000


@contextlib.asynccontextmanager
async def opened(name: str, request: pytest.FixtureRequest, clock: Clock, keep_s: float) -> AsyncIterator[TrailLog]:
    """An empty log of a kind; where it is Cassandra, points without a trip expire after `keep_s`."""
    if name == "memory":
        yield MemoryTrail()
    elif name == "sqlite":
        database = Database(f"sqlite+aiosqlite:///{request.getfixturevalue('tmp_path') / 'archive.db'}")
        trail = SqliteTrail(database)
        await trail.prepare()
        await trail.prepare()  # an engine that starts again finds its tables
        try:
            yield trail
        finally:
            await database.close()
    else:
        address, keyspace = request.getfixturevalue("cassandra_address"), request.getfixturevalue("keyspace")
        settings = cassandra_settings(address, keyspace, page_rows=1_000)
        async with cassandra_session(settings, TABLES) as cassandra:
            yield CassandraTrail(cassandra, clock, keep_s)


@pytest.fixture(params=["memory", "sqlite", pytest.param("cassandra", marks=pytest.mark.slow)])
async def log(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[TrailLog]:
    async with opened(request.param, request, clock, keep_s=86_400.0) as trail:
        yield trail


@pytest.fixture(params=["memory", "sqlite"])
async def purged(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[TrailLog]:
    """A log from which retention removes; in the others points expire."""
    async with opened(request.param, request, clock, keep_s=86_400.0) as trail:
        yield trail


def point(seq: int, trip_id: str | None = "trip_1", driver_id: str = "drv_1", ts: int | None = None) -> TrailPoint:
    at = T + 1_000 * seq if ts is None else ts
    return TrailPoint(driver_id, trip_id, True, Position(seq, at, 57.7 + seq / 1_000, 11.97, heading=90))


async def test_a_trail_is_by_time_whatever_the_order_of_the_appends(log: TrailLog) -> None:
    await log.append([point(3), point(1)])
    await log.append([point(2), point(9, trip_id="trip_2")])
    trail = await log.of_trip("trip_1")
    assert trail.seq.tolist() == [1, 2, 3]
    assert trail.ts.tolist() == [T + 1_000, T + 2_000, T + 3_000]
    np.testing.assert_allclose(trail.lat, [57.701, 57.702, 57.703])
    assert trail.heading.tolist() == [90, 90, 90]
    assert np.isnan(trail.speed).all()
    assert np.isnan(trail.accuracy).all()
    assert len(trail) == 3


async def test_a_point_sent_again_is_kept_once(log: TrailLog) -> None:
    await log.append([point(1), point(1)])
    await log.append([point(1), point(2)])
    assert (await log.of_trip("trip_1")).seq.tolist() == [1, 2]


async def test_the_same_number_at_another_time_or_of_another_driver_is_another_point(log: TrailLog) -> None:
    await log.append([point(1), point(1, ts=T + 7_000), point(1, driver_id="drv_2")])
    assert (await log.of_trip("trip_1")).seq.tolist() == [1, 1, 1]


async def test_an_unknown_trip_and_no_points_are_empty(log: TrailLog) -> None:
    await log.append([])
    assert len(await log.of_trip("trip_9")) == 0
    assert (await log.of_trip("trip_9")).lat.shape == (0,)
    assert await log.last_position("drv_1") is None


async def test_a_track_has_idle_and_trip_points_of_one_driver_within_the_times(log: TrailLog) -> None:
    await log.append([point(1, None), point(2), point(3, None), point(4), point(2, None, "drv_2")])
    track = await log.track("drv_1", T + 2_000, T + 4_000)
    assert track.seq.tolist() == [2, 3]
    assert track.trip_ids == ["trip_1", None]


async def test_the_last_position_is_the_newest_by_time(log: TrailLog) -> None:
    await log.append([point(1, None), point(2, None), point(7, None, "drv_2")])
    await log.append([point(3)])
    await log.append([point(2, None)])
    first, second = await log.last_position("drv_1"), await log.last_position("drv_2")
    assert first == LastPosition("drv_1", 3, T + 3_000, 57.703, 11.97, 90, None, True, "trip_1")
    assert second == LastPosition("drv_2", 7, T + 7_000, 57.707, 11.97, 90, None, True, None)
    await log.append([point(4, None)._replace(online=False)])
    ended = await log.last_position("drv_1")
    assert ended == LastPosition("drv_1", 4, T + 4_000, 57.704, 11.97, 90, None, False, None)


async def test_much_is_kept_and_read_back_whole(log: TrailLog) -> None:
    await log.append([point(seq, None if seq % 3 else f"trip_{seq % 5}", f"drv_{seq % 2}") for seq in range(12_000)])
    tracks = [await log.track(driver_id, 0, T * 2) for driver_id in ("drv_0", "drv_1")]
    assert [track.seq.tolist() for track in tracks] == [list(range(0, 12_000, 2)), list(range(1, 12_000, 2))]
    assert (await log.of_trip("trip_0")).seq.tolist() == list(range(0, 12_000, 15))


async def test_retention_removes_old_idle_points_and_keeps_trips(purged: TrailLog) -> None:
    await purged.append([point(1, None), point(2), point(3, None), point(4, None)])
    assert await purged.purge(T + 4_000) == 2
    assert (await purged.track("drv_1", T, T + 60_000)).seq.tolist() == [2, 4]
    assert await purged.purge(T + 4_000) == 0
    assert await purged.last_position("drv_1") is not None


async def test_much_is_purged_in_bounded_steps(purged: TrailLog) -> None:
    await purged.append([point(seq, None) for seq in range(12_000)])
    assert await purged.purge(T + 11_000_000) == 11_000
    assert len(await purged.track("drv_1", 0, T * 2)) == 1_000


@pytest.mark.slow
async def test_in_cassandra_idle_points_expire_by_their_own_time_and_trips_stay(
    request: pytest.FixtureRequest, clock: ManualClock
) -> None:
    async with opened("cassandra", request, clock, keep_s=3.0) as log:
        late = [point(0, None, ts=T - 3_000), point(0, ts=T - 5_000)]  # in the app's buffer for too long
        await log.append([*late, point(1, None), point(2, None, ts=T + 86_400_000), point(3)])
        kept = (await log.track("drv_1", 0, T * 2)).ts.tolist()
        assert kept == [T - 5_000, T + 1_000, T + 3_000, T + 86_400_000]
        async with asyncio.timeout(60):
            while len(await log.track("drv_1", 0, T * 2)) > 3:
                await asyncio.sleep(0.2)
        assert (await log.track("drv_1", 0, T * 2)).ts.tolist() == [T - 5_000, T + 3_000, T + 86_400_000]
        assert await log.purge(T + 60_000) == 0
        last = await log.last_position("drv_1")
        assert last is not None
        assert last.ts == T + 86_400_000


async def test_an_older_point_that_comes_late_does_not_take_the_last_position(log: TrailLog) -> None:
    await log.append([point(9)])
    await log.append([point(8, None)._replace(online=False), point(7)])
    last = await log.last_position("drv_1")
    assert last is not None
    assert (last.seq, last.online, last.trip_id) == (9, True, "trip_1")


async def test_a_track_goes_over_days_and_trips_over_midnight(log: TrailLog) -> None:
    day = 86_400_000
    midnight = (T // day + 1) * day
    await log.append([point(1, ts=midnight - 1_000), point(2, ts=midnight), point(3, None, ts=midnight + 1_000)])
    await log.append([point(4, "trip_2", ts=midnight - 30 * day), point(1, "trip_2", "drv_2", midnight)])
    assert (await log.track("drv_1", midnight - 1_000, midnight + 1)).seq.tolist() == [1, 2]
    assert (await log.track("drv_1", midnight, midnight + day)).seq.tolist() == [2, 3]
    assert (await log.track("drv_1", 0, midnight)).seq.tolist() == [4, 1]
    assert (await log.track("drv_1", midnight, midnight)).seq.tolist() == []


async def test_what_was_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'archive.db'}"
    first = Database(url)
    trail = SqliteTrail(first)
    await trail.prepare()
    await trail.append([point(1), point(2)])
    await first.close()
    second = Database(url)
    again = SqliteTrail(second)
    await again.prepare()
    assert (await again.of_trip("trip_1")).seq.tolist() == [1, 2]
    last = await again.last_position("drv_1")
    assert last is not None
    assert last.seq == 2
    await second.close()


async def test_a_file_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'missing' / 'archive.db'}")
    with pytest.raises(Unavailable):
        await SqliteTrail(database).prepare()
    await database.close()
