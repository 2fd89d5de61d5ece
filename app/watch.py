"""What is looked at once a second of wall time: gauges for /metrics."""

from __future__ import annotations

import psutil

from app.rooms import Rooms
from app.stores import Stores


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
        metrics.trail_waiting.set(counts.pings_waiting)
        metrics.trail_away.set(counts.trail_away)
        metrics.trail_lost.labels("idle").set(counts.idle_pings_lost)
        metrics.trail_lost.labels("trip_unacked").set(counts.trip_pings_refused)
        metrics.rss_bytes.set(self._process.memory_info().rss)
        self._look_at_bus()
        waiting, age_s = await relay.waiting()
        metrics.outbox_waiting.set(waiting)
        metrics.outbox_age.set(age_s)
        metrics.outbox_dead.set(relay.dead)

    def _look_at_bus(self) -> None:
        stores, metrics = self._stores, self._stores.metrics
        figures = stores.bus.figures()
        for group in figures.groups:
            metrics.bus_waiting.labels(group.group).set(group.waiting)
            metrics.bus_age.labels(group.group).set(group.oldest_s)
            metrics.bus_dead.labels(group.group).set(group.dead)
            metrics.bus_events.labels(group.group, "handled").set(group.handled)
            metrics.bus_events.labels(group.group, "repeated").set(group.repeated)
        metrics.bus_produced.set(figures.produced)
        since = figures.in_doubt_since
        metrics.bus_in_doubt.set(0.0 if since is None else stores.clock.now() - since)
        for outcome, count in stores.positions.counts().items() if stores.positions else ():
            metrics.positions.labels(outcome).set(count)
