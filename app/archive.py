"""`hexcab archive run`: move finished trips to the archive now; safe while an engine runs on the same data."""

from __future__ import annotations

import argparse
import asyncio

from app.databases import open_databases
from app.schema import upgrade
from app.wiring.trips import RequestEnds
from core.errors import NotFound
from runtime.datadir import DataDir
from runtime.settings import Settings, load_settings
from runtime.sql import Database
from trips.adapters.sql import SqlLiveTrips, SqlTransactions
from trips.adapters.sqlite_archive import SqliteTripArchive
from trips.archive import Archiver, ArchiveReport


def run(arguments: argparse.Namespace) -> int:
    """Archive once and say what was moved."""
    data, settings = DataDir(arguments.data_dir), load_settings(arguments.settings)
    if not settings.sql.url and not (data.path / "hexcab.db").exists():
        raise NotFound(f"{data.path} holds no engine's data")
    report = asyncio.run(_archive(data, settings))
    print(f"{report.moved} trips archived, {report.left} ended trips not ready yet")
    return 0


async def _archive(data: DataDir, settings: Settings) -> ArchiveReport:
    databases, old = open_databases(settings.sql, data.sql_url), Database(data.archive_url)
    try:
        await upgrade(databases)
        archive = SqliteTripArchive(old)
        await archive.prepare()
        transactions = SqlTransactions(databases.trips, RequestEnds())
        archiver = Archiver(transactions, SqlLiveTrips(databases.trips), archive, settings.trips)
        return await archiver.run_once()
    finally:
        await databases.close()
        await old.close()
