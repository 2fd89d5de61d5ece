"""What is looked at once a second of wall time: gauges for /metrics."""

from __future__ import annotations

import psutil

from app.link import Link
from app.rooms import Rooms
from app.stores import Stores


class Watch:
    """Keeps the gauges true. `link`: None where no other host is."""

    def __init__(self, rooms: Rooms, stores: Stores, link: Link | None) -> None:
        self._rooms = rooms
        self._stores = stores
        self._link = link
        self._process = psutil.Process()

    async def look(self) -> None:
        """Set every gauge. Raises Unavailable when the outbox cannot be read."""
        metrics, relay = self._stores.metrics, self._stores.relay
        counts = self._rooms.gateway.counts()
        metrics.connections.set(counts.connections)
        metrics.stale.set(counts.stale)
        metrics.presence_untold.set(self._link.roll.untold if self._link else 0)
        metrics.claims_unshared.set(self._rooms.rides.unshared_claims)
        metrics.pings.labels("accepted").set(counts.pings_accepted)
        for reason, count in counts.pings_dropped.items():
            metrics.pings.labels(reason).set(count)
        metrics.trail_waiting.set(counts.pings_waiting)
        metrics.trail_away.set(counts.trail_away)
        metrics.trail_lost.labels("idle").set(counts.idle_pings_lost)
        metrics.trail_lost.labels("trip_unacked").set(counts.trip_pings_refused)
        for what, count in self._rooms.learner.counts.items():
            metrics.traffic.labels(what).set(count)
        metrics.rss_bytes.set(self._process.memory_info().rss)
        metrics.show_bus(self._stores.bus.figures(), self._stores.clock.now())
        for outcome, count in self._stores.positions.counts().items() if self._stores.positions else ():
            metrics.positions.labels(outcome).set(count)
        backlog = await relay.backlog()
        metrics.outbox_waiting.set(backlog.waiting)
        metrics.outbox_age.set(backlog.age_s)
        metrics.outbox_dead.set(backlog.dead)
