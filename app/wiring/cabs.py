"""What riders see of cabs: those near them, and the one that comes for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.wiring.supply import SupplyReads
from core.clock import Clock
from core.geo import LatLng
from location.live import LiveDrivers
from location.model import BUSY, ONLINE
from maps.cities import City
from maps.segmentdesk import SegmentDesk
from web.ports import Body, Position

_WITHIN_M = 3_000.0  # of a rider who watches, by air, cabs are shown


class Cabs:
    """web's Cabs, and payments' PickupEta. `live` are the drivers of this host, whom nobody need be asked about."""

    def __init__(self, reads: SupplyReads, segments: SegmentDesk, live: LiveDrivers, city: City, clock: Clock) -> None:
        self._reads = reads
        self._segments = segments
        self._live = live
        self._city = city
        self._clock = clock

    async def near(self, at: LatLng, limit: int) -> Sequence[Body]:
        around: list[int] = self._segments.around(self._segments.at(at), _WITHIN_M).cells.tolist()
        reading = await self._reads.segments(around)
        rows, places = reading.rows, reading.of(around)
        age_s, flags = self._clock.now() - rows.seen_at[places], rows.flags[places]
        is_free = ((flags & (ONLINE | BUSY)) == ONLINE) & (age_s <= self._live.fresh_s)
        free, age_s = places[is_free], age_s[is_free]
        if not len(free):
            return []
        seconds = self._city.eta.to_one(rows.lat[free], rows.lng[free], at).seconds
        nearest = [row for row in np.argsort(seconds, kind="stable").tolist() if np.isfinite(seconds[row])][:limit]
        return [
            {
                "driver_id": rows.driver_ids[free[row]],
                "lat": float(rows.lat[free[row]]),
                "lng": float(rows.lng[free[row]]),
                "heading": None if np.isnan(rows.heading[free[row]]) else float(rows.heading[free[row]]),
                "eta_s": round(float(seconds[row]), 1),
                "age_s": round(max(0.0, float(age_s[row])), 1),
            }
            for row in nearest
        ]

    async def __call__(self, pickup: LatLng) -> float | None:
        """Road seconds of the nearest free cab; None when none is near."""
        cabs = await self.near(pickup, 1)
        return None if not cabs else float(cabs[0]["eta_s"])

    async def position(self, driver_id: str) -> Position | None:
        driver = self._live.get(driver_id)
        if driver is not None and driver.connected and driver.in_supply:
            return self._seen(driver.lat, driver.lng, driver.heading, driver.seen_at)
        rows = await self._reads.driver(driver_id)
        if not rows.driver_ids:
            return None
        return self._seen(float(rows.lat[0]), float(rows.lng[0]), float(rows.heading[0]), float(rows.seen_at[0]))

    def _seen(self, lat: float, lng: float, heading: float, seen_at: float) -> Position:
        age_s = max(0.0, self._clock.now() - seen_at)
        return Position(LatLng(lat, lng), 0.0 if np.isnan(heading) else heading, age_s)
