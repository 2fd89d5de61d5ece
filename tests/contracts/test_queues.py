"""What every store of places in airport queues must do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from location.adapters.memory import MemoryQueues
from location.adapters.sql import SqlQueues
from location.ports import QueueStore
from runtime.sql import Database
from tests.servers import SQL_KINDS


@pytest.fixture(params=["memory", *SQL_KINDS])
async def store(request: pytest.FixtureRequest, new_sql_url: Callable[[str], str]) -> AsyncIterator[QueueStore]:
    if request.param == "memory":
        yield MemoryQueues()
        return
    database = Database(new_sql_url(request.param))
    await database.create_all()
    yield SqlQueues(database)
    await database.close()


async def test_who_came_first_is_first_and_of_those_who_came_at_once_the_lower_id(store: QueueStore) -> None:
    await store.move({"c": ("air", 5.0), "a": ("air", 7.0)}, [], 7.0)
    await store.move({"d": ("air", 6.5), "b": ("air", 7.0), "z": ("rail", 1.0)}, [], 8.0)
    assert await store.first("air", 10) == ["c", "d", "a", "b"]
    assert await store.first("air", 2) == ["c", "d"]
    assert await store.first("sea", 10) == []


async def test_a_driver_holds_one_place(store: QueueStore) -> None:
    await store.move({"a": ("air", 1.0)}, [], 1.0)
    await store.move({"a": ("rail", 2.0)}, [], 2.0)
    assert await store.first("air", 10) == []
    assert await store.queues_of(["a", "b"]) == {"a": "rail"}
    assert await store.queues_of([]) == {}


async def test_who_comes_back_stands_at_the_end(store: QueueStore) -> None:
    await store.move({"a": ("air", 1.0), "b": ("air", 2.0)}, [], 2.0)
    await store.move({"a": ("air", 3.0)}, [], 3.0)
    assert await store.first("air", 10) == ["b", "a"]


async def test_who_left_is_gone_and_leaving_again_is_harmless(store: QueueStore) -> None:
    await store.move({"a": ("air", 1.0), "b": ("air", 2.0), "c": ("air", 3.0)}, [], 3.0)
    for _ in range(2):
        await store.move({}, ["a", "c"], 4.0)
        assert await store.first("air", 10) == ["b"]


async def test_who_is_not_renewed_is_purged(store: QueueStore) -> None:
    await store.move({"a": ("air", 1.0), "b": ("air", 2.0)}, [], 2.0)
    await store.renew(["b", "stranger"], 10.0)
    await store.renew([], 10.0)
    assert await store.purge(5.0) == 1
    assert await store.first("air", 10) == ["b"]
    assert await store.queues_of(["stranger"]) == {}


async def test_hosts_that_write_at_once_lose_nobody(store: QueueStore) -> None:
    many = [
        {f"d{host}{n}": ("air", float(n)) for n in range(5)} | {"shared": ("air", float(host))} for host in range(4)
    ]
    await asyncio.gather(*(store.move(places, [], 9.0) for places in many))
    line = await store.first("air", 100)
    assert len(line) == len(set(line)) == 21
