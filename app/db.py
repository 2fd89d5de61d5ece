"""`hexcab db upgrade`: bring the SQL schema of every room's database to the newest version."""

from __future__ import annotations

import argparse
import asyncio

from app.databases import open_databases
from app.schema import upgrade
from runtime.datadir import DataDir
from runtime.settings import load_settings
from runtime.sqlsettings import SqlSettings


def run(arguments: argparse.Namespace) -> int:
    """Upgrade. A server's databases may be upgraded beside running engines, and by several processes at once.

    SQLite's only while no engine runs on the data directory, which upgrades by itself when it starts.
    """
    settings = load_settings(arguments.settings).sql
    data = DataDir(arguments.data_dir)
    if settings.url:
        asyncio.run(_upgrade(settings, data))
    else:
        with data:
            asyncio.run(_upgrade(settings, data))
    print("the schema is up to date")
    return 0


async def _upgrade(settings: SqlSettings, data: DataDir) -> None:
    databases = open_databases(settings, data.sql_url)
    try:
        await upgrade(databases)
    finally:
        await databases.close()
