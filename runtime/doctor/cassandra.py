"""Cassandra: whether its nodes answer and agree, whether the tables are there, and how many copies they have."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from core.errors import Unavailable
from runtime.cassandra.cluster import disconnect, open_session, reason, tls_context
from runtime.cassandra.tables import Table
from runtime.cassandra_settings import CassandraSettings
from runtime.doctor.findings import Finding, Status, graded

Wrong = list[tuple[Status, str, str]]


async def look_at_cassandra(settings: CassandraSettings, tables: Sequence[Table]) -> Sequence[Finding]:
    """Its lines. Raises Unavailable, and BadFile for certificates that cannot be used."""
    tls = tls_context(settings)
    return await asyncio.to_thread(_look, settings, tls, tables)


def _look(settings: CassandraSettings, tls: Any, tables: Sequence[Table]) -> Sequence[Finding]:
    try:
        session = open_session(settings, tls)
    except Exception as error:
        raise Unavailable(f"Cassandra cannot be reached: {reason(error)}", code="cassandra_unavailable") from error
    try:
        return [*_nodes(session), *_keyspace(session, settings, tables)]
    finally:
        disconnect(session)


def _nodes(session: Any) -> list[Finding]:
    cluster = session.cluster
    hosts = list(cluster.metadata.all_hosts())
    down = sorted(str(host.endpoint) for host in hosts if host.is_up is False)
    version = session.execute("SELECT release_version FROM system.local").one()[0]
    wrong: Wrong = []
    if down:
        wrong.append(("warn", f"{len(down)} of {len(hosts)} nodes are away: {', '.join(down)}", "start them"))
    schemas = {row[0] for row in session.execute("SELECT schema_version FROM system.local")}
    schemas |= {row[0] for row in session.execute("SELECT schema_version FROM system.peers") if row[0]}
    if len(schemas) > 1:
        wrong.append(("fail", f"its nodes have {len(schemas)} versions of the schema", "see nodetool describecluster"))
    sync = session.execute("SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'").one()
    if sync is not None and sync[0] == "periodic":
        detail = "commitlog_sync = periodic: a node that is killed forgets up to 10 s of acknowledged pings"
        wrong.append(("warn", detail, "set commitlog_sync to batch or group on every node"))
    return graded("cassandra", wrong, f"Cassandra {version}, {len(hosts)} nodes, one schema")


def _keyspace(session: Any, settings: CassandraSettings, tables: Sequence[Table]) -> list[Finding]:
    name = settings.keyspace
    check = f"cassandra {name}"
    row = session.execute("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s", (name,)).one()
    if row is None:
        return [Finding(check, "warn", "the keyspace is not there yet", "run `hexcab db upgrade`; a start does it too")]
    there = {
        each
        for (each,) in session.execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (name,))
    }
    wrong: Wrong = []
    missing = [table.name for table in tables if table.name not in there]
    if missing:
        wrong.append(("warn", f"it lacks {', '.join(missing)}", "run `hexcab db upgrade`; a start does it too"))
    copies = [int(value) for key, value in dict(row[0]).items() if key != "class" and re.fullmatch(r"\d+", value)]
    if min(copies, default=0) < 3:
        detail = f"it keeps {min(copies, default=0)} copies: a node that is lost takes trips and trails along"
        wrong.append(("warn", detail, "three nodes and a replication of 3, then nodetool repair"))
    return graded(check, wrong, f"{len(tables)} tables, {min(copies, default=0)} copies")
