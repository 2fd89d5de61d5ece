"""Clocks: the wall's, one that runs faster, and one that a test turns by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import Callable

_CATCH_UP_PACE = 0.5  # of engine time while the wall's clock is behind it
_LOOK_EVERY_S = 10.0  # a sleeper looks again whether the wall's clock was set meanwhile
_SHORTEST_SLEEP_S = 0.001


class WallClock:
    """Engine time that follows the wall's clock, `ahead` of it where a faster engine has left it so.

    It takes every step forward, such as after a machine was suspended. It never goes back: while the wall's clock is
    behind, engine time goes on at half pace until both agree again, so that whatever waits for a time still gets there.
    """

    speed = 1.0

    def __init__(
        self,
        ahead: float = 0.0,
        not_before: float = -math.inf,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ahead = ahead
        self._wall = wall
        self._steady = steady
        self._last = max(not_before, wall() + ahead)
        self._looked = steady()

    def now(self) -> float:
        looked = self._steady()
        least = self._last + (looked - self._looked) * _CATCH_UP_PACE
        self._last = max(least, self._wall() + self.ahead)
        self._looked = looked
        return self._last

    async def sleep(self, seconds: float) -> None:
        until = self.now() + seconds
        left = seconds
        while True:
            await asyncio.sleep(min(left, _LOOK_EVERY_S) if left > 0 else 0)
            left = until - self.now()
            if left <= 0:
                return
            left = max(left, _SHORTEST_SLEEP_S)


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
    """The wall's time at the start and real seconds from then on: for pacing, which no correction may disturb."""

    def __init__(self) -> None:
        super().__init__(1.0)


EngineClock = WallClock | ScaledClock


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
