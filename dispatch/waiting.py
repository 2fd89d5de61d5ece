"""How a search waits: for time to pass, for whoever wakes it, or for the window that it has joined."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from core.clock import Clock
from dispatch.arrivals import Arrivals, Watch


@dataclass(frozen=True, slots=True)
class Rest:
    """What a search waits for: so many seconds, unless it is woken; `watch` where an arrival may do that."""

    seconds: float
    watch: Watch | None = None


class Waiting:
    """The rest of one search. Whatever wakes it while it works is remembered until it rests."""

    def __init__(self, clock: Clock, arrivals: Arrivals) -> None:
        self._clock = clock
        self._arrivals = arrivals
        self._changed = asyncio.Event()
        self._rested = asyncio.Event()  # it waits, or is over

    @property
    def resting(self) -> bool:
        """Whether it waits for time to pass or for `wake`."""
        return self._rested.is_set() and not self._changed.is_set()

    async def rested(self) -> None:
        """Until it is resting, or over."""
        await self._rested.wait()

    def wake(self) -> None:
        """End the rest, or the next one at once."""
        self._changed.set()
        self._rested.clear()

    def begin(self) -> None:
        """A step begins: it sees whatever has happened before."""
        self._changed.clear()

    def over(self) -> None:
        """There will be no other rest."""
        self._rested.set()

    async def until(self, rest: Rest) -> None:
        """Until the time is over, or `wake`."""
        if rest.seconds <= 0:
            await asyncio.sleep(0)
            return
        alarm = asyncio.create_task(self._alarm(rest.seconds))
        if rest.watch is not None:
            self._arrivals.add(rest.watch)
        self._rested.set()
        try:
            await self._changed.wait()
        finally:
            self._rested.clear()
            if rest.watch is not None:
                self._arrivals.leave(rest.watch)
            alarm.cancel()

    async def until_done(self, work: asyncio.Future[Any], seconds: float) -> bool:
        """Until the work is done, the time is over, or `wake`. False, and the work is cancelled, unless it is done."""
        resting = asyncio.create_task(self.until(Rest(seconds)))
        try:
            await asyncio.wait((work, resting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            resting.cancel()
            await asyncio.gather(resting, return_exceptions=True)
            is_done = not work.cancel() and not work.cancelled()
        return is_done

    async def _alarm(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._changed.set()
