"""SQL: one transaction per message, with the events that leave with its commit.

A room's adapter gets a `Transaction` and uses its connection; the service above knows neither. What a transaction
publishes is written to the outbox table in the same commit: an event is published if and only if the commit happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from core.errors import Conflict, Unavailable
from core.events import Event
from runtime.settings import RuntimeSettings
from runtime.sqlite import open_inline

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

outbox = sa.Table(
    "outbox",
    metadata,
    # SQLite numbers only INTEGER keys by itself
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.String(120), nullable=False, unique=True),
    sa.Column("topic", sa.String(40), nullable=False),
    sa.Column("key", sa.String(60), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("state", sa.String(12), nullable=False, server_default="waiting"),  # waiting | published | dead
    sa.Column("gave_up", sa.String(200)),  # the consumer groups for which a dead event failed too often
    sa.Index(None, "state", "seq"),
)


class Transaction:
    """One SQL transaction, and the events that leave with it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self._events: list[Event] = []

    def publish(self, *events: Event) -> None:
        """Send events when, and only when, this transaction commits."""
        self._events.extend(events)

    async def write_events(self) -> int:
        """Put the events into the outbox; called once, just before the commit."""
        if self._events:
            rows = [
                {
                    "event_id": each.id,
                    "topic": each.topic,
                    "key": each.key,
                    "body": msgspec.json.encode(each).decode(),
                    "at": each.at,
                }
                for each in self._events
            ]
            with unique({"event_id": Conflict("this has already happened", code="already_happened")}):
                await self.connection.execute(sa.insert(outbox), rows)
        return len(self._events)


class Database:
    """A SQL database; SQLite (WAL) by default, where writers take turns in a queue instead of colliding."""

    def __init__(self, url: str, settings: RuntimeSettings | None = None) -> None:
        self._settings = settings or RuntimeSettings()
        self._on_commit: list[Callable[[], None]] = []
        self._writers: asyncio.Lock | None = None
        self._engine: AsyncEngine
        if sa.make_url(url).get_backend_name() == "sqlite":
            path = sa.make_url(url).database or ""
            self._writers = asyncio.Lock()
            self._engine = create_async_engine(url, async_creator=lambda: open_inline(path))
            _prepare_sqlite(self._engine, self._settings)
        else:
            self._engine = create_async_engine(url, pool_pre_ping=True)

    @property
    def engine(self) -> AsyncEngine:
        """The engine, for migrations."""
        return self._engine

    def on_commit(self, call: Callable[[], None]) -> None:
        """Call this after each commit that published events (the relay listens here)."""
        self._on_commit.append(call)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction that commits when the block ends and rolls back when it raises.

        Raises Unavailable when the store is away or full; nothing is committed then.
        """
        async with self._writers or contextlib.nullcontext():
            with _store_failures():
                async with self._engine.connect() as plain:
                    connection = await plain.execution_options(hexcab_writes=True)
                    async with connection.begin():
                        tx = Transaction(connection)
                        yield tx
                        published = await tx.write_events()
        if published:
            for call in self._on_commit:
                call()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A consistent view for reading. Raises Unavailable when the store is away."""
        with _store_failures():
            async with self._engine.connect() as connection:  # ends with a rollback: there is nothing to wait for
                yield connection

    async def create_all(self) -> None:
        """Make every table that is missing. For tests and for stores without migrations of their own."""
        async with self.transaction() as tx:
            await tx.connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


@contextlib.contextmanager
def unique(conflicts: Mapping[str, Conflict]) -> Iterator[None]:
    """Turn a violated uniqueness into the Conflict of its column.

    `conflicts` maps a column's name to what to raise. The transaction is not usable afterwards on every database, so
    let the error leave it.
    """
    try:
        yield
    except IntegrityError as error:
        text = str(error.orig)
        for column, conflict in conflicts.items():
            if column in text:
                raise conflict from error
        raise


@contextlib.contextmanager
def _store_failures() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (OperationalError, InterfaceError, PoolTimeout, sqlite3.OperationalError) as error:
        reason = str(getattr(error, "orig", None) or error)
        if "full" in reason:
            raise Unavailable(f"the store's disk is full: {reason}", code="disk_full", retry_after_s=30) from error
        raise Unavailable(f"the SQL store did not answer: {reason}", code="store_unavailable") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable("the SQL store closed the connection", code="store_unavailable") from error
        raise


def _prepare_sqlite(engine: AsyncEngine, settings: RuntimeSettings) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def connected(dbapi: Any, _record: Any) -> None:
        cursor = dbapi.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={settings.sql_synchronous}")
        cursor.execute(f"PRAGMA busy_timeout={int(settings.sql_busy_timeout_s * 1000)}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("hexcab_writes", False)
        # a writer takes the lock at once: upgrading a reader's lock later could fail halfway
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
