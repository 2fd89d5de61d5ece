"""The migrations and the tables that the code expects are the same schema, in every database that a room may have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from app.databases import ROOMS, Room, open_databases
from app.schema import TABLES, upgrade, upgrade_one
from core.errors import Conflict
from runtime.sql import Database, metadata
from runtime.sqlsettings import SqlSettings
from tests.servers import SQL_KINDS

PLACES: list[tuple[Room, ...]] = [ROOMS, *((room,) for room in ROOMS), ("riders", "drivers")]


def names(rooms: Sequence[Room]) -> set[str]:
    return {table.name for room in rooms for table in TABLES[room]}


async def tables(database: Database) -> set[str]:
    async with database.transaction() as tx:
        found = await tx.connection.run_sync(lambda plain: sa.inspect(plain).get_table_names())
    return set(found) - {"alembic_version"}


async def differences(database: Database, rooms: Sequence[Room]) -> list[object]:
    wanted = names(rooms)

    def compare(connection: sa.Connection) -> list[object]:
        options = {"include_object": lambda _, name, kind, *__: kind != "table" or name in wanted, "compare_type": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    async with database.transaction() as tx:
        return await tx.connection.run_sync(compare)


@pytest.mark.parametrize("rooms", PLACES, ids="-".join)
async def test_the_migrations_make_the_tables_of_the_rooms_and_no_others(sql_url: str, rooms: tuple[Room, ...]) -> None:
    database = Database(sql_url)
    await upgrade_one(database, rooms)
    assert await tables(database) == names(rooms)
    assert await differences(database, rooms) == []
    await database.close()


async def test_upgrading_again_changes_nothing_and_adds_a_room_that_moves_in(sql_url: str) -> None:
    database = Database(sql_url)
    for rooms in (("trips",), ("trips",), ("trips", "payments"), ROOMS):
        await upgrade_one(database, rooms)
        assert await tables(database) == names(rooms)
    await database.close()


async def test_several_processes_may_upgrade_at_once(sql_url: str) -> None:
    databases = [Database(sql_url) for _ in range(5)]
    await asyncio.gather(*(upgrade_one(database) for database in databases))
    assert await tables(databases[0]) == names(ROOMS)
    for database in databases:
        await database.close()


async def test_an_upgrade_leaves_the_limits_of_its_connection_as_they_were(sql_url: str) -> None:
    database = Database(sql_url, SqlSettings(pool=1))
    shown = {
        "sqlite": "SELECT 1",
        "postgresql": "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')",
        "mariadb": "SELECT @@max_statement_time",
    }[database.kind]
    seen = []
    for _ in range(2):
        async with database.transaction() as tx:
            seen.append((await tx.connection.exec_driver_sql(shown)).one())
        await upgrade_one(database)
    assert seen[0] == seen[1]
    await database.close()


async def test_an_upgrade_that_broke_off_goes_on(sql_url: str) -> None:
    database = Database(sql_url)
    await upgrade_one(database)
    async with database.transaction() as tx:  # what is left where the first half cannot be taken back
        for statement in ("DROP TABLE trip_ratings", "DELETE FROM alembic_version WHERE version_num LIKE 'trips%%'"):
            await tx.connection.exec_driver_sql(
                statement.replace("%%", "%") if database.kind == "sqlite" else statement
            )
    await upgrade_one(database)
    assert await tables(database) == names(ROOMS)
    assert await differences(database, ROOMS) == []
    await database.close()


async def test_a_database_of_the_first_version_is_taken_over(sql_url: str) -> None:
    database = Database(sql_url)
    await upgrade_one(database)
    async with database.transaction() as tx:
        for table in ("rider_ratings", "driver_ratings", "leases", "alembic_version"):
            await tx.connection.exec_driver_sql(f"DROP TABLE {table}")
        await tx.connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        await tx.connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('0001')")
    await upgrade_one(database)
    assert await differences(database, ROOMS) == []
    await database.close()


async def test_a_schema_of_a_later_version_is_refused(sql_url: str) -> None:
    database = Database(sql_url)
    await upgrade_one(database)
    async with database.transaction() as tx:
        await tx.connection.exec_driver_sql(
            "UPDATE alembic_version SET version_num = '9999' WHERE version_num BETWEEN 'trips' AND 'tript'"
        )
    with pytest.raises(Conflict) as refused:
        await upgrade_one(database)
    assert refused.value.code == "unknown_schema"
    await database.close()


def test_no_foreign_key_crosses_rooms() -> None:
    for room, of_room in TABLES.items():
        for table in of_room:
            targets = {key.column.table.name for key in table.foreign_keys}
            assert targets <= names([room]), f"{table.name} of {room} refers to {targets}"
    assert names(ROOMS) == set(metadata.tables)


@pytest.mark.parametrize("kind", SQL_KINDS)
async def test_each_room_may_have_a_database_of_its_own(new_sql_url: Callable[[str], str], kind: str) -> None:
    main, accounts, payments = (new_sql_url(kind) for _ in range(3))
    settings = SqlSettings(url=main, riders_url=accounts, drivers_url=accounts, payments_url=payments)
    databases = open_databases(settings, "sqlite:///unused.db")
    assert [rooms for _, rooms in databases.each()] == [("riders", "drivers"), ("trips",), ("payments",)]
    await upgrade(databases)
    for database, rooms in databases.each():
        assert await tables(database) == names(rooms)
    await databases.close()


async def test_one_database_has_every_room_by_default(sql_url: str) -> None:
    databases = open_databases(SqlSettings(), sql_url)
    assert [rooms for _, rooms in databases.each()] == [ROOMS]
    await databases.close()
