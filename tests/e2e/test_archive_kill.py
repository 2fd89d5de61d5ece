"""`hexcab archive run` on a real Cassandra, several at once and killed at any moment: no trip is lost or doubled."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from app.schema import upgrade_one
from core.ids import Ids
from location.adapters.cassandra import TABLES as TRAIL_TABLES
from runtime.cassandra_settings import CassandraSettings
from runtime.clocks import ManualClock
from runtime.datadir import DataDir
from runtime.sql import Database
from tests.e2e.engine_process import hexcab
from tests.servers.engines import cassandra_session, cassandra_settings
from tests.trips.test_archiver import check_nothing_lost_or_doubled, fill
from tests.trips.world import World
from trips.adapters.cassandra import TABLES, CassandraTripArchive

pytestmark = pytest.mark.slow

TRIPS = 150
KILLS = 6


@pytest.fixture
def settings(cassandra_address: tuple[str, int], keyspace: str) -> CassandraSettings:
    return cassandra_settings(cassandra_address, keyspace)


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock, ids: Ids, settings: CassandraSettings) -> AsyncIterator[World]:
    database = Database(DataDir(tmp_path).sql_url)
    await upgrade_one(database)
    async with cassandra_session(settings, TABLES) as cassandra:
        yield World(database, clock, ids, CassandraTripArchive(cassandra))
    await database.close()


def write_settings(folder: Path, settings: CassandraSettings) -> None:
    (folder / "settings.toml").write_text(
        f'[cassandra]\nhosts = "{settings.hosts}"\nport = {settings.port}\nkeyspace = "{settings.keyspace}"\n'
        'replication = "1"\nrequest_timeout_s = 20.0\nschema_timeout_s = 30.0\n[trips]\narchive_batch = 3\n'
    )


async def archiving(folder: Path) -> asyncio.subprocess.Process:
    words = ["-m", "app.cli", "archive", "run", "--data-dir", str(folder), "--settings", str(folder / "settings.toml")]
    return await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)


async def test_archivers_that_run_at_once_and_are_killed_lose_and_double_nothing(
    world: World, tmp_path: Path, settings: CassandraSettings
) -> None:
    write_settings(tmp_path, settings)
    trips = await fill(world, TRIPS)
    rng = random.Random(seed := random.SystemRandom().randrange(10_000))
    killed_in_the_middle = 0
    for _ in range(KILLS):
        before = await world.live.count_ended()
        processes = [await archiving(tmp_path) for _ in range(2)]
        while await world.live.count_ended() == before and any(each.returncode is None for each in processes):
            await asyncio.sleep(0.01)
        await asyncio.sleep(rng.uniform(0, 0.1))
        for each in processes:
            if each.returncode is None:
                each.send_signal(signal.SIGKILL)
            await each.communicate()
            killed_in_the_middle += each.returncode == -signal.SIGKILL
        page = await world.history.of_rider("rdr_1", None, 50)
        assert page.items == tuple(trips[:50]), f"seed {seed}"
    assert killed_in_the_middle >= KILLS // 2
    last = await archiving(tmp_path)
    said, _ = await last.communicate()
    assert last.returncode == 0
    assert said.decode().endswith("trips archived, 0 ended trips not ready yet\n")
    assert await world.live.count_ended() == 0
    assert await world.archive.verified(trips) == trips
    await check_nothing_lost_or_doubled(world, trips)


async def test_an_upgrade_makes_the_tables_of_cassandra_and_says_when_it_is_away(
    tmp_path: Path, settings: CassandraSettings
) -> None:
    words = ["db", "upgrade", "--data-dir", str(tmp_path / "data"), "--settings", str(tmp_path / "settings.toml")]
    settings = msgspec.structs.replace(settings, keyspace=f"{settings.keyspace}_new")
    write_settings(tmp_path, settings)
    done = await asyncio.to_thread(hexcab, *words)
    assert done.returncode == 0, done.stderr
    async with cassandra_session(settings, []) as cassandra:
        for table in (*TRAIL_TABLES, *TABLES):
            assert await cassandra.rows(f"SELECT * FROM KEYSPACE.{table.name} LIMIT 1", ()) == []
        await cassandra.rows(f"DROP KEYSPACE {settings.keyspace}", ())
    away = tmp_path / "settings.toml"
    away.write_text('[cassandra]\nhosts = "127.0.0.1"\nport = 1\nschema_timeout_s = 1.0\n')
    done = await asyncio.to_thread(hexcab, *words)
    assert (done.returncode, done.stderr.startswith("hexcab: Cassandra is away: no node can be used")) == (1, True)
