"""The migrations and the tables that the code expects are the same schema."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from app.schema import upgrade
from runtime.sql import Database, metadata


async def test_the_migrations_make_the_schema_that_the_code_expects(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'new.db'}")
    await upgrade(database)

    def differences(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with database.transaction() as tx:
        assert await tx.connection.run_sync(differences) == []
    await database.close()


async def test_upgrading_again_changes_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'new.db'}")
    for _ in range(2):
        await upgrade(database)
    async with database.reading() as connection:
        tables = await connection.run_sync(lambda plain: set(sa.inspect(plain).get_table_names()))
    assert set(metadata.tables) < tables
    await database.close()
