"""A part of a shared server that one test module has for itself."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import RoundRobinPolicy
from sqlalchemy.engine import make_url

from core.errors import Unavailable
from runtime.services import mariadb, postgresql
from runtime.services.model import Site
from runtime.services.redis import ask
from tests.servers.running import Running

_DROP_TRIES = 40


def unique(module: str) -> str:
    """A name of small letters, digits and underscores that begins with `hexcab_` and is used once."""
    word = re.sub(r"[^a-z0-9]+", "_", module.rpartition(".")[2].lower()).removeprefix("test_")
    return f"hexcab_{word[:24]}_{secrets.token_hex(4)}"


@contextmanager
def database(server: Running, module: str) -> Iterator[str]:
    """The URL of an empty SQL database, dropped at the end with whoever is still connected to it."""
    name, site = unique(module), server.sites[0]
    run = postgresql.sql if server.name == "postgresql" else mariadb.sql
    run(site, f"CREATE DATABASE {name}")
    try:
        yield make_url(server.url).set(database=name).render_as_string(hide_password=False)
    finally:
        _drop(run, site, f"DROP DATABASE {name}" + (" WITH (FORCE)" if server.name == "postgresql" else ""))


def _drop(run: Callable[[Site, str], object], site: Site, statement: str) -> None:
    """PostgreSQL's own cleaner may be at work in a database: nobody but a superuser ends it, and it ends by itself."""
    for left in reversed(range(_DROP_TRIES)):
        try:
            run(site, statement)
        except Unavailable:
            if not left:
                raise
            time.sleep(0.5)
        else:
            return


def emptied(sites: list[Site]) -> None:
    """Remove everything from the masters among these nodes of a Redis Cluster."""
    for site in sites:
        if "role:master" in ask(site, "INFO", "replication"):
            assert ask(site, "FLUSHALL") == "OK"


@contextmanager
def keyspace_dropped(address: tuple[str, int], name: str) -> Iterator[str]:
    """The name of a keyspace, which is dropped at the end where somebody has made it."""
    try:
        yield name
    finally:
        profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=30)
        profiles = {EXEC_PROFILE_DEFAULT: profile}
        with Cluster([address[0]], port=address[1], protocol_version=4, execution_profiles=profiles) as cluster:
            cluster.connect().execute(f"DROP KEYSPACE IF EXISTS {name}")
