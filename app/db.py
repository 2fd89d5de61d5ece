"""`hexcab db upgrade`: bring the SQL schema to the newest version, and make Cassandra's tables where there is one."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from app.archives import open_cassandra
from app.schema import upgrade
from runtime.datadir import DataDir
from runtime.settings import Settings, load_settings
from runtime.sql import Database


def run(arguments: argparse.Namespace) -> int:
    """Upgrade; refuses while an engine runs on the directory, which upgrades by itself when it starts."""
    with DataDir(arguments.data_dir) as data:
        asyncio.run(_upgrade(data, load_settings(arguments.settings)))
    print(f"{arguments.data_dir}: the schema is up to date")
    return 0


async def _upgrade(data: DataDir, settings: Settings) -> None:
    async with contextlib.AsyncExitStack() as closing:
        database = Database(data.sql_url)
        closing.push_async_callback(database.close)
        await upgrade(database)
        if settings.cassandra.hosts:
            await open_cassandra(settings, closing).ready(settings.cassandra.schema_timeout_s)
