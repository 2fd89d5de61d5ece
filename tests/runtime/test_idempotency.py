"""First answers by key: one per key, whichever host answers it, for as long as they are kept."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import Conflict
from runtime.clocks import ManualClock
from runtime.idempotency import IdempotencyStore, StoredAnswer
from runtime.settings import RuntimeSettings
from runtime.sql import Database

SETTINGS = RuntimeSettings(idempotency_keep_s=60.0)


@pytest.fixture
def answers(database: Database, clock: ManualClock) -> IdempotencyStore:
    return IdempotencyStore(database, clock, SETTINGS)


async def test_the_first_answer_stays(answers: IdempotencyStore) -> None:
    await answers.keep("k", "h", StoredAnswer(201, "first"))
    await answers.keep("k", "h", StoredAnswer(201, "second"))
    assert await answers.find("k", "h") == StoredAnswer(201, "first")
    assert await answers.find("other", "h") is None


async def test_a_key_with_another_body_is_a_conflict(answers: IdempotencyStore) -> None:
    await answers.keep("k", "h", StoredAnswer(201, "first"))
    with pytest.raises(Conflict, match="another body"):
        await answers.find("k", "other")


async def test_hosts_that_answer_a_key_at_the_same_time_keep_one_answer(answers: IdempotencyStore) -> None:
    for number in range(10):
        several = [StoredAnswer(201, f"host {host}") for host in range(6)]
        await asyncio.gather(*(answers.keep(f"k{number}", "h", each) for each in several))
        assert await answers.find(f"k{number}", "h") in several


async def test_an_old_answer_makes_room_for_a_new_one(answers: IdempotencyStore, clock: ManualClock) -> None:
    await answers.keep("k", "h", StoredAnswer(201, "first"))
    await clock.advance(61.0)
    assert await answers.find("k", "h") is None
    await answers.keep("k", "h2", StoredAnswer(201, "second"))
    assert await answers.find("k", "h2") == StoredAnswer(201, "second")
