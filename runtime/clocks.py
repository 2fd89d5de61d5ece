"""Clocks: the wall's, one that runs faster, and one that a test turns by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time


class ScaledClock:
    """Engine time that starts at `start` and runs `speed` times as fast as the wall.

    It follows the monotonic clock, so a correction of the wall's clock neither repeats nor skips engine time.
    """

    def __init__(self, speed: float = 1.0, start: float | None = None) -> None:
        self.speed = speed
        self._start = time.time() if start is None else start
        self._origin = time.monotonic()

    def now(self) -> float:
        return self._start + (time.monotonic() - self._origin) * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self.speed)


class SystemClock(ScaledClock):
    """Engine time that is the wall's."""

    def __init__(self) -> None:
        super().__init__(1.0)


class ManualClock:
    """A test's clock: it stands still until `advance` turns it, and wakes sleepers in order of their time."""

    def __init__(self, start: float = 1_790_000_000.0) -> None:
        self._now = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float, settle_s: float = 0.01) -> None:
        """Move time forward, stopping at each sleeper's time; `settle_s` of wall time lets woken tasks use real I/O."""
        end = self._now + seconds
        await self._settle(settle_s)
        while self._sleepers and self._sleepers[0][0] <= end:
            at = self._sleepers[0][0]
            self._now = max(self._now, at)
            while self._sleepers and self._sleepers[0][0] <= at:
                woken = heapq.heappop(self._sleepers)[2]
                if not woken.done():
                    woken.set_result(None)
            await self._settle(settle_s)
        self._now = end
        await self._settle(settle_s)

    @staticmethod
    async def _settle(settle_s: float) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        if settle_s > 0:
            await asyncio.sleep(settle_s)
