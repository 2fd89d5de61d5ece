"""Which pings are used: one ordered list of judges, over a whole batch at once.

`judge` is compiled. It takes rows of PING against the drivers' rows of SLOT: it refuses a ping or takes it over. What
it cannot know from its tables it leaves undecided (ASK), together with every later ping of that driver in the batch;
the caller finds the segment and asks again.
"""

from __future__ import annotations

import math

import numpy as np

from location.table import (
    ASK,
    DUPLICATE,
    FUTURE,
    HINT,
    LOG,
    NO_ROOM,
    OUT_OF_ORDER,
    OUTSIDE,
    SEEN,
    TOO_FAST,
    TOO_SOON,
    USED,
)
from maps.kernels import compiled
from runtime.settings import LocationSettings

REASONS = ("future", "duplicate", "out_of_order", "too_soon", "outside", "too_fast")

RULES = np.dtype(
    [
        ("max_future_ms", "f8"),
        ("min_gap_ms", "f8"),
        ("max_speed_mps", "f8"),
        ("fresh_s", "f8"),
        ("position_every_s", "f8"),
        ("keep_idle", "u1"),
        ("queues", "u1"),
    ],
    align=True,
)

# what is known of a finest cell: all of it is in the service area, none of it is, part of it is in an airport queue
ALL_IN, NONE_IN, IN_QUEUE = 1, 2, 4

_METRES_PER_DEGREE = 111_200.0  # never less than a degree of latitude or longitude spans
_EARTH_M = 6_371_008.8
_MARGIN = 1e-6  # of a cell: nearer to the edge, H3 is asked itself
_RADIANS = math.pi / 180.0


def everywhere(_lat: float, _lng: float, /) -> bool:
    """The service area of an engine without one."""
    return True


def rules_of(settings: LocationSettings, fresh_s: float, queues: bool) -> np.void:
    """The limits as `judge` takes them."""
    rules = np.zeros(1, dtype=RULES)
    rules["max_future_ms"] = settings.max_future_s * 1000
    rules["min_gap_ms"] = settings.min_gap_s * 1000
    rules["max_speed_mps"] = settings.max_speed_mps
    rules["fresh_s"] = fresh_s
    rules["position_every_s"] = settings.position_every_s
    rules["keep_idle"] = settings.keep_idle_pings
    rules["queues"] = queues
    return rules[0]  # type: ignore[no-any-return]


@compiled
def _haversine_m(lat: float, lng: float, to_lat: float, to_lng: float) -> float:
    a, b = lat * _RADIANS, to_lat * _RADIANS
    north, east = math.sin((b - a) / 2), math.sin((to_lng - lng) * _RADIANS / 2)
    h = north * north + math.cos(a) * math.cos(b) * east * east
    return 2 * _EARTH_M * math.asin(min(1.0, math.sqrt(h)))


@compiled
def lattice_key(lat: float, lng: float, plane: np.ndarray) -> int:
    """The finest cell at a point, by its place in the lattice of `plane` (see cells.py); -1 too near to an edge."""
    a, b = lat * _RADIANS, lng * _RADIANS
    across = math.cos(a)
    x, y, z = across * math.cos(b), across * math.sin(b), math.sin(a)
    depth = plane[2, 0] * x + plane[2, 1] * y + plane[2, 2] * z
    if not depth > 0.0:
        return -1
    q = (plane[0, 0] * x + plane[0, 1] * y + plane[0, 2] * z) / depth
    r = -(plane[1, 0] * x + plane[1, 1] * y + plane[1, 2] * z) / depth
    s = -q - r
    if not (abs(q) < 1e6 and abs(r) < 1e6):
        return -1
    nq, nr, ns = round(q), round(r), round(s)
    dq, dr, ds = abs(nq - q), abs(nr - r), abs(ns - s)
    if dq > dr and dq > ds:
        nq = -nr - ns
    elif dr > ds:
        nr = -nq - ns
    ns = -nq - nr
    dq, dr, ds = q - nq, r - nr, s - ns
    if max(abs(dq - dr), abs(dr - ds), abs(ds - dq)) > 1.0 - _MARGIN:
        return -1
    return (int(nq) + 2_000_000) << 32 | (int(nr) + 2_000_000)


@compiled
def find(keys: np.ndarray, key: int) -> int:
    """The place of a key in an open hash table of a power of two places; of the first free one where it is not in."""
    mask = len(keys) - 1
    place = ((key * 0x9E3779B97F4A7C1) >> 20) & mask
    while keys[place] != 0 and keys[place] != key:
        place = (place + 1) & mask
    return place


@compiled
def _when(driver, ping, rules, now_ms):  # type: ignore[no-untyped-def]
    """The judges of the time alone, in their order."""
    if ping.ts > now_ms + rules.max_future_ms:
        return FUTURE  # dated further ahead of the engine's clock than clocks may differ
    if ping.seq <= driver.seq and ping.ts <= driver.ts:
        return DUPLICATE  # sent again after a reconnection: neither its number nor its time is new
    if ping.ts < driver.ts:
        return OUT_OF_ORDER
    if driver.ts >= 0 and ping.ts - driver.ts < rules.min_gap_ms:
        return TOO_SOON  # closer in time to the last used one than the rate allows
    return USED


@compiled
def _too_fast(driver, ping, rules):  # type: ignore[no-untyped-def]
    """Farther from the last used one than a car gets in the time."""
    if driver.ts < 0:
        return False
    reach_m = rules.max_speed_mps * (ping.ts - driver.ts) / 1000.0
    # the way along a meridian and a parallel is never shorter than the great circle: most pings need no trigonometry
    if _METRES_PER_DEGREE * (abs(ping.lat - driver.lat) + abs(ping.lng - driver.lng)) <= reach_m:
        return False
    return _haversine_m(driver.lat, driver.lng, ping.lat, ping.lng) > reach_m


@compiled
def _move(driver, ping, rules, now):  # type: ignore[no-untyped-def]
    """Take over a used ping. One that waited in the app's buffer is as old as it says, and may place nobody."""
    driver.ts = ping.ts
    driver.lat = ping.lat
    driver.lng = ping.lng
    driver.heading = ping.heading
    driver.speed = ping.speed
    driver.segment = ping.segment
    at = ping.ts / 1000.0
    driver.seen_at = min(at, now)  # a phone may be ahead
    driver.placed = now - at <= rules.fresh_s


@compiled
def judge(pings, table, dirty, tallies, plane, keys, segments, states, rules, room, now):  # type: ignore[no-untyped-def]
    """Judge the pings (n,) in their order at engine time `now`, and take the used ones over.

    `dirty` has the slots whose state the store must be told, tallies[0] of them: at once where the segment is another,
    else not before position_every_s of the pings' own time; tallies[1 + fate] counts. `room` is
    how many more pings the log takes: a trip's ping without room is as if it had never come (NO_ROOM).
    Returns how many are undecided.
    """
    undecided = 0
    for n in range(len(pings)):
        ping = pings[n]
        driver = table[ping.slot]
        ping.after = 0
        if driver.asked:
            ping.fate = ASK
            undecided += 1
            continue
        fate = _when(driver, ping, rules, now * 1000.0)
        queue = False
        if fate == USED:
            if ping.segment == 0:
                key = lattice_key(ping.lat, ping.lng, plane)
                place = find(keys, key) if key > 0 else 0
                state = states[place] if key > 0 and keys[place] == key else 0
                if state & (ALL_IN | NONE_IN) == 0:
                    ping.fate = ASK
                    driver.asked = 1
                    undecided += 1
                    continue
                ping.segment = segments[place]
                ping.inside = state & ALL_IN
                queue = state & IN_QUEUE != 0
            else:
                queue = True
            if not ping.inside:
                fate = OUTSIDE
            elif _too_fast(driver, ping, rules):
                fate = TOO_FAST
            elif driver.on_trip and room <= 0:
                fate = NO_ROOM
        ping.fate = fate
        if fate == USED:
            ping.before = driver.seq
            _move(driver, ping, rules, now)
            if driver.on_trip or rules.keep_idle:
                room -= 1
                ping.after |= LOG
            if rules.queues and (queue or driver.watched):
                ping.after |= SEEN
            late = driver.seen_at - driver.told_at >= rules.position_every_s
            if not driver.dirty and (late or driver.segment != driver.told_segment):
                driver.dirty = 1
                dirty[tallies[0]] = ping.slot
                tallies[0] += 1
        tallies[1 + fate] += 1
        if fate != NO_ROOM:
            if ping.seq > driver.seq:
                driver.seq = ping.seq
            if not driver.placed and not driver.told_skew:
                ping.after |= HINT
    return undecided
