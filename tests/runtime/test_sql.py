"""The transaction and its outbox: all or nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event as sa_event
from sqlalchemy.exc import DBAPIError, IntegrityError

from core.errors import Conflict, Unavailable
from core.events import TripAssigned
from runtime.sql import Database, Transaction, metadata, outbox, unique
from runtime.sqlsettings import SqlSettings
from tests.servers import SQL_KINDS

# SQLite's writers take turns and its statements run on the loop: it has no row locks, pools or time-outs of this kind
on_servers = pytest.mark.parametrize("sql_url", SQL_KINDS[1:], indirect=True)


def _assigned(number: int, key: str = "req_1") -> TripAssigned:
    return TripAssigned(id=f"e{number}", at=number, trip_id="t", request_id=key, rider_id="r", driver_id="d")


async def _rows(database: Database) -> list[tuple[str, str]]:
    async with database.reading() as connection:
        query = sa.select(outbox.c.event_id, outbox.c.state).order_by(outbox.c.seq)
        return [(row.event_id, row.state) for row in await connection.execute(query)]


async def test_events_leave_with_the_commit_and_only_then(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.transaction() as tx:
            tx.publish(_assigned(1))
            raise RuntimeError("the handler failed")
    async with database.transaction() as tx:
        tx.publish(_assigned(2))
    assert [event_id for event_id, _ in await _rows(database)] == ["e2"]


async def test_the_same_event_cannot_be_published_twice(database: Database) -> None:
    async with database.transaction() as tx:
        tx.publish(_assigned(1))
    with pytest.raises(Conflict, match="already happened"):
        async with database.transaction() as tx:
            tx.publish(_assigned(1))


async def test_fifty_writers_take_turns_without_collision(database: Database) -> None:
    async def write(number: int) -> None:
        async with database.transaction() as tx:
            await asyncio.sleep(0)
            tx.publish(_assigned(number))

    await asyncio.gather(*(write(number) for number in range(50)))
    assert len(await _rows(database)) == 50


async def test_a_statement_sees_what_was_committed_before_it_and_nothing_else(database: Database) -> None:
    async with database.transaction() as tx:
        tx.publish(_assigned(1))
        await tx.write_events()
        assert await _rows(database) == []
        tx._events.clear()
    assert len(await _rows(database)) == 1


async def test_reading_needs_no_connection_of_the_writers(sql_url: str) -> None:
    database = Database(sql_url, SqlSettings(pool=2, read_pool=1, pool_wait_s=5.0))
    await database.create_all()
    ready = asyncio.Barrier(2 if database.kind != "sqlite" else 1)

    async def write(number: int) -> None:
        async with database.transaction() as tx:
            async with asyncio.timeout(10):
                await ready.wait()  # now nobody else gets a connection for writing
            await _rows(database)
            tx.publish(_assigned(number))

    await asyncio.gather(*(write(number) for number in range(2)))
    assert len(await _rows(database)) == 2
    await database.close()


@on_servers
async def test_more_writers_than_connections_wait_and_then_are_told_to_come_again(sql_url: str) -> None:
    database = Database(sql_url, SqlSettings(pool=1, pool_wait_s=0.05))
    async with database.transaction() as tx:
        await tx.connection.execute(sa.select(1))
        with pytest.raises(Unavailable) as raised:
            async with database.transaction():
                pass
    assert raised.value.code == "store_busy"
    await database.close()


@on_servers
async def test_a_transaction_that_lost_a_deadlock_may_be_repeated(database: Database) -> None:
    async with database.transaction() as tx:
        tx.publish(_assigned(1), _assigned(2))
    both_have_one, tries = asyncio.Barrier(2), 0

    async def mark(first: str, second: str) -> None:
        async def work(tx: Transaction) -> None:
            nonlocal tries
            tries += 1
            await tx.connection.execute(sa.update(outbox).where(outbox.c.event_id == first).values(at=7.0))
            if tries <= 2:
                await both_have_one.wait()
            await tx.connection.execute(sa.update(outbox).where(outbox.c.event_id == second).values(topic=first))

        await database.repeated(work)

    async with asyncio.timeout(20):
        await asyncio.gather(mark("e1", "e2"), mark("e2", "e1"))
    assert tries == 3


@on_servers
async def test_a_statement_that_takes_too_long_is_ended(sql_url: str) -> None:
    database = Database(sql_url, SqlSettings(statement_s=0.1))
    sleep = "SELECT pg_sleep(20)" if database.kind == "postgresql" else "SELECT SLEEP(20)"
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable):
            async with database.transaction() as tx:
                await tx.connection.exec_driver_sql(sleep)
        with pytest.raises(Unavailable):
            async with database.reading() as connection:
                await connection.exec_driver_sql(sleep)
    assert await _answers(database)
    await database.close()


@on_servers
async def test_a_row_that_stays_locked_is_not_waited_for_forever(sql_url: str) -> None:
    database = Database(sql_url, SqlSettings(lock_s=1.0, statement_s=5.0))
    await database.create_all()
    async with database.transaction() as tx:
        tx.publish(_assigned(1))
    lock = sa.update(outbox).values(at=1.0)
    async with database.transaction() as tx:
        await tx.connection.execute(lock)
        with pytest.raises(Unavailable):
            async with database.transaction() as other:
                await other.connection.execute(lock)
    await database.close()


@on_servers
async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises((Unavailable, DBAPIError)):
        async with database.reading() as connection:
            await connection.execute(sa.update(outbox).values(at=1.0))


async def test_strings_are_equal_only_when_they_are_the_same(database: Database) -> None:
    async with database.transaction() as tx:
        for text in ("bob", "Bob", "bob ", "bób", "b🚕b"):
            tx.publish(TripAssigned(id=text, at=1.0, trip_id="t", request_id="r", rider_id="r", driver_id="d"))
    async with database.reading() as connection:
        query = sa.select(outbox.c.event_id).where(outbox.c.event_id == "bob")
        assert list((await connection.execute(query)).scalars()) == ["bob"]


async def test_what_is_violated_is_told_by_its_column_whatever_the_values_say(database: Database) -> None:
    table = sa.Table("seats", sa.MetaData(naming_convention=metadata.naming_convention), *_seats())
    async with database.transaction() as tx:
        await tx.connection.run_sync(table.metadata.create_all)
        await tx.connection.execute(sa.insert(table).values(car="a", place=1, holder="car", note="place"))
    conflicts = {name: Conflict("taken", code=name) for name in ("note", "holder", "car")}
    for row, code in (
        ({"car": "b", "place": 1, "holder": "car", "note": "x"}, "holder"),
        ({"car": "a", "place": 1, "holder": "note", "note": "holder"}, "car"),
        ({"car": "b", "place": 1, "holder": "x", "note": "place"}, "note"),
    ):
        with pytest.raises(Conflict) as raised:
            async with database.transaction() as tx:
                with unique(table, conflicts):
                    await tx.connection.execute(sa.insert(table).values(**row))
        assert raised.value.code == code
    with pytest.raises(IntegrityError):
        async with database.transaction() as tx:
            with unique(table, {}):
                await tx.connection.execute(sa.insert(table).values(car="a", place=1, holder="y", note="y"))


def _seats() -> list[sa.Column[Any]]:
    return [
        sa.Column("car", sa.String(20), primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("holder", sa.String(20), unique=True),
        sa.Column("note", sa.String(20), unique=True),
    ]


async def _answers(database: Database) -> bool:
    async with database.reading() as connection:
        return (await connection.execute(sa.select(1))).scalar_one() == 1


async def test_a_full_disk_is_unavailable_and_nothing_is_committed(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'full.db'}")
    await database.create_all()

    @sa_event.listens_for(database.engine.sync_engine, "begin")
    def no_room(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count=1")  # the file may not grow: what a full disk looks like

    with pytest.raises(Unavailable) as raised:
        for start in range(0, 20_000, 500):
            async with database.transaction() as tx:
                tx.publish(*(_assigned(start + number) for number in range(500)))
    assert raised.value.code == "disk_full"
    rows = await _rows(database)
    assert len(rows) % 500 == 0
    await database.close()
