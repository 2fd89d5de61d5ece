"""Commands in order: the jobs of one driver run one after the other, those of different drivers side by side."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

Job = Callable[[], Awaitable[None]]

_log = logging.getLogger(__name__)


class Lanes:
    """A bounded queue per driver that has something to do, each worked off by a task of its own."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lanes: dict[str, deque[Job]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, key: str, job: Job, *, spare: int = 0) -> bool:
        """Run a job after the earlier ones of this key; False when the limit, and `spare` beyond it, wait already."""
        lane = self._lanes.get(key)
        if lane is not None:
            if len(lane) >= self._limit + spare:
                return False
            lane.append(job)
            return True
        self._lanes[key] = lane = deque([job])
        task = asyncio.get_running_loop().create_task(self._work(key, lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self, timeout_s: float) -> None:
        """Let running jobs end, for so long, and stop those that do not."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _work(self, key: str, lane: deque[Job]) -> None:
        try:
            while lane:
                try:
                    await lane[0]()
                except Exception:
                    _log.exception("a driver's job failed")
                lane.popleft()  # only now: it counts as waiting while it runs
        finally:
            del self._lanes[key]
