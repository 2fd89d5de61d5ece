"""The way to Redis: one client for a server, a unix socket or a Redis Cluster, and one failure, Unavailable.

Commands are sent in batches, which are no transactions: each command stands for itself, may be sent again after a
failure, and so has to be harmless when repeated. Every key of a command has to lie in one slot.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

import redis.asyncio
from redis import exceptions
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from core.errors import InvalidInput, Unavailable
from runtime.redis_settings import RedisSettings

type Word = str | bytes | int | float
type Command = tuple[Word, ...] | Run

_log = logging.getLogger("hexcab.redis")

_CLUSTER_PORT = 6379
_NO_RETRY = 0  # the client below retries nothing: `_Link` does, with jitter and a deadline


class Script:
    """A Lua script, which a server knows by its hash once it has seen it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class Run(NamedTuple):
    """The command that runs a script. Its keys lie in one slot."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Word]


class Client(Protocol):
    """What adapters know of Redis. Every call raises Unavailable (store_unavailable) when Redis fails."""

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, in the order of the commands. After Unavailable any of them may have been done."""
        ...

    async def ask(self, *command: Word) -> Any:
        """The answer to one command."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


def connect(settings: RedisSettings) -> Client:
    """A client for the settings' URL; it connects with the first call.

    Raises InvalidInput for a URL that cannot be understood or a password file that cannot be read.
    """
    return _Link(_way(settings), settings)


def library_client(settings: RedisSettings) -> Any:
    """The library's own client, for questions about the servers themselves; close it. Raises as `connect` does."""
    return _way(settings).client


def _way(settings: RedisSettings) -> _Way:
    scheme = settings.url.partition("://")[0]
    if scheme in ("redis", "rediss", "unix"):
        return _Single(settings)
    if scheme in ("redis+cluster", "rediss+cluster"):
        return _Cluster(settings)
    raise InvalidInput(
        "redis.url begins with redis://, rediss://, unix://, redis+cluster:// or rediss+cluster://",
        code="bad_redis_url",
    )


class _Way(Protocol):
    """A client of the library, with the two things that differ."""

    client: Any

    async def look_again(self) -> None:
        """Find out anew whom to ask, without disturbing the calls of others."""
        ...


class _Single:
    """One server, or an address that always leads to the present master."""

    def __init__(self, settings: RedisSettings) -> None:
        try:
            self.client: Any = redis.asyncio.Redis.from_url(settings.url, **_options(settings))
        except ValueError as error:
            raise InvalidInput(f"redis.url: {error}", code="bad_redis_url") from error

    async def look_again(self) -> None:
        await self.client.connection_pool.disconnect(inuse_connections=False)  # the next one may lead elsewhere


class _Cluster:
    """A Redis Cluster. The library's own ways to refresh its map close the connections of calls under way: not used."""

    def __init__(self, settings: RedisSettings) -> None:
        secure, user, password, seeds = _cluster_url(settings.url)
        options = _options(settings) | ({"ssl": True} if secure else {})
        if user:
            options["username"] = user
        if password:
            options.setdefault("password", password)
        self.client: Any = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in seeds],
            require_full_coverage=False,  # who lives on the other masters can be served
            reinitialize_steps=0,
            **options,
        )

    async def look_again(self) -> None:
        await self.client.nodes_manager.initialize()


class _Link:
    """Client: batches, retries with jitter, a deadline, and no more calls at once than there are connections.

    A call that has begun is not cancelled with its caller: it keeps its turn until the library has its connection back,
    so the next one always finds one. Its time-outs end it.
    """

    def __init__(self, way: _Way, settings: RedisSettings) -> None:
        self._way = way
        self._settings = settings
        self._free = asyncio.Semaphore(settings.connections)
        self._calls: set[asyncio.Task[list[Any]]] = set()
        self._rng = random.Random()  # jitter alone: what it gives decides nothing

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        size = self._settings.batch
        answers: list[Any] = []
        for start in range(0, len(commands), size):
            answers += await self._bounded(list(commands[start : start + size]))
        return answers

    async def ask(self, *command: Word) -> Any:
        return (await self.send([command]))[0]

    async def aclose(self) -> None:
        if self._calls:
            await asyncio.wait(self._calls, timeout=self._settings.deadline_s)
        await self._way.client.aclose()

    async def _bounded(self, commands: Sequence[Command]) -> list[Any]:
        deadline_s = self._settings.deadline_s
        until = asyncio.get_running_loop().time() + deadline_s
        try:
            async with asyncio.timeout_at(until):
                await self._free.acquire()
                call = asyncio.create_task(self._send(commands, until))
                self._calls.add(call)
                call.add_done_callback(self._ended)
                return await asyncio.shield(call)
        except TimeoutError as error:
            raise _unavailable(f"nothing within {deadline_s:g} s") from error

    def _ended(self, call: asyncio.Task[list[Any]]) -> None:
        self._calls.discard(call)
        self._free.release()
        if not call.cancelled():
            call.exception()  # whoever asked may have gone

    async def _send(self, commands: Sequence[Command], until: float) -> list[Any]:
        """Send what has no answer yet until everything has one, or time is up; only what failed is sent again."""
        answers: list[Any] = [None] * len(commands)
        left = list(range(len(commands)))
        unseen: set[int] = set()  # scripts that a server did not know by their hash
        for attempt in range(self._settings.retries + 1):
            got = await self._try([_words(commands[index], index in unseen) for index in left])
            failed = {index: answer for index, answer in zip(left, got, strict=True) if isinstance(answer, Exception)}
            for index, answer in zip(left, got, strict=True):
                answers[index] = answer
            left = list(failed)
            new = [index for index in left if isinstance(failed[index], exceptions.NoScriptError)]
            unseen.update(new)
            lasting = [error for index, error in failed.items() if index not in new]
            if not left:
                return answers
            if lasting:
                late = attempt == self._settings.retries or asyncio.get_running_loop().time() >= until
                if late or not all(map(_may_pass, lasting)):
                    raise _unavailable(str(lasting[0])) from lasting[0]
                await self._recover(attempt)
        raise _unavailable("it does not keep the scripts that it is sent")

    async def _try(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        pipe = self._way.client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        try:
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        except _FAILURES as error:  # nothing is known of any command
            return [error] * len(commands)
        except Exception as error:  # a connection that the library closed under this call shows itself in many ways
            _log.warning("the client of Redis failed", exc_info=True)
            return [exceptions.ConnectionError(repr(error))] * len(commands)
        return answers

    async def _recover(self, attempt: int) -> None:
        settings = self._settings
        longest = min(settings.retry_base_s * 2**attempt, settings.retry_max_s)
        await asyncio.sleep(longest * self._rng.uniform(0.5, 1.0))
        with contextlib.suppress(*_FAILURES):  # the next attempt fails by itself, or finds the server back
            await self._way.look_again()


_FAILURES = (exceptions.RedisError, exceptions.RedisClusterException, OSError)
_LASTING = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.ClusterCrossSlotError)
_PASSING = (
    exceptions.ConnectionError,  # also while a server loads its data
    exceptions.TimeoutError,
    exceptions.ClusterError,
    exceptions.RedisClusterException,
    exceptions.ReadOnlyError,
    exceptions.AskError,  # and MOVED: the map of slots changes faster than it was followed
    exceptions.TryAgainError,
    OSError,
)


def _may_pass(error: Exception) -> bool:
    return isinstance(error, _PASSING) and not isinstance(error, _LASTING)


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(f"Redis did not answer: {detail}", code="store_unavailable")


def _words(command: Command, whole: bool) -> tuple[Word, ...]:
    if not isinstance(command, Run):
        return command
    script, keys, args = command
    name, text = ("EVAL", script.source) if whole else ("EVALSHA", script.sha)
    return (name, text, len(keys), *keys, *args)


def _options(settings: RedisSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": settings.timeout_s,
        "socket_connect_timeout": settings.connect_timeout_s,
        "max_connections": settings.connections,
        "retry": Retry(NoBackoff(), _NO_RETRY),
    }
    if settings.password_file:
        try:
            options["password"] = Path(settings.password_file).read_text("utf-8").strip()
        except OSError as error:
            detail = f"redis.password_file {settings.password_file}: {error.strerror}"
            raise InvalidInput(detail, code="bad_redis_url") from error
    if settings.url.startswith("rediss"):
        files = {"ssl_ca_certs": settings.ca_file, "ssl_certfile": settings.cert_file, "ssl_keyfile": settings.key_file}
        options |= {name: file for name, file in files.items() if file}
    return options


def _cluster_url(url: str) -> tuple[bool, str, str, list[tuple[str, int]]]:
    """Whether with TLS, user, password, and the hosts to begin with."""
    scheme, _, rest = url.partition("://")
    login, _, places = rest.rstrip("/").rpartition("@")
    user, _, password = login.partition(":")
    seeds = []
    for place in places.split(","):
        try:
            parts = urlsplit(f"//{place}")
            host, port = parts.hostname, parts.port or _CLUSTER_PORT
        except ValueError:
            host, port = None, 0
        if not host or parts.path or parts.query:
            raise InvalidInput(f"redis.url: {place!r} is not host:port", code="bad_redis_url")
        seeds.append((host, port))
    return scheme.startswith("rediss"), unquote(user), unquote(password), seeds
