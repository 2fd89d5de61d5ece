"""The path of one ping: judged, put into its segment, queued for the trail. The hot path of the engine."""

from __future__ import annotations

from collections.abc import Callable

from core.clock import Clock
from location.intake import REASONS, Rules, everywhere, refuse
from location.live import Driver, LiveDrivers
from location.messages import Position
from location.ports import Inside, SegmentOf
from location.trail import TrailWriter
from runtime.settings import LocationSettings


class PingPath:
    """Takes pings of drivers into the live table and the trail, and counts what becomes of them."""

    def __init__(
        self,
        live: LiveDrivers,
        writer: TrailWriter,
        segment_of: SegmentOf,
        settings: LocationSettings,
        *,
        inside: Inside = everywhere,
        seen: Callable[[Driver, float, float, float], None] | None = None,
    ) -> None:
        self._live = live
        self._writer = writer
        self._segment_of = segment_of
        self._seen = seen  # who watches used pings: driver, lat, lng, now
        self._rules = Rules(settings.max_future_s * 1000, settings.min_gap_s * 1000, settings.max_speed_mps, inside)
        self.accepted = 0
        self.dropped = dict.fromkeys(REASONS, 0)

    def take(self, driver: Driver, ping: Position, now: float) -> bool:
        """Judge a ping at engine time `now` and use it.

        False when it belongs to a trip and the trail's queue is full: it is then as if it had never come.
        """
        reason = refuse(driver, ping, self._rules, now * 1000.0)
        if reason is None:
            if driver.trip_id is not None and self._writer.full:
                self._writer.refused += 1
                return False
            self._writer.add(driver, ping)
            self._live.move(driver, ping, self._segment_of(ping.lat, ping.lng), now)
            if self._seen is not None:
                self._seen(driver, ping.lat, ping.lng, now)
            self.accepted += 1
        else:
            self.dropped[reason] += 1
        if ping.seq > driver.seq:
            driver.seq = ping.seq
        return True

    def take_batch(self, driver: Driver, pings: list[Position], clock: Clock) -> bool:
        """Take buffered pings, oldest first; False when one of them, and so all after it, could not be taken."""
        now = clock.now()
        return all(self.take(driver, ping, now) for ping in pings)
