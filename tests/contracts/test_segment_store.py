"""What every store of segment tables must do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import msgspec
import pytest
import sqlalchemy as sa

from core.errors import Conflict, TooMany
from core.events import AnyEvent, SegmentsChanged
from maps.adapters.memory import MemorySegments
from maps.adapters.segments_sql import SqlSegments
from maps.ports import SegmentStore
from maps.segmenttable import SegmentTable
from runtime.segment_settings import SegmentSettings
from runtime.sql import Database, outbox
from tests.maps.cuts import CENTRE, cut
from tests.servers import SQL_KINDS

SETTINGS = SegmentSettings(retire_s=100.0, versions_max=4)
FIRST = SegmentTable()
SECOND = replace(cut([(0.0, 0.0, True), (0.02, 0.0, False)]).pinning(SegmentTable().locate(57.69, 11.99)), version=2)
THIRD = replace(SECOND.splitting(SECOND.locate(*CENTRE)), version=3)


@pytest.fixture(params=["memory", *SQL_KINDS])
async def store(request: pytest.FixtureRequest, new_sql_url: Callable[[str], str]) -> AsyncIterator[SegmentStore]:
    if request.param == "memory":
        yield MemorySegments()
        return
    database = Database(new_sql_url(request.param))
    await database.create_all()
    yield SqlSegments(database, SETTINGS)
    await database.close()


async def test_at_first_nothing_is_split_or_merged(store: SegmentStore) -> None:
    assert await store.version() == 1
    assert list(await store.load()) == [FIRST]


async def test_tables_come_back_as_they_were_the_newest_first(store: SegmentStore) -> None:
    await store.save(SECOND, 1_000.0)
    await store.save(THIRD, 1_010.0)
    assert await store.version() == 3
    assert list(await store.load()) == [THIRD, SECOND, FIRST]


async def test_of_several_who_make_the_same_version_at_once_one_does(store: SegmentStore) -> None:
    tables = [replace(FIRST.splitting(FIRST.locate(57.7 + step / 50, 11.97)), version=2) for step in range(5)]
    ends = await asyncio.gather(*(store.save(table, 1_000.0) for table in tables), return_exceptions=True)
    assert [type(end) for end in ends if end is not None] == [Conflict] * 4
    assert list(await store.load()) == [tables[ends.index(None)], FIRST]


@pytest.mark.parametrize("version", [1, 3])
async def test_a_table_that_does_not_follow_the_newest_is_refused(store: SegmentStore, version: int) -> None:
    with pytest.raises(Conflict):
        await store.save(replace(SECOND, version=version), 1_000.0)
    assert await store.version() == 1


async def test_a_large_table_comes_back_whole(store: SegmentStore) -> None:
    cells = frozenset(SegmentTable().locate(57.0 + n / 400, 11.0 + n % 40 / 40) for n in range(4_000))
    table = SegmentTable(2, cells)
    await store.save(table, 1_000.0)
    assert (await store.load())[0] == table


async def test_a_table_is_forgotten_some_time_after_it_was_replaced(database: Database) -> None:
    store = SqlSegments(database, SETTINGS)
    await store.save(SECOND, 1_000.0)
    await store.save(THIRD, 1_050.0)
    await store.save(replace(SECOND, version=4), 1_149.0)  # the first was replaced 149 s ago, the second 99 s
    assert [table.version for table in await store.load()] == [4, 3, 2]
    await store.save(replace(THIRD, version=5), 9_000.0)
    assert [table.version for table in await store.load()] == [5, 4]


async def test_so_many_tables_stand_and_no_more(database: Database) -> None:
    store = SqlSegments(database, SETTINGS)
    for version in (2, 3, 4):
        await store.save(replace(SECOND, version=version), 1_000.0)
    with pytest.raises(TooMany):
        await store.save(replace(SECOND, version=5), 1_001.0)
    await store.save(replace(SECOND, version=5), 1_101.0)
    assert await store.version() == 5


async def test_every_change_is_told_by_an_event(database: Database) -> None:
    store = SqlSegments(database, SETTINGS)
    await store.save(SECOND, 1_000.0)
    with pytest.raises(Conflict):
        await store.save(SECOND, 1_001.0)
    async with database.reading() as connection:
        bodies = (await connection.execute(sa.select(outbox.c.body))).scalars().all()
    events = [msgspec.json.decode(body, type=AnyEvent) for body in bodies]
    assert events == [SegmentsChanged(id="segments:2", at=1_000.0, version=2)]
