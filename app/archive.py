"""`hexcab archive run`: move finished trips to the archive now; safe while engines run on the same data."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from app.archives import Archives, open_archives
from app.databases import open_databases
from app.schema import upgrade
from app.wiring.trips import RequestEnds
from core.errors import NotFound, Unavailable
from runtime.clocks import WallClock
from runtime.datadir import DataDir
from runtime.settings import Settings, load_settings
from trips.adapters.sql import SqlLiveTrips, SqlTransactions
from trips.archive import Archiver, ArchiveReport

_LOOK_EVERY_S = 0.2  # wall time, while Cassandra is connected to


def run(arguments: argparse.Namespace) -> int:
    """Archive once and say what was moved."""
    data, settings = DataDir(arguments.data_dir), load_settings(arguments.settings)
    if not settings.sql.url and not (data.path / "hexcab.db").exists():
        raise NotFound(f"{data.path} holds no engine's data")
    report = asyncio.run(_archive(data, settings))
    print(f"{report.moved} trips archived, {report.left} ended trips not ready yet")
    return 0


async def _archive(data: DataDir, settings: Settings) -> ArchiveReport:
    async with contextlib.AsyncExitStack() as closing:
        databases = open_databases(settings.sql, data.sql_url)
        closing.push_async_callback(databases.close)
        await upgrade(databases)
        archives = await open_archives(data, settings, WallClock(), closing)
        await _answering(archives, settings.cassandra.schema_timeout_s)
        transactions = SqlTransactions(databases.trips, RequestEnds())
        archiver = Archiver(transactions, SqlLiveTrips(databases.trips), archives.trips, settings.trips)
        return await archiver.run_once()


async def _answering(archives: Archives, timeout_s: float) -> None:
    """Wait until the archive answers. Raises Unavailable saying why it does not."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    await archives.check()
                except Unavailable:
                    await asyncio.sleep(_LOOK_EVERY_S)
                else:
                    return
    await archives.check()
