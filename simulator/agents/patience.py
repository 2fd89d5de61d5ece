"""Waiting in engine time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from core.clock import Clock

_FIRST_S = 2.0
_LONGEST_S = 30.0


async def within[T](clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of the work, or None when it takes longer than so many engine seconds; it is cancelled then."""
    task, timer = asyncio.create_task(work), asyncio.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        timer.cancel()
        await asyncio.gather(task, timer, return_exceptions=True)


class Backoff:
    """Longer and longer pauses with jitter, 2 to 30 engine seconds, so that a returning engine is not overrun."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._next_s = _FIRST_S

    def reset(self) -> None:
        """It worked: start again with the shortest pause."""
        self._next_s = _FIRST_S

    async def pause(self) -> None:
        """Wait before the next try."""
        seconds, self._next_s = self._next_s, min(2 * self._next_s, _LONGEST_S)
        await self._clock.sleep(seconds * self._rng.uniform(0.5, 1.0))
