"""Work in the background: steps that are repeated whatever befalls one of them, and tasks whose end is noticed."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from core.errors import HexcabError, Unavailable

_log = logging.getLogger("hexcab.tasks")


async def repeat(
    step: Callable[[], Awaitable[object]],
    every_s: float,
    sleep: Callable[[float], Awaitable[None]],
    retry_s: float = math.inf,
) -> None:
    """Take a step, sleep, and so on until cancelled.

    A step that fails is logged, and tried again after `retry_s` where that is sooner than the next turn.
    """
    task = asyncio.current_task()
    what = task.get_name() if task else "a step"
    while True:
        pause = every_s
        try:
            await step()
        except Unavailable as error:
            _log.warning("%s waits, a store is away: %s", what, error.detail)
            pause = min(every_s, retry_s)
        except Exception:
            _log.exception("%s failed and is tried again", what)
            pause = min(every_s, retry_s)
        await sleep(pause)


class Tasks:
    """The tasks without which an engine is none: when one ends before `stop`, `failed` says which and why.

    Make it inside the running event loop.
    """

    def __init__(self) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._own: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run some work until `close`."""
        task = asyncio.create_task(work, name=name)
        self._own.append(task)
        self.watch(task)

    def watch(self, task: asyncio.Task[None]) -> None:
        """Notice the end of a task that somebody else stops."""
        task.add_done_callback(self._ended)

    def stop(self) -> None:
        """From now on a task may end."""
        self._stopping = True

    async def close(self) -> None:
        """End the tasks that were started here."""
        self._stopping = True
        for task in self._own:
            task.cancel()
        await asyncio.gather(*self._own, return_exceptions=True)
        if not self.failed.cancel() and not self.failed.cancelled():
            self.failed.exception()  # whoever waited was told; nobody else needs to hear of it

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._stopping or self.failed.done():
            return
        _log.error("%s ended", task.get_name(), exc_info=error)
        reason = "it was cancelled" if task.cancelled() else "nothing told it to" if error is None else repr(error)
        self.failed.set_exception(HexcabError(f"the engine cannot go on: {task.get_name()} ended ({reason})"))
