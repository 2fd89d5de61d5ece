"""The journal: every event of the rides as one line of the log with its ids, and counted for /metrics."""

from __future__ import annotations

import logging

from core.events import AnyEvent, CabFound, NoCabFound, OfferAccepted, OfferEnded
from runtime.telemetry import Metrics

_log = logging.getLogger("hexcab.rides")


class Journal:
    """Hears every event. After a crash one may come again, so the counts may be a little too high, never too low."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def note(self, event: AnyEvent) -> None:
        """Write an event down. Who rides with whom is not logged: ids of the ride find that out for those who may."""
        name = type(event).__name__
        self._metrics.events.labels(name).inc()
        if isinstance(event, CabFound):
            self._metrics.searches.labels("found").inc()
            self._metrics.match_seconds.observe(event.waited_s)
        elif isinstance(event, NoCabFound):
            self._metrics.searches.labels(event.reason).inc()
        elif isinstance(event, OfferAccepted):
            self._metrics.offers.labels("accepted").inc()
        elif isinstance(event, OfferEnded):
            self._metrics.offers.labels(event.outcome).inc()
        ids = {"request_id": getattr(event, "request_id", None), "trip_id": getattr(event, "trip_id", None)}
        _log.info(name, extra={field: value for field, value in ids.items() if value is not None})
