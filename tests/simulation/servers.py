"""The real servers of a cluster, as members that faults can hit, and the networks between them and the engine."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.engine import make_url

from runtime.services import processes
from runtime.services.manager import Services
from runtime.services.model import Node
from tests.simulation.cluster import Member
from tests.simulation.proxy import Proxy

_GONE_S = 20.0
_ONE, _MANY = frozenset({"kill", "pause", "drain"}), frozenset({"kill", "pause"})


class ServerMember:
    """One node of a service that `hexcab services` runs; it starts again on its data and its port."""

    def __init__(self, services: Services, service: str, number: int, of: int) -> None:
        self.name = service if of == 1 else f"{service} {number + 1}"
        self.kinds = _ONE if of == 1 else _MANY
        self._services = services
        self._service = service
        self._number = number

    @property
    def node(self) -> Node:
        return self._services.sites(self._service)[self._number].node

    @property
    def pid(self) -> int:
        return self.node.pid

    def kill(self) -> None:
        node = self.node
        os.kill(node.pid, signal.SIGKILL)
        until = time.monotonic() + _GONE_S
        while processes.alive(node) and time.monotonic() < until:
            time.sleep(0.01)

    async def start(self) -> None:
        await asyncio.to_thread(self._services.up, [self._service])

    async def start_for(self, seconds: float) -> None:
        raise NotImplementedError("a server is not killed while it starts")

    async def drain(self) -> None:
        await asyncio.to_thread(self._services.down, [self._service])

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def shift(self, seconds: float) -> None:
        raise NotImplementedError("servers keep the right time")


@dataclass(slots=True)
class Stores:
    """What a cluster keeps its things in: addresses without any proxy, and what of it faults may hit."""

    sql_url: str
    redis_url: str
    kafka_brokers: str
    cassandra: tuple[str, int]
    kafka_prefix: str = "hexcab."
    keyspace: str = "hexcab"
    copies: int = 1  # of everything in Kafka and Cassandra
    members: Mapping[str, Member] = field(default_factory=dict)

    def links(self) -> dict[str, Proxy]:
        """Networks to those servers that can be reached under another address than their own."""
        sql = make_url(self.sql_url)
        assert sql.host is not None
        assert sql.port is not None
        found = {"sql": Proxy(sql.host, sql.port)}
        if not self.redis_url.startswith("redis+cluster"):
            redis = make_url(self.redis_url)
            assert redis.host is not None
            assert redis.port is not None
            found["redis"] = Proxy(redis.host, redis.port)
        if self.copies == 1:
            found["cassandra"] = Proxy(*self.cassandra)
        return found

    def settings(self, links: Mapping[str, Proxy]) -> dict[str, dict[str, object]]:
        """The sections of an engine's settings, over the networks."""
        brokers, (host, port) = self.kafka_brokers, self.cassandra
        sql, redis = _over(self.sql_url, links.get("sql")), _over(self.redis_url, links.get("redis"))
        cassandra = {"hosts": host, "port": port}
        if "cassandra" in links:
            cassandra = {"hosts": "127.0.0.1", "port": links["cassandra"].port}
        safe = {"replication": self.copies, "min_insync": min(2, self.copies)}
        return {
            "sql": {"url": sql},
            "redis": {"url": redis},
            "kafka": {"brokers": brokers, "prefix": self.kafka_prefix, "partitions": 8, **safe},
            "cassandra": {**cassandra, "keyspace": self.keyspace, "replication": str(self.copies)},
        }


def stores_of(services: Services, *, sql: str = "postgresql", nodes: int = 1) -> Stores:
    """Start what a cluster needs: with three nodes Kafka and Cassandra may lose one, and Redis is a Redis Cluster.

    Raises Unavailable, with code not_installed where this machine lacks something.
    """
    redis = "redis" if nodes == 1 else "redis-cluster"
    names = [sql, redis, "kafka", "cassandra"]
    services.up([sql, redis])
    services.up(["kafka", "cassandra"], nodes)
    members = [
        ServerMember(services, name, number, len(services.sites(name)))
        for name in names
        for number in range(len(services.sites(name)))
    ]
    cassandra = [site.node for site in services.sites("cassandra")]
    return Stores(
        sql_url=services.url(sql),
        redis_url=services.url(redis),
        kafka_brokers=services.url("kafka"),
        cassandra=(",".join(node.host for node in cassandra), cassandra[0].ports["main"]),
        copies=nodes,
        members={member.name: member for member in members},
    )


def _over(url: str, link: Proxy | None) -> str:
    if link is None:
        return url
    return make_url(url).set(host="127.0.0.1", port=link.port).render_as_string(hide_password=False)
