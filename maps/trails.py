"""Trails as cars sent them, and what of them can be true: without jumps, and with each stand as one place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.geo import FloatArray, IntArray, LatLng, haversine_m, hops_m
from runtime.driven_settings import DrivenSettings

_LOOK_BACK = 100  # runs between jumps: a trail with more of them in a row has no truth to find


@dataclass(frozen=True, slots=True)
class DrivenTrail:
    """Pings of one car that drove, in degrees and epoch seconds, sorted by time; arrays of shape (n,)."""

    lat: FloatArray
    lng: FloatArray
    at_s: FloatArray

    def __len__(self) -> int:
        return len(self.at_s)

    def take(self, rows: IntArray | slice) -> DrivenTrail:
        """Some of the pings, in order."""
        return DrivenTrail(self.lat[rows], self.lng[rows], self.at_s[rows])

    def point(self, row: int) -> LatLng:
        """Where one of them was."""
        return LatLng(float(self.lat[row]), float(self.lng[row]))

    def points(self, first: int = 0, last: int | None = None) -> list[LatLng]:
        """Where those from `first` to `last` were, both included."""
        rows = slice(first, None if last is None else last + 1)
        return [LatLng(lat, lng) for lat, lng in zip(self.lat[rows].tolist(), self.lng[rows].tolist(), strict=True)]


def without_jumps(trail: DrivenTrail, settings: DrivenSettings) -> DrivenTrail:
    """The most pings that one car can have sent: no step between them is faster than any car.

    A trail falls into runs at the steps that are too fast; kept are the runs that together have the most pings and can
    follow each other. So a ping from another town goes, and so do the first ones of a receiver that had not yet found
    where it is.
    """
    fast = hops_m(trail.lat, trail.lng) > _reach_m(np.diff(trail.at_s), settings)
    if not fast.any():
        return trail
    first = np.concatenate([[0], np.flatnonzero(fast) + 1])
    last = np.append(first[1:] - 1, len(trail) - 1)
    most, before = (last - first + 1).astype(np.int64), np.full(len(first), -1, dtype=np.int64)
    for run in range(1, len(first)):
        since = max(0, run - _LOOK_BACK)
        ends = last[since:run]
        start = np.full(len(ends), first[run])
        hop = hops_m(np.stack([trail.lat[ends], trail.lat[start]]), np.stack([trail.lng[ends], trail.lng[start]]))[0]
        follows = hop <= _reach_m(trail.at_s[start] - trail.at_s[ends], settings)
        if follows.any():
            best = int(np.argmax(np.where(follows, most[since:run], -1)))
            most[run] += most[since + best]
            before[run] = since + best
    kept, run = list[IntArray](), int(np.argmax(most))
    while run >= 0:
        kept.append(np.arange(first[run], last[run] + 1))
        run = int(before[run])
    return trail.take(np.concatenate(kept[::-1]))


def with_stands_as_places(trail: DrivenTrail, settings: DrivenSettings) -> DrivenTrail:
    """Where a car stood, its pings become one: the middle of them, when it left.

    A receiver that stands wanders about, and every step of it would be driven metres. A stand is a time of `stand_s` at
    least in which the pings stay within `stand_m` of their mean; single ones that stray in between are dropped (stay
    points: Li et al., Mining user similarity based on location history, 2008).
    """
    lat, lng, at_s = trail.lat.tolist(), trail.lng.tolist(), trail.at_s.tolist()
    kept = list[tuple[float, float, float]]()
    row, count = 0, len(trail)
    while row < count:
        inside = _stand(trail, row, settings)
        if at_s[inside[-1]] - at_s[row] >= settings.stand_s:
            middle = float(np.median(trail.lat[inside])), float(np.median(trail.lng[inside]))
            kept.append((*middle, at_s[inside[-1]]))
            row = inside[-1] + 1
        else:
            kept.append((lat[row], lng[row], at_s[row]))
            row += 1
    columns = np.array(kept, dtype=np.float64).reshape(-1, 3).T
    return DrivenTrail(*(np.ascontiguousarray(column) for column in columns))


def _stand(trail: DrivenTrail, start: int, settings: DrivenSettings) -> list[int]:
    """The pings from `start` on that stay near the mean of those before them."""
    inside, lat, lng = [start], float(trail.lat[start]), float(trail.lng[start])
    for row in range(start + 1, len(trail)):
        here = trail.point(row)
        if haversine_m(LatLng(lat, lng), here) <= settings.stand_m:
            inside.append(row)
            lat += (here.lat - lat) / len(inside)
            lng += (here.lng - lng) / len(inside)
        elif trail.at_s[row] - trail.at_s[inside[-1]] > settings.stray_s:
            break
    return inside


def _reach_m(seconds: FloatArray, settings: DrivenSettings) -> FloatArray:
    """How far a car can seem to get in so long."""
    return settings.top_speed_mps * seconds + settings.stray_m
