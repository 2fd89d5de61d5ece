"""`hexcab db upgrade`: bring the SQL schema of a data directory to the newest version."""

from __future__ import annotations

import argparse
import asyncio

from app.schema import upgrade
from runtime.datadir import DataDir
from runtime.sql import Database


def run(arguments: argparse.Namespace) -> int:
    """Upgrade; refuses while an engine runs on the directory, which upgrades by itself when it starts."""
    with DataDir(arguments.data_dir) as data:
        asyncio.run(_upgrade(data))
    print(f"{arguments.data_dir}: the schema is up to date")
    return 0


async def _upgrade(data: DataDir) -> None:
    database = Database(data.sql_url)
    try:
        await upgrade(database)
    finally:
        await database.close()
