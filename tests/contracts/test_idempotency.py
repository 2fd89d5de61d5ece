"""What every store of first answers must do."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import Conflict
from runtime.answers import FirstAnswer, StoredAnswer
from runtime.clocks import ManualClock
from runtime.idempotency import IdempotencyStore
from runtime.settings import RuntimeSettings
from runtime.sql import Database

LIMITS = RuntimeSettings(idempotency_keep_s=100.0, purge_batch=3)


@pytest.fixture
def store(database: Database, clock: ManualClock) -> IdempotencyStore:
    return IdempotencyStore(database, clock, LIMITS)


def first(key: str, body: str = '{"ö":1}') -> FirstAnswer:
    return FirstAnswer(key, "hash").say(201, body)


async def test_the_first_answer_comes_again(store: IdempotencyStore) -> None:
    assert await store.find("key", "hash") is None
    await store.keep(first("key"))
    await store.keep(first("key", "another"))
    assert await store.find("key", "hash") == StoredAnswer(201, '{"ö":1}')


async def test_another_body_is_a_conflict(store: IdempotencyStore) -> None:
    await store.keep(first("key"))
    with pytest.raises(Conflict) as refused:
        await store.find("key", "another hash")
    assert refused.value.code == "idempotency_conflict"


async def test_of_answers_at_once_one_is_kept(store: IdempotencyStore) -> None:
    await asyncio.gather(*(store.keep(first("key", f"body {n}")) for n in range(10)))
    kept = await store.find("key", "hash")
    assert kept is not None
    assert kept.body.startswith("body ")


async def test_many_may_ask_at_once(store: IdempotencyStore) -> None:
    for n in range(20):
        await store.keep(first(f"key {n}", f"body {n}"))
    found = await asyncio.gather(*(store.find(f"key {n}", "hash") for n in range(40)))
    assert [each and each.body for each in found] == [*(f"body {n}" for n in range(20)), *[None] * 20]


async def test_old_answers_are_forgotten_when_they_are_purged(store: IdempotencyStore, clock: ManualClock) -> None:
    for n in range(7):
        await store.keep(first(f"old {n}"))
    await clock.advance(101)
    await store.keep(first("new"))
    assert await store.find("old 3", "hash") is not None
    assert await store.purge() == 7
    assert await store.find("old 3", "hash") is None
    assert await store.find("new", "hash") is not None
    assert await store.purge() == 0
