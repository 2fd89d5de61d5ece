"""Sessions of the engine's own code on the shared servers."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Sequence

import msgspec

from runtime.cassandra import Cassandra, Table
from runtime.cassandra_settings import CassandraSettings

PATIENT_S = 120.0


def cassandra_settings(address: tuple[str, int], keyspace: str, **changes: object) -> CassandraSettings:
    """Of a ring of one node, on a machine that has more to do."""
    settings = CassandraSettings(
        hosts=address[0], port=address[1], keyspace=keyspace, replication="1", request_timeout_s=20.0
    )
    return msgspec.structs.replace(settings, **changes)


@contextlib.asynccontextmanager
async def cassandra_session(settings: CassandraSettings, tables: Sequence[Table]) -> AsyncIterator[Cassandra]:
    """A connected session; its tables are there and empty."""
    cassandra = Cassandra(settings, tables, random.Random(7))
    cassandra.start()
    try:
        await cassandra.ready(PATIENT_S)
        for table in tables:
            await cassandra.rows(f"TRUNCATE {table.name}", ())
        yield cassandra
    finally:
        await cassandra.close()
