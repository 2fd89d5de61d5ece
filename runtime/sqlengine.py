"""How each kind of database is spoken to: the driver, its time-outs, TLS, and whether a pooled connection still lives.

Readers and writers of a server have a pool each. A reader's connection commits each statement by itself, so that one
SELECT is one round trip; and because readers never wait for a writer's connection, whoever holds a transaction may read
without closing a circle of waiters.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from core.errors import InvalidInput, Unavailable
from runtime.sqlite import open_inline
from runtime.sqlsettings import SqlSettings

# an answer that the server itself has given up is on its way; without an answer for this much longer, nobody is there
_ANSWER_SLACK_S = 1.0
_DRIVERS = {
    "postgresql": "postgresql+asyncpg",
    "mysql": "mysql+asyncmy",
    "mariadb": "mariadb+asyncmy",
    "sqlite": "sqlite+aiosqlite",
}


class Gate:
    """Lets so many in at a time, in the order in which they came: a pool alone serves whoever comes just in time.

    `most` None lets everybody in, `wait_s` None lets them wait for as long as it takes.
    """

    def __init__(self, most: int | None, wait_s: float | None) -> None:
        self._places = None if most is None else asyncio.Semaphore(most)
        self._wait_s = wait_s

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises Unavailable store_busy after `wait_s`."""
        if self._places is None:
            yield
            return
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise Unavailable(
                "every connection to the SQL store is in use", code="store_busy", retry_after_s=1
            ) from error
        try:
            yield
        finally:
            self._places.release()


@dataclass(frozen=True, slots=True)
class Engines:
    """The two pools of one database; SQLite, whose connections cost nothing, has one for both.

    `commits` is the writers' pool with each statement a transaction of its own.
    """

    writes: AsyncEngine
    reads: AsyncEngine

    @property
    def commits(self) -> AsyncEngine:
        return self.writes.execution_options(isolation_level="AUTOCOMMIT")

    async def close(self) -> None:
        """Close every connection that is not in use."""
        await self.writes.dispose()
        await self.reads.dispose()


def parse_url(url: str) -> sa.URL:
    """A database's URL with the driver that we speak. Raises InvalidInput; the detail shows no password."""
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise InvalidInput("a database's URL is not a URL", code="bad_url") from None
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS or parsed.drivername not in (backend, _DRIVERS[backend]):
        raise InvalidInput(
            f"{parsed.render_as_string()}: use {', '.join(_DRIVERS[name] for name in _DRIVERS)}", code="bad_url"
        )
    return parsed.set(drivername=_DRIVERS[backend])


def open_engines(url: sa.URL, settings: SqlSettings) -> Engines:
    """Pools for a database; nothing connects yet. Raises InvalidInput for TLS options that cannot be used."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, settings)
    secured, context = _tls(url)
    make = _postgres if url.get_backend_name() == "postgresql" else _mariadb
    return Engines(make(secured, context, settings, reads=False), make(secured, context, settings, reads=True))


def _postgres(url: sa.URL, tls: ssl.SSLContext | bool, settings: SqlSettings, *, reads: bool) -> AsyncEngine:
    session = {
        "application_name": "hexcab",
        "default_transaction_isolation": "read committed",
        "statement_timeout": _ms(settings.statement_s),
        "lock_timeout": _ms(settings.lock_s),
        "idle_in_transaction_session_timeout": _ms(settings.idle_transaction_s),
        "jit": "off",  # no statement of ours runs for long enough to gain by it
    }
    if reads:
        session["default_transaction_read_only"] = "on"
    connect: dict[str, Any] = {
        "timeout": settings.connect_s,
        "command_timeout": settings.statement_s + _ANSWER_SLACK_S,
        "server_settings": session,
        "ssl": tls,
    }
    return _server(url, connect, settings, reads=reads)


def _mariadb(url: sa.URL, tls: ssl.SSLContext | bool, settings: SqlSettings, *, reads: bool) -> AsyncEngine:
    idle_s = max(1, round(settings.idle_transaction_s))
    own = f"max_statement_time={settings.statement_s}, idle_transaction_timeout={idle_s}"
    mysql = f"max_execution_time={_ms(settings.statement_s)}"
    if reads:
        own, mysql = f"{own}, tx_read_only=1", f"{mysql}, transaction_read_only=1"
    session = (
        f"SET SESSION time_zone='+00:00', innodb_lock_wait_timeout={max(1, round(settings.lock_s))}, "
        "sql_mode='STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
        f" /*M! , {own} */ /*!50720 , {mysql} */"  # each runs its own comment
    )
    connect: dict[str, Any] = {
        "connect_timeout": settings.connect_s,
        "read_timeout": settings.statement_s + _ANSWER_SLACK_S,
        "charset": "utf8mb4",
        "init_command": session,
        "ssl": tls or None,
    }
    return _server(url, connect, settings, reads=reads)


def _server(url: sa.URL, connect: dict[str, Any], settings: SqlSettings, *, reads: bool) -> AsyncEngine:
    engine = create_async_engine(
        url,
        connect_args=connect,
        isolation_level="AUTOCOMMIT" if reads else "READ COMMITTED",
        pool_size=settings.read_pool if reads else settings.pool,
        max_overflow=0,
        pool_timeout=settings.pool_wait_s,
        pool_recycle=settings.recycle_s,
        pool_use_lifo=True,  # so that connections of a peak grow old
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,  # runtime.sql ends every transaction itself: a second ROLLBACK is a trip for nothing
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def checked_out(connection: Any, record: Any, _proxy: Any) -> None:
        # the socket knows already when a server went away: no ping, which would be a trip more for each transaction
        if _is_broken(record.driver_connection):
            raise DisconnectionError("the server closed this connection")

    return engine


def _is_broken(driver: Any) -> bool:
    is_closed = getattr(driver, "is_closed", None)  # asyncpg
    return bool(is_closed() if is_closed is not None else driver._stream_broken)


def _sqlite(url: sa.URL, settings: SqlSettings) -> Engines:
    path = url.database or ""
    engine = create_async_engine(url, async_creator=lambda: open_inline(path))

    @event.listens_for(engine.sync_engine, "connect")
    def connected(dbapi: Any, _record: Any) -> None:
        cursor = dbapi.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={settings.sqlite_synchronous}")
        cursor.execute(f"PRAGMA busy_timeout={_ms(settings.sqlite_busy_s)}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("hexcab_writes", False)
        # a writer takes the lock at once: upgrading a reader's lock later could fail halfway
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return Engines(engine.execution_options(hexcab_writes=True), engine)


def _tls(url: sa.URL) -> tuple[sa.URL, ssl.SSLContext | bool]:
    """The URL without its TLS options, and what they say: `?ssl=require` encrypts, `?ssl=verify` checks the server too.

    `ssl_ca` names the authority's file (the system's are used without it), `ssl_cert` and `ssl_key` our own.
    """
    options = {name: str(url.query[name]) for name in ("ssl", "ssl_ca", "ssl_cert", "ssl_key") if name in url.query}
    rest = url.difference_update_query(options)
    mode = options.pop("ssl", "off")
    if mode not in ("off", "require", "verify") or (mode == "off" and options):
        raise InvalidInput(
            "?ssl= in a database's URL is off, require or verify, and ssl_ca, ssl_cert and ssl_key need one of the "
            "latter two",
            code="bad_url",
        )
    if mode == "off":
        return rest, False
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca"))
        if mode == "require":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if "ssl_cert" in options:
            context.load_cert_chain(options["ssl_cert"], options.get("ssl_key"))
    except OSError as error:  # an SSLError is one
        raise InvalidInput(f"the TLS files of a database's URL cannot be used: {error}", code="bad_url") from error
    return rest, context


def _ms(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))
