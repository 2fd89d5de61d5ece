"""SQL: one transaction per message, with the events that leave with its commit.

A room's adapter gets a `Transaction` and uses its connection; the service above knows neither. What a transaction
publishes is written to the outbox table in the same commit: an event is published if and only if the commit happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.errors import Conflict, Unavailable
from core.events import Event
from runtime.sqlengine import Gate, open_engines, parse_url
from runtime.sqlerrors import CONTENDED, store_failures, unique
from runtime.sqlsettings import SqlSettings

__all__ = ["Database", "Table", "Transaction", "among", "event_row", "metadata", "outbox", "unique"]

Table = sa.Table  # for who only hands tables on
Kind = Literal["sqlite", "postgresql", "mariadb"]

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
            with unique(outbox, {"event_id": Conflict("this has already happened", code="already_happened")}):
                await self.connection.execute(sa.insert(outbox), [event_row(each) for each in self._events])
        return len(self._events)


def event_row(event: Event) -> dict[str, object]:
    """An event as a row of the outbox."""
    body = msgspec.json.encode(event).decode()
    return {"event_id": event.id, "topic": event.topic, "key": event.key, "body": body, "at": event.at}


class Database:
    """A SQL database: SQLite, PostgreSQL, MariaDB or MySQL.

    Transactions are READ COMMITTED: each statement sees what was committed before it began, also after a wait for a row
    that was locked. REPEATABLE READ, MariaDB's default, would go on showing the state of the transaction's first read
    and take gap locks that make bookings wait for each other. On SQLite (WAL) writers take turns in a queue.
    """

    def __init__(self, url: str, settings: SqlSettings | None = None) -> None:
        self.settings = settings or SqlSettings()
        parsed = parse_url(url)
        backend = parsed.get_backend_name()
        self.kind: Kind = "postgresql" if backend == "postgresql" else "sqlite" if backend == "sqlite" else "mariadb"
        self._engines = open_engines(parsed, self.settings)
        one_file = self.kind == "sqlite"
        self._writers = Gate(1, None) if one_file else Gate(self.settings.pool, self.settings.pool_wait_s)
        self._readers = Gate(None, None) if one_file else Gate(self.settings.read_pool, self.settings.pool_wait_s)
        self._on_commit: list[Callable[[], None]] = []
        self._rng = random.Random()

    @property
    def engine(self) -> AsyncEngine:
        """The engine of the writers."""
        return self._engines.writes

    def on_commit(self, call: Callable[[], None]) -> None:
        """Call this after each commit that published events (the relay listens here)."""
        self._on_commit.append(call)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction that commits when the block ends and rolls back when it raises.

        The block talks to nobody but this database: it holds a connection and locks. Raises Unavailable when the store
        is away, full or will not write; then nothing is committed, unless the connection broke during the commit
        itself, whose fate is unknown: whatever is asked again must be told apart by a unique id.
        """
        async with self._writers.turn():
            with store_failures():
                # `begin`, as a plain connection would go back to its pool with the transaction of a commit that failed
                async with self._engines.writes.begin() as connection:
                    tx = Transaction(connection)
                    yield tx
                    published = await tx.write_events()
        if published:
            self.committed()

    @contextlib.asynccontextmanager
    async def committing(self) -> AsyncIterator[AsyncConnection]:
        """A connection for writing on which each statement is a whole transaction: one trip instead of three.

        For PostgreSQL, where a statement can do all of it. Call `committed` after one that published events. Raises
        Unavailable as `transaction` does.
        """
        async with self._writers.turn():
            with store_failures():
                async with self._engines.commits.connect() as connection:
                    yield connection

    async def repeated[T](self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Do this work in a transaction, and all of it again when the server broke a deadlock at our cost.

        The work must be safe to repeat: all that it does, it does through its transaction. Raises Unavailable as
        `transaction` does, after `contended_tries` too.
        """
        pause_s = self.settings.contended_pause_s
        for left in reversed(range(self.settings.contended_tries)):
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except Unavailable as error:
                if error.code != CONTENDED or not left:
                    raise
            await asyncio.sleep(pause_s * self._rng.uniform(0.5, 1.5))
            pause_s *= 2
        raise AssertionError("the last try returns or raises")

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading: each statement sees one moment, two statements may see two.

        May be used while a transaction is open: it needs neither its connection nor its lock. Raises Unavailable when
        the store is away.
        """
        async with self._readers.turn():
            with store_failures():
                async with self._engines.reads.connect() as connection:
                    yield connection

    async def ping(self) -> None:
        """Ask the server for an answer. Raises Unavailable when none comes."""
        async with self.reading() as connection:
            await connection.execute(sa.select(1))

    def committed(self) -> None:
        """Tell those who listen that events were committed."""
        for call in self._on_commit:
            call()

    async def create_all(self) -> None:
        """Make every table that is missing. For tests and for stores without migrations of their own."""
        async with self.transaction() as tx:
            await compare_bytewise(tx.connection)
            await tx.connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        """Close every connection."""
        await self._engines.close()


def among(column: sa.ColumnElement[str], values: Sequence[str], kind: Kind) -> sa.ColumnElement[bool]:
    """Whether the column has one of these values; few statements come of it, not one for each number of values."""
    if kind == "postgresql":
        return column == sa.any_(sa.literal(list(values), sa.ARRAY(sa.String)))
    wanted = list(values)
    if wanted:
        wanted += [wanted[-1]] * ((1 << (len(wanted) - 1).bit_length()) - len(wanted))  # up to a power of two
    return column.in_(wanted)


async def compare_bytewise(connection: AsyncConnection) -> None:
    """Let strings of tables made from now on be equal only when they are the same; MariaDB alone has to be told."""
    if connection.dialect.name == "sqlite" or connection.dialect.name == "postgresql":
        return
    collation = "utf8mb4_nopad_bin" if getattr(connection.dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
    present = (await connection.exec_driver_sql("SELECT @@collation_database")).scalar_one()
    if present != collation:
        await connection.exec_driver_sql(f"ALTER DATABASE CHARACTER SET utf8mb4 COLLATE {collation}")
