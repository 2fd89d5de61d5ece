"""A SQL database: whether it answers and may be written, its schema's version, durability, room and clock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from runtime.doctor.findings import Finding, Standards, Status, clock_wrong, graded
from runtime.migrations import Versions, versions
from runtime.sql import Database

_POSTGRESQL = """
    SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8, pg_is_in_recovery(),
        current_setting('fsync'), current_setting('synchronous_commit'), current_setting('max_connections')::int
"""
_MARIADB = """
    SELECT version(), CAST(UNIX_TIMESTAMP(NOW(6)) AS DOUBLE), @@read_only, @@innodb_flush_log_at_trx_commit,
        @@log_bin, @@binlog_format, @@max_connections
"""

Wrong = list[tuple[Status, str, str]]


async def look_at_sql(
    check: str, database: Database, scripts: Path, branches: Sequence[str], standards: Standards
) -> Sequence[Finding]:
    """The lines of one database that holds the tables of these rooms. Raises Unavailable."""
    wrong: Wrong = []
    async with database.reading() as connection:
        if database.kind == "sqlite":
            version = f"SQLite {(await connection.exec_driver_sql('SELECT sqlite_version()')).scalar_one()}"
        else:
            version, wrong = await _server(connection, database, standards)
        found = await connection.run_sync(versions, scripts, branches)
    wrong += _schema(found)
    return graded(check, wrong, f"{version}, schema {' '.join(found.present)}")


async def _server(connection: AsyncConnection, database: Database, standards: Standards) -> tuple[str, Wrong]:
    postgresql = database.kind == "postgresql"
    before = standards.clock.now()
    row: Any = (await connection.exec_driver_sql(_POSTGRESQL if postgresql else _MARIADB)).one()
    own = (before + standards.clock.now()) / 2
    wrong = clock_wrong(float(row[1]) - own, standards)
    wrong += (_postgresql if postgresql else _mariadb)(row)
    wants, most = database.settings.pool + database.settings.read_pool, int(row[-1])
    if wants >= most:
        each = f"one process may open {wants} connections and the server takes {most} of all"
        wrong.append(("warn", each, "raise max_connections, or lower sql.pool and sql.read_pool"))
    return f"{'PostgreSQL' if postgresql else 'MariaDB'} {row[0]}", wrong


def _postgresql(row: Any) -> Wrong:
    wrong: Wrong = []
    if row[2]:
        wrong.append(("fail", "it is a standby and takes no writes", "let sql.url lead to the primary"))
    lax = [f"{name} = off" for name, value in (("fsync", row[3]), ("synchronous_commit", row[4])) if value == "off"]
    if lax:
        remedy = "set it to on: what was acknowledged must outlive the server"
        wrong.append(("fail", f"{', '.join(lax)}: commits may be lost", remedy))
    return wrong


def _mariadb(row: Any) -> Wrong:
    wrong: Wrong = []
    if row[2]:
        wrong.append(("fail", "it is read-only", "let the URL lead to the primary, or set read_only = 0"))
    if row[3] != 1:
        detail = f"innodb_flush_log_at_trx_commit = {row[3]}: commits may be lost"
        wrong.append(("fail", detail, "set it to 1: what was acknowledged must outlive the server"))
    if row[4] and row[5] == "STATEMENT":
        wrong.append(("fail", "binlog_format = STATEMENT refuses READ COMMITTED", "set it to ROW or MIXED"))
    return wrong


def _schema(found: Versions) -> Wrong:
    if found.unknown:
        detail = f"its schema is of another version: {' '.join(found.unknown)} is not known here"
        return [("fail", detail, "run the release that upgraded it, or restore the backup")]
    if not found.present:
        return [("warn", "it has no tables of hexcab yet", "run `hexcab db upgrade`; a start does it too")]
    if found.missing:
        detail = f"its schema lacks {' '.join(found.missing)}"
        return [("warn", detail, "take a backup and run `hexcab db upgrade`; a start does it too")]
    return []
