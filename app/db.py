"""`hexcab db upgrade`: bring the schema of every database to the newest version, and make the tables of Cassandra."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from app.archives import open_cassandra
from app.databases import open_databases
from app.schema import upgrade
from runtime.datadir import DataDir
from runtime.settings import Settings, load_settings


def run(arguments: argparse.Namespace) -> int:
    """Upgrade. A server's databases may be upgraded beside running engines, and by several processes at once.

    SQLite's only while no engine runs on the data directory, which upgrades by itself when it starts.
    """
    settings = load_settings(arguments.settings)
    data = DataDir(arguments.data_dir)
    with contextlib.nullcontext() if settings.sql.url else data:
        asyncio.run(_upgrade(data, settings))
    print("the schema is up to date")
    return 0


async def _upgrade(data: DataDir, settings: Settings) -> None:
    async with contextlib.AsyncExitStack() as closing:
        databases = open_databases(settings.sql, data.sql_url)
        closing.push_async_callback(databases.close)
        await upgrade(databases)
        if settings.cassandra.hosts:
            await open_cassandra(settings, closing).ready(settings.cassandra.schema_timeout_s)
