"""SQLite for an event loop: statements run at once, and only what may wait for a lock or the disk leaves the loop.

The usual driver sends each step of each statement to a thread and back. Beside a busy loop every hop waits its turn,
and a transaction of ten statements made forty of them: some 15 ms where SQLite itself needs 0.2. Here a statement runs
where it is called (tens of microseconds on tables of our size), and a writing transaction hops twice: for the lock it
begins with, which another process may hold, and for the commit, which waits for the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

_LOCKS = "BEGIN IMMEDIATE"


class InlineCursor:
    """The part of an asyncio cursor that SQLAlchemy uses."""

    def __init__(self, connection: InlineConnection) -> None:
        self._connection = connection
        self._cursor = connection.raw.cursor()

    async def __aenter__(self) -> InlineCursor:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cursor.close()

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid

    @property
    def arraysize(self) -> int:
        return self._cursor.arraysize

    @arraysize.setter
    def arraysize(self, size: int) -> None:
        self._cursor.arraysize = size

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> InlineCursor:
        if statement.startswith(_LOCKS):
            await self._connection.apart(lambda: self._cursor.execute(statement, parameters))
        else:
            self._cursor.execute(statement, parameters)
        return self

    async def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> InlineCursor:
        self._cursor.executemany(statement, rows)
        return self

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    async def close(self) -> None:
        self._cursor.close()


class InlineConnection:
    """The part of an asyncio connection that SQLAlchemy uses; one task uses it at a time."""

    def __init__(self, path: str) -> None:
        # no transactions of the driver's own: runtime.sql says when one begins
        self.raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._thread = ThreadPoolExecutor(1, "sqlite")
        self._connection: sqlite3.Connection | None = self.raw  # SQLAlchemy looks here whether it is open

    def cursor(self) -> InlineCursor:
        return InlineCursor(self)

    async def create_function(self, *arguments: Any, **named: Any) -> None:
        self.raw.create_function(*arguments, **named)

    async def commit(self) -> None:
        if self.raw.in_transaction:
            await self.apart(self.raw.commit)

    async def rollback(self) -> None:
        self.raw.rollback()

    async def close(self) -> None:
        if self._connection is not None:
            self._connection = None
            await self.apart(self.raw.close)  # the last connection to close moves the log into the file
            self._thread.shutdown(wait=False)

    def stop(self) -> None:
        """Close without waiting for a loop, which may have ended."""
        if self._connection is not None:
            self._connection = None
            self._thread.submit(self.raw.close)
            self._thread.shutdown(wait=False)

    async def apart[T](self, call: Callable[[], T]) -> T:
        """Run in this connection's thread; a caller who is cancelled leaves only once the call is done."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, call)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise


async def open_inline(path: str) -> InlineConnection:
    """Open a database file; what SQLAlchemy calls for each connection of its pool."""
    return InlineConnection(path)
