"""Bringing a SQL schema up to date with Alembic, on a connection of our own instead of a URL in a file."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from runtime.sql import Database


async def upgrade(database: Database, scripts: Path) -> None:
    """Run the migrations of a folder that a database has not seen; nothing happens when it has seen them all."""
    async with database.transaction() as tx:
        await tx.connection.run_sync(lambda connection: command.upgrade(config(connection, scripts), "head"))


def config(connection: sa.Connection, scripts: Path) -> Config:
    """Alembic's configuration for one open connection; `env.py` finds it in the attributes."""
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(scripts))
    return made
