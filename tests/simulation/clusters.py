"""Every kind of cluster by its name, started and ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from runtime.services.manager import Services
from tests.servers.running import new_folder, remove
from tests.simulation.cluster import Cluster
from tests.simulation.clustered import Clustered
from tests.simulation.embedded import SETTINGS, Embedded
from tests.simulation.faults import possible
from tests.simulation.servers import stores_of

Sections = Mapping[str, Mapping[str, Any]]

# name: the SQL server, how many nodes Kafka and Cassandra have, and how many hosts play each role
_REAL: Final = {"real": ("postgresql", 1, 2), "mariadb": ("mariadb", 1, 2), "three": ("postgresql", 3, 1)}
NAMES: Final = ("embedded", *_REAL)


def faults_of(name: str, cluster: Cluster) -> list[tuple[str, str]]:
    """Kinds and targets that are of interest: of three nodes, the loss of one."""
    everything = possible(cluster)
    if name != "three":
        return everything
    return [(kind, target) for kind, target in everything if target.rstrip("0123456789").endswith(" ")]


@contextlib.asynccontextmanager
async def running(name: str, settings: Sections = SETTINGS) -> AsyncIterator[Cluster]:
    """A running cluster. Embedded: one process. Real and mariadb: every role twice, on real servers. Three: every role
    once, on three nodes of Kafka and of Cassandra and a Redis Cluster of six, each of which may be lost.

    Raises Unavailable, with code not_installed where this machine lacks a server.
    """
    async with contextlib.AsyncExitStack() as stack:
        # short: a unix socket's path has to fit in
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hxc")))
        cluster: Cluster
        if name == "embedded":
            cluster = Embedded(folder / "d", settings=settings)
        else:
            sql, nodes, hosts = _REAL[name]
            servers = new_folder()
            stack.push_async_callback(asyncio.to_thread, remove, servers)
            stores = await asyncio.to_thread(stores_of, Services(servers), sql=sql, nodes=nodes)
            cluster = Clustered(folder, stores, hosts=hosts, settings=settings)
        stack.push_async_callback(cluster.stop)
        await cluster.start()
        yield cluster
