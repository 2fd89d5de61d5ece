"""What is looked at once a second of wall time: gauges for /metrics, and whether the embedded Redis is still there."""

from __future__ import annotations

import logging

import psutil

from app.rooms import Rooms, Stores
from location.live import LiveDrivers
from runtime.valkey import LocalValkey

_log = logging.getLogger("hexcab.watch")


class Watch:
    """Keeps the gauges true."""

    def __init__(self, rooms: Rooms, stores: Stores) -> None:
        self._rooms = rooms
        self._stores = stores
        self._process = psutil.Process()

    async def look(self) -> None:
        """Set every gauge. Raises Unavailable when the outbox cannot be read."""
        metrics, relay = self._stores.metrics, self._stores.relay
        counts = self._rooms.gateway.counts()
        metrics.connections.set(counts.connections)
        metrics.pings.labels("accepted").set(counts.pings_accepted)
        for reason, count in counts.pings_dropped.items():
            metrics.pings.labels(reason).set(count)
        metrics.rss_bytes.set(self._process.memory_info().rss)
        backlog = await relay.backlog()
        metrics.outbox_waiting.set(backlog.waiting)
        metrics.outbox_age.set(backlog.age_s)
        metrics.outbox_dead.set(backlog.dead)


class RedisKeeper:
    """Starts the embedded Redis again when it has died, and has it told of every driver."""

    def __init__(self, valkey: LocalValkey, live: LiveDrivers) -> None:
        self._valkey = valkey
        self._live = live

    async def look(self) -> None:
        """Does nothing while the server runs. Raises Unavailable when it does not start."""
        if self._valkey.running:
            return
        _log.error("the embedded Redis has died and is started again")
        await self._valkey.start()
        self._live.tell_again()
        _log.info("the embedded Redis runs again")
