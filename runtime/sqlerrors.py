"""What a database's errors mean: which uniqueness was violated, and whether the store is merely away.

Every sign that a server is away, restarting, full, read-only or out of something becomes Unavailable: nothing is
acknowledged, and the same call works again once the server does. Everything else is a fault of ours and stays as it is.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Mapping

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from core.errors import Conflict, Unavailable

CONTENDED = "store_contended"  # the code of an Unavailable after which the whole transaction may be repeated at once

# SQLSTATE classes and codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
_PG_AWAY = ("08", "28", "3D", "53", "57P", "58")  # connection, login, database, resources, operator, the system's I/O
_PG_CODES = frozenset({"57014", "25006", "25P03", "55P03"})  # time-outs of statement, idle, lock; read-only
_PG_CONTENDED = frozenset({"40001", "40P01"})
_PG_FULL = "53100"

# https://mariadb.com/kb/en/mariadb-error-codes/ and MySQL's own; 2000 and above are the client's
_MY_AWAY = frozenset(
    {
        *(1040, 1203, 1226, 1129),  # too many connections, of a user, of a resource; host blocked
        *(1042, 1043, 1158, 1159, 1160, 1161, 1184, 1927, 4031),  # the network, or somebody ended the connection
        *(1053, 1077, 1079, 1047),  # shutting down; not ready (Galera)
        *(1044, 1045, 1049, 1698),  # login, database
        *(1205, 1317, 1969, 3024),  # time-outs of lock and statement
        *(1290, 1792, 1836),  # read-only
        *(3, 9, 11, 1005, 1015, 1016, 1026, 1030, 1037, 1038, 1041, 1180),  # files, memory, the system's I/O
    }
)
_MY_CONTENDED = frozenset({1213, 1020})
_MY_FULL = frozenset({1021, 1114, 3, 1026})
_MY_KEY = re.compile(r"for key '(?:[^']*\.)?([^'.]+)'")
_LITE_COLUMNS = re.compile(r"UNIQUE constraint failed: (.+)")


@contextlib.contextmanager
def unique(table: sa.Table, conflicts: Mapping[str, Conflict]) -> Iterator[None]:
    """Turn a uniqueness of this table that an insert violated into the Conflict of its column.

    `conflicts` maps a column to what to raise when a key that it belongs to was taken. The transaction is not usable
    afterwards on every database, so let the error leave it.
    """
    try:
        yield
    except IntegrityError as error:
        for column in _violated(table, error):
            if column in conflicts:
                raise conflicts[column] from error
        raise


@contextlib.contextmanager
def store_failures() -> Iterator[None]:
    """Turn the signs of a store that is away into Unavailable; see the module."""
    try:
        yield
    except DBAPIError as error:
        unavailable = _meaning(error)
        if unavailable is None:
            raise
        raise unavailable from error
    except (OSError, TimeoutError, sqlite3.OperationalError) as error:  # of the driver itself
        raise _away(str(error) or "it did not answer in time") from error


def _violated(table: sa.Table, error: IntegrityError) -> list[str]:
    """The columns of the violated key."""
    cause = error.orig.__cause__ if error.orig is not None else None
    name = getattr(cause, "constraint_name", None)  # asyncpg
    text = str(error.orig)
    if name is None and (found := _MY_KEY.search(text)):
        name = found[1]
    if name is None:
        found = _LITE_COLUMNS.search(text)
        return [each.strip().rpartition(".")[2] for each in found[1].split(",")] if found else []
    if name in ("PRIMARY", table.primary_key.name):
        return [column.name for column in table.primary_key.columns]
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint) and constraint.name == name:
            return [column.name for column in constraint.columns]
    return []


def _meaning(error: DBAPIError) -> Unavailable | None:
    """What an error of a driver means for whoever asked; None when the store is not to blame."""
    text = str(error.orig)
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig, text)
    number = next((each for each in getattr(error.orig, "args", ()) if isinstance(each, int)), None)
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if number is None:
        contended, full = state in _PG_CONTENDED, state == _PG_FULL
        away = state in _PG_CODES or state.startswith(_PG_AWAY)
    else:
        contended, full = number in _MY_CONTENDED, number in _MY_FULL or "errno: 28" in text or "error 28" in text
        away = number in _MY_AWAY or 2000 <= number < 3000
    if contended:
        return Unavailable(f"somebody else changes the same: {text}", code=CONTENDED, retry_after_s=0.5)
    if full:
        return _full(text)
    return _away(text) if away or error.connection_invalidated else None


def _of_sqlite(error: sqlite3.Error, text: str) -> Unavailable | None:
    if not isinstance(error, sqlite3.OperationalError):
        return None
    return _full(text) if "full" in text else _away(text)


def _full(text: str) -> Unavailable:
    return Unavailable(f"the store's disk is full: {text}", code="disk_full", retry_after_s=30)


def _away(text: str) -> Unavailable:
    return Unavailable(f"the SQL store did not answer: {text}", code="store_unavailable")
