"""Every kind of Redis that a contract is kept on: the embedded one, a real one, a real Redis Cluster."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from runtime.redis import Client, connect
from runtime.redis_settings import RedisSettings
from runtime.valkey import LocalValkey
from tests.servers.isolated import emptied
from tests.servers.running import Servers

RedisOf = Callable[[str], Awaitable[Client]]


@pytest.fixture
async def redis_of(request: pytest.FixtureRequest) -> AsyncIterator[RedisOf]:
    """Gives a client of an empty Redis: embedded, redis or cluster."""
    async with contextlib.AsyncExitStack() as stack:

        async def give(kind: str) -> Client:
            if kind == "embedded":
                url = await _embedded(stack)
            elif kind == "redis":
                url = request.getfixturevalue("redis_url")
            else:
                url = request.getfixturevalue("redis_cluster_url")
                servers: Servers = request.getfixturevalue("servers")
                emptied(servers.running("redis-cluster").sites)
            client = connect(RedisSettings(url=url))
            stack.push_async_callback(client.aclose)
            if kind == "redis":
                await client.ask("FLUSHDB")
            return client

        yield give


async def _embedded(stack: contextlib.AsyncExitStack) -> str:
    folder = Path(tempfile.mkdtemp(prefix="hx"))  # short: a unix socket's path is limited
    stack.callback(shutil.rmtree, folder)
    valkey = LocalValkey(folder / "s")
    await valkey.start()
    stack.push_async_callback(valkey.stop)
    return valkey.url
