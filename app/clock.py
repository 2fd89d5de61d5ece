"""Engine time over restarts: it never goes back, and a fast clock goes on as if it had never been stopped.

A mark in the data directory says what engine time was at a wall time. At speed 1 engine time is the wall's, and the
mark is a floor. A fast clock goes on along the line through its mark, which whoever keeps the same time outside (a
client at the same speed) may draw as well; the mark moves off that line only when the wall's clock was set.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec

from core.errors import HexcabError
from runtime.clocks import EngineClock, ScaledClock, WallClock
from runtime.datadir import DataDir

MARK_EVERY_S = 10.0  # wall time

_NAME = "clock"
_SAME_S = 0.005  # wall time within which two readings of two clocks count as the same
_TRIES = 10

_log = logging.getLogger("hexcab.clock")


class _Mark(msgspec.Struct, frozen=True):
    """At this wall time it was this engine time, and it ran at this speed; `ahead` of the wall for good at speed 1."""

    wall: float
    engine: float
    speed: float
    ahead: float | None = None

    def line(self, wall: float) -> float:
        """Engine time at a wall time if nothing stopped the clock."""
        return self.engine + (wall - self.wall) * self.speed

    def floor(self, wall: float) -> float:
        """Engine time had hardly come further than this, even if the wall's clock was set back since."""
        elapsed = wall - self.wall
        since = MARK_EVERY_S if elapsed < 0 else min(elapsed, MARK_EVERY_S)  # then a new mark would have been made
        return self.engine + since * self.speed


def engine_clock(data: DataDir, speed: float, wall: Callable[[], float] = time.time) -> EngineClock:
    """The clock of a data directory, marked there. Raises Unavailable when that cannot be written.

    Engine time is the wall's until a fast engine has run here. From then on it is ahead: a fast engine goes on from
    where the earlier one's time is by now, and one at speed 1 stays as far ahead as it then is.
    """
    known = _known(data)
    clock = _wall_clock(known, wall) if speed == 1.0 else _fast_clock(known, speed, wall)
    ClockMark(data, clock, wall).write()
    return clock


class ClockMark:
    """Keeps the mark of a running clock true. Call `keep` once a second, and `write` at the end."""

    def __init__(self, data: DataDir, clock: EngineClock, wall: Callable[[], float] = time.time) -> None:
        self._data = data
        self._clock = clock
        self._wall = wall
        known = _known(data)
        self._mark = known if known is not None and known.speed == clock.speed else None

    async def keep(self) -> None:
        """Write the mark when it is old, or at once when the wall's clock was set back. Raises Unavailable."""
        at, engine = self._read()
        known = self._mark
        if known is None or at - known.wall >= MARK_EVERY_S:
            self.write()
        elif (early := engine - known.line(at)) > _SAME_S * self._clock.speed:
            _log.warning("the wall's clock was set back by %.3f s", early / self._clock.speed)
            self.write()

    def write(self) -> None:
        """Mark where engine time is now. Raises Unavailable when the data directory cannot be written."""
        at, engine = self._read()
        if isinstance(self._clock, WallClock):
            mark = _Mark(at, engine, self._clock.speed, self._clock.ahead)
        else:
            line = engine if self._mark is None else self._mark.line(at)
            same = abs(line - engine) <= _SAME_S * self._clock.speed
            mark = _Mark(at, line if same else engine, self._clock.speed)
        self._data.remember(_NAME, msgspec.to_builtins(mark))
        self._mark = mark

    def close(self) -> None:
        """The last mark; an engine that cannot write it stops all the same."""
        try:
            self.write()
        except HexcabError as error:
            _log.warning("engine time could not be marked: %s", error.detail)

    def _read(self) -> tuple[float, float]:
        """The wall's time and engine time at one moment, however busy the machine is."""
        for _ in range(_TRIES):
            before = self._wall()
            engine = self._clock.now()
            after = self._wall()
            if 0 <= after - before < _SAME_S / 5:
                break
        return (before + after) / 2, engine


def _known(data: DataDir) -> _Mark | None:
    try:
        return msgspec.convert(data.recall(_NAME), _Mark)
    except msgspec.ValidationError:
        return None


def _wall_clock(known: _Mark | None, wall: Callable[[], float]) -> WallClock:
    if known is None:
        return WallClock(wall=wall)
    at = wall()
    if known.speed == 1.0:
        ahead = known.engine - known.wall if known.ahead is None else known.ahead
        return WallClock(max(0.0, ahead), known.floor(at), wall)
    engine = max(known.floor(at), known.line(at))
    return WallClock(max(0.0, engine - at), engine, wall)


def _fast_clock(known: _Mark | None, speed: float, wall: Callable[[], float]) -> ScaledClock:
    for _ in range(_TRIES):
        at = wall()
        engine = at if known is None else max(at, known.floor(at), known.line(at))
        clock = ScaledClock(speed, engine)
        if 0 <= wall() - at < _SAME_S / 5:  # nothing came between the two readings
            break
    return clock
