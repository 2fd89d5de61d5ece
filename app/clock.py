"""Engine time over restarts: it never goes back, and a fast clock goes on as if it had never been stopped."""

from __future__ import annotations

import time

import msgspec

from runtime.clocks import ScaledClock
from runtime.datadir import DataDir

_NAME = "clock"


class _Mark(msgspec.Struct, frozen=True):
    """At this wall time it was this engine time, and it ran at this speed."""

    wall: float
    engine: float
    speed: float

    def now(self, wall: float) -> float:
        return self.engine + max(0.0, wall - self.wall) * self.speed


def engine_clock(data: DataDir, speed: float) -> ScaledClock:
    """The clock of a data directory.

    Engine time is the wall's until a fast engine has run here; from then on it goes on from where that engine's time
    is now, so that whoever kept the same time outside (a client at the same speed) still agrees with it.
    """
    wall = time.time()
    engine = wall
    try:
        known = msgspec.convert(data.recall(_NAME), _Mark)
    except msgspec.ValidationError:
        known = None
    if known is not None:
        engine = max(wall, known.now(wall))
    if known is None or known.speed != speed:
        data.remember(_NAME, msgspec.to_builtins(_Mark(wall, engine, speed)))
    return ScaledClock(speed, engine)
