"""The main database's schema: every room's tables on one metadata, brought up to date by Alembic."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import accounts.adapters.sql
import dispatch.adapters.sql
import payments.adapters.sql
import runtime.idempotency
import trips.adapters.sql
from runtime.sql import Database, metadata

# importing them hangs their tables on the metadata
TABLES = (accounts.adapters.sql, dispatch.adapters.sql, payments.adapters.sql, runtime.idempotency, trips.adapters.sql)


def tables() -> sa.MetaData:
    """The schema that the code expects."""
    return metadata


async def upgrade(database: Database) -> None:
    """Bring a database to the newest schema; nothing happens when it is there already."""
    async with database.transaction() as tx:
        await tx.connection.run_sync(_upgrade)


def _upgrade(connection: sa.Connection) -> None:
    command.upgrade(config(connection), "head")


def config(connection: sa.Connection) -> Config:
    """Alembic's configuration for one open connection."""
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return made
