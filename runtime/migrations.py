"""Bringing a SQL schema up to date with Alembic, on a connection of our own instead of a URL in a file."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError

from core.errors import Conflict
from runtime.sql import Database


async def upgrade(database: Database, scripts: Path) -> None:
    """Run the migrations of a folder that a database has not seen; nothing happens when it has seen them all.

    Raises Conflict when the database has a schema that the folder does not know, such as a later version's.
    """
    try:
        async with database.transaction() as tx:
            await tx.connection.run_sync(lambda connection: command.upgrade(config(connection, scripts), "head"))
    except CommandError as error:
        raise Conflict(f"the data has a schema that this version cannot use: {error}", code="unknown_schema") from error


def config(connection: sa.Connection, scripts: Path) -> Config:
    """Alembic's configuration for one open connection; `env.py` finds it in the attributes."""
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(scripts))
    return made
