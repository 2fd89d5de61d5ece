"""The tables that rooms keep in Cassandra, and how several processes make them at the same time.

Two nodes that are asked for the same table at once would give it two ids, and could not agree on either. So the id is
decided by the name, and only what is missing is made.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from cassandra import AlreadyExists
from cassandra.query import UNSET_VALUE

from runtime.cassandra_settings import CassandraSettings

_log = logging.getLogger("hexcab.cassandra")
_NAMES = uuid.UUID("6d0c9d0e-2f5a-5b43-9a3e-6c1f0f7a5d11")

UNSET: Any = UNSET_VALUE  # a column that stays as it is: NULL would write a tombstone


class Table(NamedTuple):
    """One table: its name, its columns with the PRIMARY KEY, and its options, as CQL has them."""

    name: str
    columns: str
    options: str


def make_missing(session: Any, settings: CassandraSettings, tables: Sequence[Table]) -> None:
    """Make the keyspace and the tables that are not there. Blocks. Raises the driver's errors."""
    keyspace, timeout_s = settings.keyspace, settings.schema_timeout_s
    known = session.execute(
        "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s", (keyspace,)
    ).all()
    if not known:
        _log.info("the keyspace is made", extra={"keyspace": keyspace})
        copies = _copies(settings.replication)
        session.execute(f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {copies}", timeout=timeout_s)
    rows = session.execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (keyspace,))
    there = {name for (name,) in rows}
    for table in tables:
        if table.name not in there:
            _make(session, f"{keyspace}.{table.name}", table, timeout_s)


def _make(session: Any, name: str, table: Table, timeout_s: float) -> None:
    _log.info("a table is made", extra={"table": name})
    try:
        session.execute(
            f"CREATE TABLE IF NOT EXISTS {name} ({table.columns}) "
            f"WITH ID = {uuid.uuid5(_NAMES, name)} AND {table.options}",
            timeout=timeout_s,
        )
    except AlreadyExists:  # another process was quicker
        return


def _copies(replication: str) -> str:
    if ":" not in replication:
        return f"{{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication}}}"
    each = (entry.rpartition(":") for entry in replication.split(","))
    return "{'class': 'NetworkTopologyStrategy', " + ", ".join(f"'{dc}': {n}" for dc, _, n in each) + "}"
