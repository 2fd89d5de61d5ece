"""`hexcab archive run`: move finished trips to the archive now; safe while an engine runs on the same data."""

from __future__ import annotations

import argparse
import asyncio

from accounts.adapters.sql import SqlRatings
from app.schema import upgrade
from app.wiring.trips import RequestEnds
from core.errors import NotFound
from runtime.datadir import DataDir
from runtime.settings import Settings
from runtime.sql import Database
from trips.adapters.sql import SqlLiveTrips, SqlTransactions
from trips.adapters.sqlite_archive import SqliteTripArchive
from trips.archive import Archiver, ArchiveReport


def run(arguments: argparse.Namespace) -> int:
    """Archive once and say what was moved."""
    data = DataDir(arguments.data_dir)
    if not (data.path / "hexcab.db").exists():
        raise NotFound(f"{data.path} holds no engine's data")
    report = asyncio.run(_archive(data))
    print(f"{report.moved} trips archived, {report.left} ended trips not ready yet")
    return 0


async def _archive(data: DataDir) -> ArchiveReport:
    main, old = Database(data.sql_url), Database(data.archive_url)
    try:
        await upgrade(main)
        archive = SqliteTripArchive(old)
        await archive.prepare()
        transactions = SqlTransactions(main, RequestEnds(), SqlRatings())
        archiver = Archiver(transactions, SqlLiveTrips(main), archive, Settings().trips)
        return await archiver.run_once()
    finally:
        await main.close()
        await old.close()
