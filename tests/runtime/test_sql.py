"""The transaction and its outbox: all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event as sa_event

from core.errors import Conflict, Unavailable
from core.events import TripAssigned
from runtime.sql import Database, outbox


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}")
    await database.create_all()
    yield database
    await database.close()


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


async def test_a_reader_sees_one_state_throughout(database: Database) -> None:
    async with database.transaction() as tx:
        tx.publish(_assigned(1))
    count = sa.select(sa.func.count()).select_from(outbox)
    async with database.reading() as connection:
        before = (await connection.execute(count)).scalar_one()
        async with database.transaction() as tx:
            tx.publish(_assigned(2))
        assert (await connection.execute(count)).scalar_one() == before
    assert len(await _rows(database)) == 2


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
