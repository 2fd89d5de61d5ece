"""Gathering: callers share a call and keep their own results."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from core.errors import Conflict, Unavailable
from runtime.gather import Gather


class Work:
    """Doubles numbers when it is let; refuses odd ones."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.calls.append(list(items))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [Conflict("odd") if item % 2 else 2 * item for item in items]


async def test_who_comes_alone_waits_for_nobody() -> None:
    work = Work()
    work.gate.set()
    gather = Gather(work, 10, 10)
    assert await gather(2) == 4
    assert await gather(4) == 8
    assert work.calls == [[2], [4]]


async def test_those_who_come_while_a_call_is_under_way_share_the_next() -> None:
    work = Work()
    gather = Gather(work, 3, 10)
    first = asyncio.create_task(gather(0))
    await asyncio.sleep(0.001)
    later = [asyncio.create_task(gather(item)) for item in (2, 4, 6, 8)]
    await asyncio.sleep(0.001)
    work.gate.set()
    assert await asyncio.gather(first, *later) == [0, 4, 8, 12, 16]
    assert work.calls == [[0], [2, 4, 6], [8]]


async def test_each_has_its_own_error_and_all_have_that_of_the_call() -> None:
    work = Work()
    work.gate.set()
    gather = Gather(work, 10, 10)
    results = await asyncio.gather(*(gather(item) for item in (1, 2, 3)), return_exceptions=True)
    assert [type(each) for each in results] == [Conflict, int, Conflict]
    work.error = Unavailable("away")
    results = await asyncio.gather(*(gather(item) for item in (1, 2, 3)), return_exceptions=True)
    assert [type(each) for each in results] == [Unavailable] * 3
    work.error = None
    assert await gather(2) == 4


async def test_who_goes_away_takes_nobody_along() -> None:
    work = Work()
    gather = Gather(work, 10, 10)
    gone, stays = asyncio.create_task(gather(2)), asyncio.create_task(gather(4))
    await asyncio.sleep(0.001)
    gone.cancel()
    work.gate.set()
    assert await stays == 8


async def test_so_many_may_wait_and_no_more() -> None:
    work = Work()
    gather = Gather(work, 1, 2)
    taken = [asyncio.create_task(gather(0))]
    await asyncio.sleep(0.001)
    taken += [asyncio.create_task(gather(item)) for item in (2, 4)]
    await asyncio.sleep(0.001)
    with pytest.raises(Unavailable) as refused:
        await gather(6)
    assert refused.value.code == "store_busy"
    work.gate.set()
    assert await asyncio.gather(*taken) == [0, 4, 8]
