"""The fixtures; see the package's docstring."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from runtime.services.manager import Services
from tests.servers.isolated import database, emptied, keyspace_dropped, unique
from tests.servers.running import Servers, new_folder, remove, remove_leftovers

_DATABASES = 16  # of a Redis server; 0 stays for whoever looks by hand


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers that the session shares."""
    if named := os.environ.get("HEXCAB_SERVICES_DIR"):
        yield Servers(Services(Path(named)))
        return
    remove_leftovers()
    folder = new_folder()
    try:
        yield Servers(Services(folder))
    finally:
        remove(folder)


@pytest.fixture
def new_servers() -> Iterator[Callable[[], Services]]:
    """Servers for this test alone."""
    folders: list[Path] = []

    def make() -> Services:
        folders.append(new_folder())
        return Services(folders[-1])

    try:
        yield make
    finally:
        for folder in folders:
            remove(folder)


@pytest.fixture(scope="session")
def redis_numbers() -> Iterator[int]:
    """Numbers of databases, one per module; after the last the first comes again."""

    def numbers() -> Iterator[int]:
        while True:
            yield from range(1, _DATABASES)

    return numbers()


@pytest.fixture(scope="module")
def redis_url(servers: Servers, redis_numbers: Iterator[int]) -> str:
    url = f"{servers.running('redis').url.rpartition('/')[0]}/{next(redis_numbers)}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture(scope="module")
def redis_cluster_url(servers: Servers) -> str:
    server = servers.running("redis-cluster")
    emptied(server.sites)
    return server.url


@pytest.fixture(scope="module")
def postgresql_url(servers: Servers, request: pytest.FixtureRequest) -> Iterator[str]:
    with database(servers.running("postgresql"), request.module.__name__) as url:
        yield url


@pytest.fixture(scope="module")
def mariadb_url(servers: Servers, request: pytest.FixtureRequest) -> Iterator[str]:
    with database(servers.running("mariadb"), request.module.__name__) as url:
        yield url


@pytest.fixture(scope="session")
def kafka_brokers(servers: Servers) -> str:
    return servers.running("kafka").url


@pytest.fixture(scope="module")
def topic_prefix(request: pytest.FixtureRequest) -> str:
    return f"{unique(request.module.__name__)}."


@pytest.fixture(scope="session")
def cassandra_address(servers: Servers) -> tuple[str, int]:
    node = servers.running("cassandra").sites[0].node
    return node.host, node.ports["main"]


@pytest.fixture(scope="module")
def keyspace(cassandra_address: tuple[str, int], request: pytest.FixtureRequest) -> Iterator[str]:
    with keyspace_dropped(cassandra_address, unique(request.module.__name__)) as name:
        yield name
