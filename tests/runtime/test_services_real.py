"""Each real server: up, killed, repaired on its data, down."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import RoundRobinPolicy
from redis import Redis
from redis.cluster import ClusterNode, RedisCluster

from core.errors import Unavailable
from runtime.services import mariadb, postgresql
from runtime.services.kinds import NAMES
from runtime.services.manager import Services
from runtime.services.model import Site
from tests.servers.running import skip_or_fail
from tests.servers.topics import read_all, write_one

pytestmark = pytest.mark.slow

Sites = list[Site]


def _redis(sites: Sites) -> Redis:
    node = sites[0].node
    return Redis(node.host, node.ports["main"], password=sites[0].entry.secret)


def _write_redis(sites: Sites) -> None:
    with _redis(sites) as client:
        client.set("kept", "word")


def _read_redis(sites: Sites) -> str:
    with _redis(sites) as client:
        return str(client.get("kept"), "ascii")  # type: ignore[arg-type]


def _cluster(sites: Sites) -> RedisCluster:
    nodes = [ClusterNode(site.node.host, site.node.ports["main"]) for site in sites]
    return RedisCluster(startup_nodes=nodes, password=sites[0].entry.secret)


def _write_cluster(sites: Sites) -> None:
    with _cluster(sites) as client:
        for number in range(60):
            client.set(f"kept{number}", "word")


def _read_cluster(sites: Sites) -> str:
    with _cluster(sites) as client:
        found = {client.get(f"kept{number}") for number in range(60)}
    assert len(found) == 1
    return str(found.pop(), "ascii")


def _write_sql(run: Callable[[Site, str], str]) -> Callable[[Sites], None]:
    def write(sites: Sites) -> None:
        run(sites[0], "CREATE TABLE a (b text)")
        run(sites[0], "INSERT INTO a VALUES ('word')")

    return write


def _read_sql(run: Callable[[Site, str], str]) -> Callable[[Sites], str]:
    return lambda sites: run(sites[0], "SELECT b FROM a").strip()


def _ring(sites: Sites) -> Cluster:
    profiles = {EXEC_PROFILE_DEFAULT: ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=30)}
    node = sites[0].node
    return Cluster([node.host], port=node.ports["main"], protocol_version=4, execution_profiles=profiles)


def _write_cassandra(sites: Sites) -> None:
    copies = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}"
    with _ring(sites) as cluster:
        session = cluster.connect()
        session.execute(f"CREATE KEYSPACE k WITH replication = {copies}")
        session.execute("CREATE TABLE k.a (b text PRIMARY KEY)")
        session.execute("INSERT INTO k.a (b) VALUES ('word')")


def _read_cassandra(sites: Sites) -> str:
    with _ring(sites) as cluster:
        return str(cluster.connect().execute("SELECT b FROM k.a").one().b)


@dataclass(frozen=True)
class Kept:
    """How to write a word, and to read it again."""

    write: Callable[[Sites], None]
    read: Callable[[Sites], str]


KEPT = {
    "redis": Kept(_write_redis, _read_redis),
    "redis-cluster": Kept(_write_cluster, _read_cluster),
    "postgresql": Kept(_write_sql(postgresql.sql), _read_sql(postgresql.sql)),
    "mariadb": Kept(_write_sql(mariadb.sql), _read_sql(mariadb.sql)),
    "kafka": Kept(lambda sites: write_one(sites[0], "kept", "word"), lambda sites: read_all(sites[0], "kept")[0]),
    "cassandra": Kept(_write_cassandra, _read_cassandra),
}


@pytest.fixture(params=NAMES)
def named(request: pytest.FixtureRequest, new_servers: Callable[[], Services]) -> tuple[Services, str]:
    services = new_servers()
    try:
        services.up([request.param])
    except Unavailable as error:
        if error.code != "not_installed":
            raise
        skip_or_fail(error.detail)
    return services, request.param


def test_a_killed_server_is_seen_and_repaired_on_its_data(named: tuple[Services, str]) -> None:
    services, name = named
    before = services.status([name])[name]
    assert before.up
    assert all(psutil.Process(node.pid).uids().effective != 0 for node in before.nodes), "nothing runs as root"
    KEPT[name].write(services.sites(name))
    victim = before.nodes[0]
    family = [psutil.Process(victim.pid), *psutil.Process(victim.pid).children(recursive=True)]
    os.kill(victim.pid, signal.SIGKILL)
    assert not services.status([name])[name].up
    services.up([name])
    after = services.status([name])[name]
    assert (after.up, after.address, after.version) == (True, before.address, before.version)
    assert KEPT[name].read(services.sites(name)) == "word"
    running = [psutil.Process(node.pid) for node in after.nodes]
    running += [child for process in running for child in process.children(recursive=True)]
    services.down([name])
    assert not [process for process in (*running, *family) if process.is_running() and process.status() != "zombie"]
    assert not services.status([name])[name].up
