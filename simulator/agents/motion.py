"""A car on its road: where it is at any moment of a drive, cheaply."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from core.geo import LatLng, bearing_deg, haversine_m
from simulator.agents.world import Drive


class Seen(NamedTuple):
    """What a car's receiver knows: heading in degrees, speed in metres per second."""

    at: LatLng
    heading: float
    speed_mps: float


class Motion:
    """A drive that began at some engine time; before and after it the car stands."""

    def __init__(self, drive: Drive, began_at: float) -> None:
        self._at: list[float] = (drive.at_s + began_at).tolist()
        self._lat: list[float] = drive.lat.tolist()
        self._lng: list[float] = drive.lng.tolist()
        self._heading = 0.0

    @staticmethod
    def standing(at: LatLng, heading: float = 0.0) -> Motion:
        """A car that stands."""
        motion = Motion.__new__(Motion)
        motion._at, motion._lat, motion._lng, motion._heading = [0.0], [at.lat], [at.lng], heading
        return motion

    @property
    def ends_at(self) -> float:
        """When the car is there."""
        return self._at[-1]

    def seen(self, now: float) -> Seen:
        """Where the car is now."""
        row = bisect_right(self._at, now)
        if row == 0 or row == len(self._at):
            row = min(row, len(self._at) - 1)
            return Seen(LatLng(self._lat[row], self._lng[row]), self._heading, 0.0)
        before = LatLng(self._lat[row - 1], self._lng[row - 1])
        after = LatLng(self._lat[row], self._lng[row])
        span_s = self._at[row] - self._at[row - 1]
        share = (now - self._at[row - 1]) / span_s
        here = LatLng(before.lat + (after.lat - before.lat) * share, before.lng + (after.lng - before.lng) * share)
        if before != after:  # a car that waits keeps its heading
            self._heading = bearing_deg(before, after)
        return Seen(here, self._heading, haversine_m(before, after) / span_s)
