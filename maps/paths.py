"""Single fastest paths with their geometry and the time at every point, for cars that drive and lines on a map."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from core.errors import InvalidInput
from core.geo import FloatArray, LatLng, bearing_deg
from maps.eta import EtaIndex
from maps.roads import NO_EDGE, RoadGraph
from maps.search import Access, find_way
from maps.snap import Snaps


class NoRoute(InvalidInput):
    """Both ends are on the road, but no road leads from one to the other."""

    default_code = "no_route"


class Place(NamedTuple):
    """Where a car on a path is: position, heading in degrees clockwise from north, speed in metres per second."""

    position: LatLng
    heading: float
    speed_mps: float


@dataclass(frozen=True, slots=True)
class Path:
    """A drive along the road, from where the start meets the road to where the end does.

    `lat`, `lng` and `at_s` (seconds since the start, never falling) have shape (n,) with n >= 2.
    """

    lat: FloatArray
    lng: FloatArray
    at_s: FloatArray
    distance_m: float
    duration_s: float

    def at(self, seconds: float) -> Place:
        """Where the car is so many seconds after the start; it stands at the ends before and after the drive."""
        row = int(np.searchsorted(self.at_s, seconds, side="right"))
        row = min(max(row, 1), len(self.at_s) - 1)
        before, after = self.point(row - 1), self.point(row)
        span = float(self.at_s[row] - self.at_s[row - 1])
        share = min(1.0, max(0.0, (seconds - float(self.at_s[row - 1])) / span)) if span > 0 else 1.0
        lat = before.lat + (after.lat - before.lat) * share
        lng = before.lng + (after.lng - before.lng) * share
        moving = 0.0 <= seconds < self.duration_s
        speed = self.distance_m / self.duration_s if moving else 0.0
        return Place(LatLng(lat, lng), bearing_deg(before, after), speed)

    def point(self, row: int) -> LatLng:
        """One of its points."""
        return LatLng(float(self.lat[row]), float(self.lng[row]))


class Piece(NamedTuple):
    """The part of an edge that is driven: from one share of its length to another, `start <= end`."""

    edge: int
    start: float
    end: float


class Paths:
    """Finds fastest paths on the same edges and weights as EtaIndex; safe to share between threads."""

    def __init__(self, eta: EtaIndex) -> None:
        self._eta = eta
        self._roads = eta.roads

    def path(self, start: LatLng, end: LatLng) -> Path:
        """The fastest way from one point to another. Raises NotOnRoad, and NoRoute when there is no way."""
        return self.path_snapped(self._eta.snap_one(start), self._eta.snap_one(end))

    def path_snapped(self, start: Snaps, end: Snaps) -> Path:
        """The fastest way between two points on the road, each of shape (1,). Raises NoRoute when there is none."""
        pieces = self.pieces(start, end)
        return _drive(self._roads, self._eta.snaps.along, pieces)

    def pieces(self, start: Snaps, end: Snaps) -> list[Piece]:
        """The same way as the parts of edges it drives. Raises NoRoute when there is none."""
        leave, reach = self._eta.departures(start), self._eta.arrivals(end)
        work = self._eta.take_workspace()
        kernel_work = (
            work.next_version(),
            work.stamp,
            work.seconds,
            work.entered_by,
            work.entered_from,
            self._eta.gates,
            work.open_gate,
            work.heap_key,
            work.heap_node,
        )
        seconds, way_out, way_in, edges = find_way(
            self._eta.leaving.arrays(), leave.arrays(), reach.arrays(), kernel_work
        )
        self._eta.return_workspace(work)
        direct = self._eta.along_one_street(start, end)
        if direct.seconds[0] <= seconds and direct.seconds[0] < np.inf:
            return [self._along(start, end)]
        if seconds == np.inf:
            raise NoRoute("no road leads from the start to the end")
        first = self._end_piece(start, leave, way_out, leaving=True)
        last = self._end_piece(end, reach, way_in, leaving=False)
        return [first, *(Piece(int(edge), 0.0, 1.0) for edge in edges), last]

    def _along(self, start: Snaps, end: Snaps) -> Piece:
        edge, begin, stop = int(start.edge[0]), float(start.fraction[0]), float(end.fraction[0])
        if begin <= stop:
            return Piece(edge, begin, stop)
        return Piece(int(self._roads.opposite[edge]), 1.0 - begin, 1.0 - stop)

    def _end_piece(self, point: Snaps, access: Access, way: int, *, leaving: bool) -> Piece:
        """The part of the point's own street that is driven at the start or at the end of the way."""
        edge, share = int(access.edge[0, way]), float(point.fraction[0])
        if way == 1 and self._roads.opposite[point.edge[0]] == NO_EDGE:  # stands at the junction itself
            share = 0.0 if leaving else 1.0
            return Piece(edge, share, share)
        if way == 1:
            share = 1.0 - share
        return Piece(edge, share, 1.0) if leaving else Piece(edge, 0.0, share)


def _drive(roads: RoadGraph, along: FloatArray, pieces: list[Piece]) -> Path:
    """String the driven parts together: their geometry, and the time at each of its points."""
    lat: list[float] = []
    lng: list[float] = []
    at_s: list[float] = []
    seconds = metres = 0.0
    for edge, start, end in pieces:
        rows = slice(roads.point_at[edge], roads.point_at[edge + 1])
        shares = along[rows]
        inner = (shares > start) & (shares < end)
        marks = np.concatenate([[start], shares[inner], [end]])
        lat.extend(np.interp(marks, shares, roads.point_lat[rows]).tolist())
        lng.extend(np.interp(marks, shares, roads.point_lng[rows]).tolist())
        at_s.extend((seconds + (marks - start) * roads.seconds[edge]).tolist())
        seconds += float(roads.seconds[edge]) * (end - start)
        metres += float(roads.metres[edge]) * (end - start)
    keep = [row for row, (a, b) in enumerate(pairwise(zip(lat, lng, at_s, strict=True))) if a != b]
    keep.append(len(lat) - 1)
    if len(keep) == 1:  # start and end are the same place
        keep = [len(lat) - 1, len(lat) - 1]
    return Path(np.array(lat)[keep], np.array(lng)[keep], np.array(at_s)[keep], metres, seconds)
