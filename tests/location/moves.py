"""Used pings without a gateway."""

from __future__ import annotations

import math

from location.adapters.memory import MemoryTrail
from location.live import Driver, LiveDrivers
from location.messages import Position
from location.pings import PingPath
from location.table import NO_PING
from location.trail import TrailWriter
from runtime.settings import LocationSettings

_ANYTHING = LocationSettings(
    keep_idle_pings=False, position_every_s=0.0, min_gap_s=0.0, max_future_s=1e9, max_speed_mps=math.inf
)


def move(live: LiveDrivers, driver: Driver, ping: Position, segment: int, now: float) -> None:
    """The driver's ping was used, whatever the earlier ones were, and lies in this segment."""
    path = PingPath(live, TrailWriter(MemoryTrail(), live, _ANYTHING), lambda _lat, _lng: segment, _ANYTHING)
    driver.ts = NO_PING
    assert path.take(driver, ping, now)
    assert driver.ts == ping.ts
