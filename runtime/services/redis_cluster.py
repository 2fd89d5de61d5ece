"""A Redis Cluster of three masters, each with a replica."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from runtime.services.model import Entry, NodePlan, Say, Site
from runtime.services.redis import ask, find_redis, program, redis_command
from runtime.services_settings import ServicesSettings

_MASTERS, _REPLICAS = 3, 3
_NODE_TIMEOUT_MS = 5_000  # a master that is silent for longer is replaced by its replica


class RedisCluster:
    """Six servers; the slots are shared out when they are first up."""

    name = "redis-cluster"
    accounts: tuple[str, ...] = ("redis",)
    stop = signal.SIGTERM
    apart = False

    def find(self, cache: Path, settings: ServicesSettings, say: Say) -> str:
        """See Kind."""
        program("redis-cli")
        return find_redis(settings)

    def plan(self, nodes: int) -> tuple[NodePlan, ...]:
        """See Kind."""
        return tuple(
            NodePlan(f"redis-cluster-{number}", "127.0.0.1", ("main", "bus"))
            for number in range(1, _MASTERS + _REPLICAS + 1)
        )

    def prepare(self, site: Site) -> None:
        """Redis makes its files by itself."""

    def command(self, site: Site) -> list[str]:
        """See Kind."""
        return redis_command(
            site,
            {
                "cluster-enabled": "yes",
                "cluster-config-file": "nodes.conf",
                "cluster-node-timeout": str(_NODE_TIMEOUT_MS),
                "cluster-port": str(site.node.ports["bus"]),
            },
        )

    def ready(self, site: Site) -> bool:
        """See Kind."""
        return ask(site, "PING") == "PONG"

    def whole(self, sites: Sequence[Site]) -> bool:
        """Every slot is served, as every node sees it, and every replica follows its master."""
        return all(_sees_all(site) for site in sites)

    def join(self, sites: Sequence[Site]) -> None:
        """Share out the slots, once; later starts find them in the nodes' own files."""
        first = sites[0]
        if len(ask(first, "CLUSTER", "NODES").splitlines()) != 1:
            return  # they know each other
        first.run(
            [
                *(program("redis-cli"), "--cluster", "create", *(site.node.address for site in sites)),
                *("--cluster-replicas", str(_REPLICAS // _MASTERS), "--cluster-yes"),
            ],
            env={"REDISCLI_AUTH": first.entry.secret},
        )

    def url(self, entry: Entry) -> str:
        """A redis+cluster:// URL that names every node, so that any may be down."""
        return f"redis+cluster://:{entry.secret}@{entry.address}"


def _sees_all(site: Site) -> bool:
    flags = [line.split()[2] for line in ask(site, "CLUSTER", "NODES").splitlines()]
    masters = sum("master" in each for each in flags)
    replicas = sum("slave" in each for each in flags)
    sound = not any(bad in each for each in flags for bad in ("fail", "handshake", "noaddr"))
    followed = "master_link_status:down" not in ask(site, "INFO", "replication")
    state = "cluster_state:ok" in ask(site, "CLUSTER", "INFO")
    return state and sound and followed and (masters, replicas) == (_MASTERS, _REPLICAS)
