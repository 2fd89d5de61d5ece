"""The connection: made in the background for as long as it takes, and anew when its nodes are silent for too long."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from cassandra import DriverException, InvalidRequest, OperationTimedOut
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.protocol import ErrorMessage, SyntaxException

from core.errors import Unavailable
from runtime.cassandra.cluster import connect, disconnect, reason, tls_context
from runtime.cassandra.tables import Table
from runtime.cassandra_settings import CassandraSettings

_log = logging.getLogger("hexcab.cassandra")

BROKEN = (DriverException, ErrorMessage, NoHostAvailable, ConnectionException)  # all that a driver raises
WRONG = (InvalidRequest, SyntaxException)  # for good, such as a table that is not there
_SILENT = (NoHostAvailable, OperationTimedOut, ConnectionException)  # of these no server is the author


def away(detail: str) -> Unavailable:
    """What is raised while Cassandra does not do as it is asked."""
    return Unavailable(f"Cassandra is away: {detail}", code="store_unavailable")


class Link:
    """The driver's session, and the one thread for everything of it that blocks.

    The driver comes back to nodes that it knows by itself, but not to ones that have moved to other addresses: so where
    nobody has answered for `renew_s`, the nodes are looked up anew. Make it inside the running event loop.
    """

    def __init__(self, settings: CassandraSettings, tables: Sequence[Table], rng: random.Random) -> None:
        """Raises BadFile when a file of the TLS settings cannot be used."""
        self._settings = settings
        self._tables = tuple(tables)
        self._rng = rng
        self._tls = tls_context(settings)
        self._thread = ThreadPoolExecutor(1, "cassandra")
        self._loop = asyncio.get_running_loop()
        self._connected = asyncio.Event()
        self._trouble = "not connected yet"
        self._silent_since: float | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._session: Any = None

    @property
    def session(self) -> Any:
        """The session. Raises Unavailable saying why there is none."""
        if self._session is None:
            raise away(self._trouble)
        return self._session

    def start(self, check: Callable[[], Awaitable[None]]) -> None:
        """Begin to connect. `check` asks the servers for something small, to see whether they are silent."""
        self._keeping = asyncio.create_task(self._keep(check), name="the connection to Cassandra")

    async def ready(self, timeout_s: float) -> None:
        """Wait for the session. Raises Unavailable saying why there is none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        _ = self.session

    async def close(self) -> None:
        """Disconnect, and connect no more."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        self._trouble = "the engine stops"
        await self._drop()
        self._thread.shutdown(wait=False)

    async def apart[T](self, call: Callable[..., T], *args: Any) -> T:
        """Run something that blocks."""
        return await self._loop.run_in_executor(self._thread, call, *args)

    def answered(self) -> None:
        """A server has answered."""
        self._silent_since = None

    def failed(self, error: BaseException) -> None:
        """A statement failed with an error of the driver; of some a server is the author."""
        if not isinstance(error, _SILENT):
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = self._loop.time()

    async def _keep(self, check: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._connect()
            while not self._silent_for(self._settings.renew_s):
                await asyncio.sleep(self._settings.reconnect_s)
                if self._silent_for(0):
                    try:
                        await check()
                    except Unavailable:
                        continue
                    except Exception:  # nobody else would look for nodes that come back
                        _log.exception("the look at Cassandra failed and is repeated")
            self._trouble = "nobody has answered for long"
            _log.warning("%s: the nodes are looked up anew", self._trouble)
            await self._drop()

    def _silent_for(self, seconds: float) -> bool:
        return self._silent_since is not None and self._loop.time() - self._silent_since >= seconds

    async def _connect(self) -> None:
        pause, told = self._settings.reconnect_s, False
        while self._session is None:
            opening = self._thread.submit(connect, self._settings, self._tls, self._tables)
            try:
                session = await asyncio.wrap_future(opening)
            except asyncio.CancelledError:
                opening.add_done_callback(_discard)
                raise
            except Exception as error:
                self._trouble = reason(error)
                if not told:
                    _log.error("Cassandra cannot be reached and is tried again: %s", self._trouble)
                told = True
                await asyncio.sleep(self._rng.uniform(pause / 2, pause))
                pause = min(2 * pause, self._settings.max_reconnect_s)
                continue
            self._session, self._silent_since = session, None
        _log.info("connected to Cassandra", extra={"keyspace": self._settings.keyspace})
        self._connected.set()

    async def _drop(self) -> None:
        session, self._session = self._session, None
        self._connected.clear()
        if session is not None:
            with contextlib.suppress(Exception):  # whatever state it is in, it is not used any more
                await self.apart(disconnect, session)


def _discard(opening: Future[Any]) -> None:
    """Nobody waits for this session any more."""
    if not opening.cancelled() and opening.exception() is None:
        disconnect(opening.result())
