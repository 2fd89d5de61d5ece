"""Real Redis servers of a test's own: one alone, and a Redis Cluster of three masters and three replicas."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redis.exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

_START_S = 30.0
_BUS = 10_000  # a cluster's nodes talk to each other on a port so much higher
_NODE_TIMEOUT_MS = 1_000


def needs_redis() -> None:
    """Skip where redis-server is missing; with CI=true that is a failure."""
    if shutil.which("redis-server") is None:
        reason = "redis-server is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


class RealRedis:
    """A redis-server on loopback, which can be killed, paused, emptied and started again on its port."""

    def __init__(self, port: int = 0, *options: str) -> None:
        needs_redis()
        self.port = port or free_port()
        self._options = options
        self._folder = Path(tempfile.mkdtemp(prefix="hxr"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        words = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        words += ["--save", "", "--logfile", "log", *self._options]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until(self._answers, f"redis-server on port {self.port} does not answer")

    def kill(self) -> None:
        """kill -9."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def empty(self) -> None:
        """All keys and scripts are gone, as after a restart without its data."""
        with self.client() as client:
            client.flushall()
            client.script_flush()

    def client(self) -> redis.Redis:
        """A plain client to look with."""
        return redis.Redis(port=self.port, socket_timeout=1.0, decode_responses=True, retry=Retry(NoBackoff(), 0))

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.AuthenticationError:
            return True
        except redis.exceptions.RedisError:
            return False


class RealCluster:
    """Three masters and their replicas; a master that dies is replaced after about a second."""

    def __init__(self) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(_NODE_TIMEOUT_MS))
        options += ("--repl-diskless-sync-delay", "0", "--cluster-require-full-coverage", "no")
        self.nodes = [RealRedis(port, *options) for port in free_ports(6, below=65_536 - _BUS)]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        places = [f"127.0.0.1:{node.port}" for node in self.nodes]
        create = ["redis-cli", "--cluster", "create", *places, "--cluster-replicas", "1", "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=_START_S)
        until(lambda: all(map(self._ready, self.nodes)), "the Redis Cluster does not become ready")

    def masters(self) -> list[RealRedis]:
        """The nodes that are masters now."""
        return [node for node in self.nodes if self._info(node).get("role") == "master"]

    def master_of(self, key: str) -> RealRedis:
        """The node that holds a key."""
        for node in self.masters():
            with node.client() as client, contextlib.suppress(redis.exceptions.ResponseError):
                client.get(key)
                return node
        raise AssertionError(f"nobody holds {key}")

    def empty(self) -> None:
        for node in self.masters():
            node.empty()

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def _ready(self, node: RealRedis) -> bool:
        with node.client() as client:
            state = str(client.execute_command("CLUSTER INFO"))
        info = self._info(node)
        return "ok" in state.split("cluster_state", 1)[1][:8] and (
            info.get("role") == "master" or info.get("master_link_status") == "up"
        )

    @staticmethod
    def _info(node: RealRedis) -> dict[str, object]:
        try:
            with node.client() as client:
                return dict(client.info("replication"))  # type: ignore[arg-type]
        except redis.exceptions.RedisError:
            return {}


@contextlib.contextmanager
def real_redis(*options: str) -> Iterator[RealRedis]:
    server = RealRedis(0, *options)
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def real_cluster() -> Iterator[RealCluster]:
    cluster = RealCluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(number: int, below: int = 65_536) -> list[int]:
    """Ports that nobody listens on now, each with its place for a cluster's bus where `below` asks for it."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < number:
            one = held.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            if below == 65_536:
                found.append(port)
                continue
            port = 20_000 + port % 30_000  # room for the bus above it
            if port not in found and _free(port) and _free(port + _BUS):
                found.append(port)
    return found


def until(holds: object, otherwise: str, within_s: float = _START_S) -> None:
    """Wait until something holds."""
    assert callable(holds)
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, otherwise
        time.sleep(0.05)


async def soon(holds: object, otherwise: str, within_s: float = _START_S) -> None:
    """Wait until something holds, while the loop goes on."""
    assert callable(holds)
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, otherwise
        await asyncio.sleep(0.02)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
