"""Which pings are used: one ordered list of small judges, pure over the driver's last used ping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from core.geo import LatLng, haversine_m
from location.ports import Inside

_METRES_PER_DEGREE = 111_200.0  # never less than a degree of latitude or longitude spans


class Ping(Protocol):
    """What is judged; `ts` in epoch milliseconds."""

    @property
    def seq(self) -> int: ...
    @property
    def ts(self) -> int: ...
    @property
    def lat(self) -> float: ...
    @property
    def lng(self) -> float: ...


class Last(Protocol):
    """The last used ping of a driver; `ts` is negative before the first. `seq` is the highest one met."""

    seq: int
    ts: int
    lat: float
    lng: float


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits, in milliseconds and metres per second."""

    max_future_ms: float
    min_gap_ms: float
    max_speed_mps: float
    inside: Inside


def everywhere(_lat: float, _lng: float, /) -> bool:
    """The service area of an engine without one."""
    return True


Judge = Callable[[Last, Ping, Rules, float], bool]


def future(_last: Last, ping: Ping, rules: Rules, now_ms: float) -> bool:
    """Dated further ahead of the engine's clock than clocks may differ."""
    return ping.ts > now_ms + rules.max_future_ms


def duplicate(last: Last, ping: Ping, _rules: Rules, _now_ms: float) -> bool:
    """Sent again after a reconnection: neither its number nor its time is new."""
    return ping.seq <= last.seq and ping.ts <= last.ts


def out_of_order(last: Last, ping: Ping, _rules: Rules, _now_ms: float) -> bool:
    """Older than the last used one."""
    return ping.ts < last.ts


def too_soon(last: Last, ping: Ping, rules: Rules, _now_ms: float) -> bool:
    """Closer in time to the last used one than the rate allows."""
    return last.ts >= 0 and ping.ts - last.ts < rules.min_gap_ms


def outside(_last: Last, ping: Ping, rules: Rules, _now_ms: float) -> bool:
    """Not in the service area."""
    return not rules.inside(ping.lat, ping.lng)


def too_fast(last: Last, ping: Ping, rules: Rules, _now_ms: float) -> bool:
    """Farther from the last used one than a car gets in the time."""
    if last.ts < 0:
        return False
    reach_m = rules.max_speed_mps * (ping.ts - last.ts) / 1000.0
    # the way along a meridian and a parallel is never shorter than the great circle: most pings need no trigonometry
    if _METRES_PER_DEGREE * (abs(ping.lat - last.lat) + abs(ping.lng - last.lng)) <= reach_m:
        return False
    return haversine_m(LatLng(last.lat, last.lng), LatLng(ping.lat, ping.lng)) > reach_m


JUDGES: tuple[tuple[str, Judge], ...] = tuple(
    (judge.__name__, judge) for judge in (future, duplicate, out_of_order, too_soon, outside, too_fast)
)
REASONS = tuple(name for name, _ in JUDGES)


def refuse(last: Last, ping: Ping, rules: Rules, now_ms: float) -> str | None:
    """The name of the first judge who refuses the ping, or None when it is to be used."""
    for name, judge in JUDGES:
        if judge(last, ping, rules, now_ms):
            return name
    return None
