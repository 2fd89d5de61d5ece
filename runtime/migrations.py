"""Bringing a SQL schema up to date with Alembic, on a connection of our own instead of a URL in a file.

Each room's tables have a history of their own: a branch of the migrations, labelled with the room's name. A database
runs the branches of the rooms that it holds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import Conflict, Unavailable
from runtime.sql import Database, compare_bytewise

_LOCK = "hexcab schema"
_LOCK_NUMBER = 0x68657863616273  # the same for PostgreSQL, whose locks have numbers


async def upgrade(database: Database, scripts: Path, branches: Sequence[str]) -> None:
    """Run the migrations of these branches that a database has not seen; nothing happens when it has seen them all.

    Several processes may do so at once: one upgrades, the others wait for at most `upgrade_wait_s`. Where the database
    cannot take back half an upgrade (MariaDB), the next one goes on where it stopped. Raises Conflict when the database
    has a schema that the folder does not know, such as a later version's; Unavailable.
    """

    def run(connection: sa.Connection) -> None:
        config = _config(connection, scripts)
        for branch in branches:
            command.upgrade(config, f"{branch}@head")

    try:
        async with database.transaction() as tx, _alone(database, tx.connection):
            await compare_bytewise(tx.connection)
            await tx.connection.run_sync(_adopt, [f"{branch}_0001" for branch in branches])
            await tx.connection.run_sync(run)
    except CommandError as error:
        raise Conflict(f"the data has a schema that this version cannot use: {error}", code="unknown_schema") from error


class Versions(NamedTuple):
    """Where a database's schema stands: its numbers, those it lacks, and those that this release does not know."""

    present: tuple[str, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]


def versions(connection: sa.Connection, scripts: Path, branches: Sequence[str]) -> Versions:
    """Compare a database with these branches; changes nothing."""
    script = ScriptDirectory.from_config(_config(connection, scripts))
    heads = MigrationContext.configure(connection).get_current_heads()
    known = {each.revision for each in script.walk_revisions()}
    wanted = {each.revision for branch in branches for each in script.iterate_revisions(f"{branch}@head", "base")}
    present = tuple(sorted(heads))
    done = {each.revision for head in set(heads) & known for each in script.iterate_revisions(head, "base")}
    return Versions(present, tuple(sorted(wanted - done)), tuple(each for each in present if each not in known))


@asynccontextmanager
async def _alone(database: Database, connection: AsyncConnection) -> AsyncIterator[None]:
    """Hold the lock of the schema; statements may take as long as they need. SQLite's transaction is that lock."""
    wait_s = database.settings.upgrade_wait_s
    if database.kind == "sqlite":
        yield
    elif database.kind == "postgresql":
        await connection.exec_driver_sql(f"SET LOCAL statement_timeout = {round(wait_s * 1000)}")
        await connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(wait_s * 1000)}")
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER})")
        yield
    else:
        named = f"CONCAT('{_LOCK} ', DATABASE())"
        await connection.exec_driver_sql(_mariadb_limits(round(wait_s), 0))
        got = (await connection.exec_driver_sql(f"SELECT GET_LOCK({named}, {round(wait_s)})")).scalar_one()
        if not got:
            raise Unavailable("another process upgrades the schema and does not end", code="store_busy")
        try:
            yield
        finally:
            await connection.exec_driver_sql(f"SELECT RELEASE_LOCK({named})")
            settings = database.settings
            await connection.exec_driver_sql(_mariadb_limits(round(settings.statement_s), settings.statement_s))


def _mariadb_limits(lock_s: int, statement_s: float) -> str:
    return f"SET SESSION lock_wait_timeout = {max(1, lock_s)} /*M! , max_statement_time = {statement_s} */"


def _adopt(connection: sa.Connection, first: Sequence[str]) -> None:
    """A database of the first version has every room's tables under one number."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return
    gone = connection.execute(sa.text("DELETE FROM alembic_version WHERE version_num = '0001'"))
    if gone.rowcount:
        rows = [{"number": number} for number in first]
        connection.execute(sa.text("INSERT INTO alembic_version (version_num) VALUES (:number)"), rows)


def _config(connection: sa.Connection, scripts: Path) -> Config:
    """Alembic's configuration for one open connection; `env.py` finds it in the attributes."""
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(scripts))
    return made
