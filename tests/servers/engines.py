"""Sessions of the engine's own code on the shared servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence

import msgspec

from core.errors import Unavailable
from runtime.cassandra import Cassandra, Table
from runtime.cassandra_settings import CassandraSettings
from runtime.services.manager import Services
from runtime.services.model import Node
from tests.servers.running import skip_or_fail

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
            await cassandra.rows(f"TRUNCATE KEYSPACE.{table.name}", ())
        yield cassandra
    finally:
        await cassandra.close()


class OwnCassandra:
    """A ring of one node that a test has alone, to stop, pause and kill."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def up(self) -> None:
        """Start it, or start it again on its data; skips the test where it is not installed."""
        try:
            await asyncio.to_thread(self._services.up, ["cassandra"])
        except Unavailable as error:
            if error.code != "not_installed":
                raise
            skip_or_fail(error.detail)

    async def down(self) -> None:
        """Stop it in an orderly way."""
        await asyncio.to_thread(self._services.down, ["cassandra"])

    @property
    def node(self) -> Node:
        return self._services.sites("cassandra")[0].node

    @property
    def address(self) -> tuple[str, int]:
        return self.node.host, self.node.ports["main"]

    def kill(self) -> None:
        """As a machine that loses its power, save that its disk keeps what it was given."""
        os.kill(self.node.pid, signal.SIGKILL)

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        os.kill(self.node.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.node.pid, signal.SIGCONT)
