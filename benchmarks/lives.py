"""Memory of processes over time, and how fast it grows once they are warm."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping

import msgspec
import psutil

MIN_SAMPLES = 10


class Life(msgspec.Struct, frozen=True):
    """One process as it was seen: `samples` are seconds since the first look and resident megabytes."""

    name: str
    pid: int
    samples: list[tuple[float, float]]

    def slope_mb_per_h(self, warm_up_s: float) -> float | None:
        """Growth after the warm-up by least squares; None where too little was seen to say anything."""
        warm = [(at, mb) for at, mb in self.samples if at - self.samples[0][0] >= warm_up_s]
        if len(warm) < MIN_SAMPLES:
            return None
        return statistics.linear_regression([at for at, _ in warm], [mb for _, mb in warm]).slope * 3_600


class Memory:
    """Looks at processes by name; one that was started anew begins another life."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.lives: list[Life] = []

    def look(self, pids: Mapping[str, int], rss_mb: Callable[[int], float]) -> None:
        """Take a sample of each; a process that has just ended has none."""
        at = self._clock() - self._began
        for name, pid in pids.items():
            with contextlib.suppress(psutil.Error):
                self._life(name, pid).samples.append((at, rss_mb(pid)))

    def _life(self, name: str, pid: int) -> Life:
        for life in reversed(self.lives):
            if (life.name, life.pid) == (name, pid):
                return life
        self.lives.append(Life(name, pid, []))
        return self.lives[-1]


def resident_mb(pid: int) -> float:
    """Resident memory of a process. Raises psutil.Error when there is none."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def slopes(lives: list[Life], warm_up_s: float) -> dict[str, float]:
    """The slope of the longest life of each name of which one is known, in MB per hour."""
    found: dict[str, tuple[int, float]] = {}
    for life in lives:
        slope = life.slope_mb_per_h(warm_up_s)
        if slope is not None and len(life.samples) > found.get(life.name, (0, 0.0))[0]:
            found[life.name] = (len(life.samples), slope)
    return {name: slope for name, (_, slope) in sorted(found.items())}
