"""A SQL server that dies, hangs, restarts or refuses: Unavailable meanwhile, and afterwards all is well by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import asyncmy
import asyncpg
import psutil
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from core.errors import Unavailable
from core.events import TripAssigned
from runtime.services.manager import Services
from runtime.sql import Database, outbox
from runtime.sqlerrors import store_failures
from runtime.sqlsettings import SqlSettings
from tests.servers.running import skip_or_fail

QUICK = SqlSettings(pool=3, read_pool=2, pool_wait_s=0.3, connect_s=1.0, statement_s=0.5, lock_s=1.0)


class Server:
    """A server of this test alone."""

    def __init__(self, services: Services, kind: str) -> None:
        self._services = services
        self._kind = kind

    @property
    def url(self) -> str:
        return self._services.url(self._kind)

    async def up(self) -> None:
        await asyncio.to_thread(self._services.up, [self._kind])

    async def down(self) -> None:
        await asyncio.to_thread(self._services.down, [self._kind])

    def send(self, sign: signal.Signals) -> None:
        """To every process of the server."""
        first = psutil.Process(self._services.sites(self._kind)[0].node.pid)
        family = [first, *first.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                os.kill(process.pid, sign)
        if sign is signal.SIGKILL:
            psutil.wait_procs(family, 10)


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest, new_servers: Callable[[], Services]) -> Iterator[Server]:
    services = new_servers()
    try:
        services.up([request.param])
    except Unavailable as error:
        if error.code != "not_installed":
            raise
        skip_or_fail(error.detail)
    server = Server(services, request.param)
    yield server
    server.send(signal.SIGCONT)


@pytest.fixture
async def database(server: Server) -> AsyncIterator[Database]:
    made = Database(server.url, QUICK)
    await made.create_all()
    yield made
    await made.close()


def assigned(number: int) -> TripAssigned:
    return TripAssigned(id=f"e{number}", at=number, trip_id="t", request_id="r", rider_id="r", driver_id="d")


async def write(database: Database, number: int) -> None:
    async with database.transaction() as tx:
        tx.publish(assigned(number))


async def written(database: Database) -> list[str]:
    async with database.reading() as connection:
        return list((await connection.execute(sa.select(outbox.c.event_id).order_by(outbox.c.seq))).scalars())


async def all_unavailable(database: Database) -> None:
    """Many at once, so that every connection of the pools is met."""
    calls = [write(database, 100 + number) for number in range(5)] + [database.ping() for _ in range(5)]
    async with asyncio.timeout(60):
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in results] == [Unavailable] * len(calls), results


async def busy(database: Database) -> None:
    """Fill the pools."""
    await asyncio.gather(*(write(database, number) for number in range(5)), *(database.ping() for _ in range(5)))


@pytest.mark.slow
async def test_a_killed_server_is_unavailable_until_it_is_back(server: Server, database: Database) -> None:
    await busy(database)
    server.send(signal.SIGKILL)
    await all_unavailable(database)
    await server.up()
    await write(database, 9)
    assert sorted(await written(database)) == [f"e{number}" for number in (0, 1, 2, 3, 4, 9)]


@pytest.mark.slow
async def test_connections_of_before_a_restart_are_noticed_before_they_are_used(
    server: Server, database: Database
) -> None:
    await busy(database)
    await server.down()
    await server.up()
    for number in range(5, 10):  # not one of them fails: dead connections are told by their sockets
        await write(database, number)
        await database.ping()
    assert len(await written(database)) == 10


@pytest.mark.slow
async def test_a_server_that_hangs_is_unavailable_within_the_time_outs_and_works_when_it_goes_on(
    server: Server, database: Database
) -> None:
    await busy(database)
    server.send(signal.SIGSTOP)
    for _ in range(2):  # on connections of before, and without any
        await all_unavailable(database)
    server.send(signal.SIGCONT)
    async with asyncio.timeout(30):
        while True:
            try:
                await write(database, 9)
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    kept = await written(database)
    assert {"e0", "e1", "e2", "e3", "e4", "e9"} <= set(kept)
    assert len(kept) == len(set(kept))


@pytest.mark.slow
async def test_a_server_that_dies_in_the_middle_of_a_transaction_has_kept_nothing_of_it(
    server: Server, database: Database
) -> None:
    with pytest.raises(Unavailable):
        async with database.transaction() as tx:
            tx.publish(assigned(1))
            await tx.write_events()
            tx._events.clear()
            server.send(signal.SIGKILL)
    await server.up()
    assert await written(database) == []


@pytest.mark.slow
@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
async def test_a_database_without_connections_left_is_unavailable(server: Server, database: Database) -> None:
    async with database.transaction() as tx:
        await tx.connection.execute(sa.select(1))
        await tx.connection.exec_driver_sql("ALTER DATABASE hexcab CONNECTION LIMIT 0")
    other = Database(server.url, QUICK)
    with pytest.raises(Unavailable) as refused:
        await other.ping()
    assert "too many connections" in refused.value.detail
    async with database.transaction() as tx:
        await tx.connection.exec_driver_sql("ALTER DATABASE hexcab CONNECTION LIMIT -1")
    await other.ping()
    await other.close()


@pytest.mark.slow
@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
async def test_a_database_that_is_read_only_can_be_read_and_is_unavailable_for_writing(
    server: Server, database: Database
) -> None:
    await write(database, 1)
    async with database.transaction() as tx:
        await tx.connection.exec_driver_sql("ALTER DATABASE hexcab SET default_transaction_read_only = on")
    other = Database(server.url, QUICK)
    with pytest.raises(Unavailable):
        await write(other, 2)
    assert await written(other) == ["e1"]
    await other.close()


@pytest.mark.parametrize("number", [1040, 1053, 1205, 1290, 1836, 1969, 2003, 2006, 2013, 1045, 1317, 1927, 4031])
def test_what_mariadb_says_when_it_is_away_is_unavailable(number: int) -> None:
    with pytest.raises(Unavailable) as raised, store_failures():
        raise DBAPIError("SELECT 1", {}, asyncmy.errors.OperationalError(number, "said the server"))
    assert raised.value.code == "store_unavailable"


@pytest.mark.parametrize(
    ("number", "code", "retry_s"), [(1021, "disk_full", 30), (1114, "disk_full", 30), (1213, "store_contended", 0.5)]
)
def test_a_full_disk_and_a_deadlock_say_when_to_come_again(number: int, code: str, retry_s: float) -> None:
    with pytest.raises(Unavailable) as raised, store_failures():
        raise DBAPIError("SELECT 1", {}, asyncmy.errors.OperationalError(number, "said the server"))
    assert (raised.value.code, raised.value.retry_after_s) == (code, retry_s)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (asyncpg.AdminShutdownError, "store_unavailable"),
        (asyncpg.CannotConnectNowError, "store_unavailable"),
        (asyncpg.TooManyConnectionsError, "store_unavailable"),
        (asyncpg.QueryCanceledError, "store_unavailable"),
        (asyncpg.LockNotAvailableError, "store_unavailable"),
        (asyncpg.ReadOnlySQLTransactionError, "store_unavailable"),
        (asyncpg.ConnectionDoesNotExistError, "store_unavailable"),
        (asyncpg.DiskFullError, "disk_full"),
        (asyncpg.DeadlockDetectedError, "store_contended"),
        (asyncpg.SerializationError, "store_contended"),
    ],
)
def test_what_postgresql_says_when_it_is_away_is_unavailable(error: type[Exception], code: str) -> None:
    with pytest.raises(Unavailable) as raised, store_failures():
        raise DBAPIError("SELECT 1", {}, error("said the server"))
    assert raised.value.code == code


@pytest.mark.parametrize("number", [1064, 1146, 1054, 1406])
def test_our_own_mistakes_stay_what_they_are(number: int) -> None:
    with pytest.raises(DBAPIError), store_failures():
        raise DBAPIError("SELECT 1", {}, asyncmy.errors.ProgrammingError(number, "said the server"))
