"""Asking Cassandra from an event loop: prepared statements, bounded concurrency, tries with jitter, batches by owner.

Every statement that goes through here may be repeated without harm: reads, and writes of whole rows. So one that failed
is tried again, and a caller may do so too.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from cassandra import OperationTimedOut
from cassandra.cluster import ResultSet

from core.errors import Unavailable
from runtime.cassandra.answers import Answers
from runtime.cassandra.batches import Packer, bound
from runtime.cassandra.cluster import reason
from runtime.cassandra.link import BROKEN, WRONG, Link, away
from runtime.cassandra.tables import Table
from runtime.cassandra_settings import CassandraSettings

_GRACE_S = 1.0  # the driver keeps the time itself; this guards against an answer that it loses
_KEYSPACE = "KEYSPACE."
_YIELD_EVERY = 100  # rows bound without a break for the rest of the loop


class Write(NamedTuple):
    """One row to write: an INSERT that may be repeated, and its values in order."""

    cql: str
    values: Sequence[object]


class Cassandra:
    """Cassandra as the rooms' adapters use it. It connects in the background, for as long as it takes.

    Statements call their tables KEYSPACE.name: which keyspace that is, is a setting.

    Until it is connected, and whenever Cassandra is away, each call raises Unavailable store_unavailable.
    Make and use it inside one running event loop.
    """

    def __init__(self, settings: CassandraSettings, tables: Sequence[Table], rng: random.Random) -> None:
        """`tables` of all rooms that use it. Raises BadFile when a file of the TLS settings cannot be used."""
        self._settings = settings
        self._rng = rng
        self._prefix = f"{settings.keyspace}."
        self._link = Link(settings, tables, rng)
        self._loop = asyncio.get_running_loop()
        self._answers = Answers(self._loop)
        self._slots = asyncio.Semaphore(settings.max_in_flight)
        self._waiting = 0
        self._preparing = asyncio.Lock()
        self._prepared: dict[str, Any] = {}
        self._prepared_on: Any = None

    def start(self) -> None:
        """Begin to connect, and to make the keyspace and the tables that are missing."""
        self._link.start(self.check)

    async def ready(self, timeout_s: float) -> None:
        """Wait until it is connected and every table is there. Raises Unavailable saying why it is not."""
        await self._link.ready(timeout_s)

    async def close(self) -> None:
        """Disconnect; what is on its way fails."""
        await self._link.close()

    async def check(self) -> None:
        """Ask a server for something small. Raises Unavailable."""
        await self.rows("SELECT release_version FROM system.local", ())

    async def rows(self, cql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Every row of a SELECT, page by page. Raises Unavailable."""
        session = self._link.session
        statement = (self._known(session, cql) or await self._prepare(session, cql)).bind(values)
        found: list[tuple[Any, ...]] = []
        page: bytes | None = None
        while True:
            answer = await self._ask(session, statement, page)
            found += answer.current_rows or ()
            page = answer.paging_state
            if not page:
                return found

    async def write(self, writes: Sequence[Write]) -> None:
        """Write every row, in any order; as safe as the setting `consistency` says on return.

        Raises Unavailable: some rows may be written then.
        """
        session = self._link.session
        packer = Packer(session, self._settings)
        try:
            async with asyncio.TaskGroup() as sent:
                for number, (cql, values) in enumerate(writes, 1):
                    prepared = self._known(session, cql) or await self._prepare(session, cql)
                    if (full := packer.add(bound(prepared, values))) is not None:
                        sent.create_task(self._ask(session, full))
                    if number % _YIELD_EVERY == 0:
                        await asyncio.sleep(0)
                for statement in packer.rest():
                    sent.create_task(self._ask(session, statement))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    def _known(self, session: Any, cql: str) -> Any:
        return self._prepared.get(cql) if session is self._prepared_on else None

    async def _prepare(self, session: Any, cql: str) -> Any:
        async with self._turn(self._preparing):
            if session is not self._prepared_on:
                self._prepared, self._prepared_on = {}, session
            if cql not in self._prepared:
                try:
                    prepared = await self._link.apart(session.prepare, cql.replace(_KEYSPACE, self._prefix))
                except WRONG:
                    raise
                except BROKEN as error:
                    self._link.failed(error)
                    raise away(reason(error)) from error
                prepared.is_idempotent = True
                self._prepared[cql] = prepared
            return self._prepared[cql]

    @contextlib.asynccontextmanager
    async def _turn(self, of: asyncio.Lock | asyncio.Semaphore) -> AsyncIterator[None]:
        """Hold one of a few; only so many wait for one. Raises Unavailable when too many do."""
        if self._waiting >= self._settings.max_waiting:
            raise Unavailable("too many statements wait for Cassandra", code="store_unavailable")
        self._waiting += 1
        try:
            await of.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            of.release()

    async def _ask(self, session: Any, statement: Any, page: bytes | None = None) -> ResultSet:
        """Send a statement once there is a free slot."""
        async with self._turn(self._slots):
            return await self._tried(session, statement, page)

    async def _tried(self, session: Any, statement: Any, page: bytes | None) -> ResultSet:
        """Send it, and again where a server refused or did not finish; within one time limit."""
        deadline = self._loop.time() + self._settings.request_timeout_s
        longest_s = self._settings.retry_s
        for tries_left in range(self._settings.attempts - 1, -1, -1):
            try:
                answer = await self._once(session, statement, page, deadline - self._loop.time())
            except WRONG:
                raise
            except BROKEN as error:
                self._link.failed(error)
                pause = self._rng.uniform(0, longest_s)
                if not tries_left or self._loop.time() + pause >= deadline:
                    raise away(reason(error)) from error
                longest_s *= 2
                await asyncio.sleep(pause)
            else:
                self._link.answered()
                return answer
        raise AssertionError("the last try has returned or raised")

    async def _once(self, session: Any, statement: Any, page: bytes | None, timeout_s: float) -> ResultSet:
        answer = self._loop.create_future()
        put = functools.partial(self._answers.put, answer)
        sent = session.execute_async(statement, timeout=timeout_s, paging_state=page)
        sent.add_callbacks(put, put)
        try:
            async with asyncio.timeout(timeout_s + _GRACE_S):
                come = await answer
        except TimeoutError:
            raise OperationTimedOut() from None
        if isinstance(come, BaseException):
            raise come
        return ResultSet(sent, come)
