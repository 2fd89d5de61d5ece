"""The main database's schema: every room's tables on one metadata, brought up to date at each start."""

from __future__ import annotations

from pathlib import Path

import accounts.adapters.sql
import dispatch.adapters.sql
import payments.adapters.sql
import runtime.idempotency
import trips.adapters.sql
from runtime import migrations
from runtime.sql import Database

# importing them hangs their tables on runtime.sql.metadata
TABLES = (accounts.adapters.sql, dispatch.adapters.sql, payments.adapters.sql, runtime.idempotency, trips.adapters.sql)
SCRIPTS = Path(__file__).parent / "migrations"


async def upgrade(database: Database) -> None:
    """Bring a database to the newest schema."""
    await migrations.upgrade(database, SCRIPTS)
