"""Single fastest paths with their geometry and the time at every point, for cars that drive and lines on a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from core.errors import InvalidInput
from core.geo import FloatArray, LatLng, bearing_deg
from maps.eta import EtaIndex
from maps.roads import RoadGraph
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
    """The part of an edge that is driven, from one share of its length to another, `start <= end`; turn included."""

    edge: int
    start: float
    end: float
    seconds: float
    metres: float


class Paths:
    """Finds the fastest paths that EtaIndex times; safe to share between threads."""

    def __init__(self, eta: EtaIndex) -> None:
        self.eta = eta
        self._roads = eta.roads

    def path(self, start: LatLng, end: LatLng) -> Path:
        """The fastest way from one point to another. Raises NotOnRoad, and NoRoute when there is no way."""
        return self.path_snapped(self.eta.snap_one(start), self.eta.snap_one(end))

    def path_snapped(self, start: Snaps, end: Snaps) -> Path:
        """The fastest way between two points on the road, each of shape (1,). Raises NoRoute when there is none."""
        return self.drive(self.pieces(start, end))

    def drive(self, pieces: Sequence[Piece]) -> Path:
        """The drive over these parts of edges, at least one."""
        return _drive(self._roads, self.eta.snaps.grid.along, pieces)

    def pieces(self, start: Snaps, end: Snaps) -> list[Piece]:
        """The same way as the parts of edges it drives. Raises NoRoute when there is none."""
        way = self.eta.way(start, end)
        if way is None:
            raise NoRoute("no road leads from the start to the end")
        last = len(way.edges) - 1
        pieces = []
        for at, edge in enumerate(way.edges.tolist()):
            begin, stop = way.start if at == 0 else 0.0, way.end if at == last else 1.0
            share = stop - begin
            # a car loses the time of a turn on the edge it turns into
            seconds = float(way.turn_s[at] + way.edge_s[at] * share)
            pieces.append(Piece(edge, begin, stop, seconds, float(way.edge_m[at] * share)))
        return pieces


def _drive(roads: RoadGraph, along: FloatArray, pieces: Sequence[Piece]) -> Path:
    """String the driven parts together: their geometry, and the time at each of its points."""
    lat: list[float] = []
    lng: list[float] = []
    at_s: list[float] = []
    seconds = metres = 0.0
    for piece in pieces:
        rows = slice(roads.point_at[piece.edge], roads.point_at[piece.edge + 1])
        shares = along[rows]
        inner = (shares > piece.start) & (shares < piece.end)
        marks = np.concatenate([[piece.start], shares[inner], [piece.end]])
        lat.extend(np.interp(marks, shares, roads.point_lat[rows]).tolist())
        lng.extend(np.interp(marks, shares, roads.point_lng[rows]).tolist())
        driven = (marks - piece.start) / max(piece.end - piece.start, 1e-12)
        at_s.extend((seconds + driven * piece.seconds).tolist())
        seconds += piece.seconds
        metres += piece.metres
    keep = [row for row, (a, b) in enumerate(pairwise(zip(lat, lng, at_s, strict=True))) if a != b]
    keep.append(len(lat) - 1)
    if len(keep) == 1:  # start and end are the same place
        keep = [len(lat) - 1, len(lat) - 1]
    return Path(np.array(lat)[keep], np.array(lng)[keep], np.array(at_s)[keep], metres, seconds)
