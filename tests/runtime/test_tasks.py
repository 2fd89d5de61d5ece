"""Work in the background: what fails is tried again, and what must not end is missed."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from core.errors import HexcabError, NotFound, Unavailable
from runtime.clocks import ManualClock
from runtime.tasks import Tasks, repeat


async def test_a_step_that_fails_in_any_way_is_taken_again(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    turns: list[float] = []
    failures: list[Exception | None] = [Unavailable("away"), NotFound("odd"), ZeroDivisionError("a fault"), None]

    async def step() -> None:
        turns.append(clock.now())
        if error := failures.pop(0) if failures else None:
            raise error

    task = asyncio.create_task(repeat(step, 60.0, clock.sleep), name="the purge")
    await clock.advance(250, settle_s=0)
    assert [at - turns[0] for at in turns] == [0.0, 60.0, 120.0, 180.0, 240.0]
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    told = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in told] == [logging.WARNING, logging.ERROR, logging.ERROR]
    assert all("the purge" in message for _, message in told)


async def _ends() -> None:
    await asyncio.sleep(0)


async def _breaks() -> None:
    await asyncio.sleep(0)
    raise OSError("the socket broke")


async def test_the_end_of_a_task_that_must_not_end_is_told_with_its_name_and_reason() -> None:
    for work, reason in ((_ends, "nothing told it to"), (_breaks, "the socket broke")):
        tasks = Tasks()
        tasks.start("the server", work())
        with pytest.raises(HexcabError, match=f"the server ended.*{reason}"):
            await asyncio.wait_for(asyncio.shield(tasks.failed), 5)
        await tasks.close()


async def test_a_task_of_somebody_else_is_missed_too_but_not_ended() -> None:
    tasks = Tasks()
    forever = asyncio.create_task(asyncio.sleep(60), name="the relay")
    tasks.watch(forever)
    await tasks.close()
    assert not forever.done()
    forever.cancel()
    await asyncio.wait([forever])


async def test_nothing_is_missed_once_the_tasks_may_stop() -> None:
    tasks = Tasks()
    tasks.start("the server", _ends())
    tasks.start("the watch", asyncio.sleep(60))
    tasks.stop()
    await asyncio.sleep(0.01)
    assert not tasks.failed.done()
    await tasks.close()
    assert tasks.failed.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
