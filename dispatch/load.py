"""How many requests are open around: what the choice of a mode goes by."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from core.clock import Clock
from core.errors import HexcabError
from dispatch.ports import Store
from maps.segments import region_of

_log = logging.getLogger("hexcab.dispatch")


class Load:
    """Open requests by region, as the store had them a moment ago, whoever serves them. Nobody waits for a reading."""

    def __init__(self, store: Store, clock: Clock, fresh_s: float) -> None:
        self._store = store
        self._clock = clock
        self._fresh_s = fresh_s
        self._open: Counter[str] = Counter()
        self._read_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def open_in(self, region: str) -> int:
        """How many requests were open in the region; 0 before the first reading. Begins the next when one is due."""
        is_due = self._clock.now() - self._read_at >= self._fresh_s
        if is_due and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._read(), name="load")
        return self._open[region]

    async def close(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        self._read_at = self._clock.now()
        try:
            demand = await self._store.demand()
        except HexcabError as error:
            _log.warning("the load is not known: %s", error.detail, extra={"code": error.code})
            return
        by_region: Counter[str] = Counter()
        for segment, count in demand.items():
            by_region[region_of(segment)] += count
        self._open = by_region
