"""What is looked at once a second of wall time: gauges for /metrics, and a fast clock's mark in the data directory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import psutil

from app.rooms import Rooms, Stores
from core.errors import HexcabError

_log = logging.getLogger("hexcab.watch")
_EVERY_S = 1.0


class Watch:
    """Keeps the gauges true."""

    def __init__(self, rooms: Rooms, stores: Stores, each_second: Callable[[], None] = lambda: None) -> None:
        self._rooms = rooms
        self._stores = stores
        self._each_second = each_second
        self._process = psutil.Process()

    async def run_forever(self) -> None:
        """Look once a second; a store that is away is only logged."""
        while True:
            try:
                await self._look()
                self._each_second()
            except HexcabError as error:
                _log.warning("a gauge could not be read: %s", error.detail)
            await asyncio.sleep(_EVERY_S)

    async def _look(self) -> None:
        metrics, relay = self._stores.metrics, self._stores.relay
        counts = self._rooms.gateway.counts()
        metrics.connections.set(counts.connections)
        metrics.pings.labels("accepted").set(counts.pings_accepted)
        for reason, count in counts.pings_dropped.items():
            metrics.pings.labels(reason).set(count)
        waiting, age_s = await relay.waiting()
        metrics.outbox_waiting.set(waiting)
        metrics.outbox_age.set(age_s)
        metrics.outbox_dead.set(relay.dead)
        metrics.rss_bytes.set(self._process.memory_info().rss)
