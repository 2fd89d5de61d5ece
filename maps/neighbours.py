"""Which segments are near: those that touch, and those around a place in the order of how near they may be.

Answers never depend on how segments are cut, as all points of a segment lie within `_OVERHANG` times its circumradius
of its middle: a child's middle is one spacing of the finer grid away from its parent's at most, which over all finer
resolutions comes to 1.05. The triangle inequality does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import h3.api.basic_int as h3
import numpy as np

from core.geo import FloatArray, IntArray, LatLng, haversine_m, haversine_many_m
from maps import segments
from maps.segments import COARSEST_RESOLUTION, FINEST_RESOLUTION
from maps.segmenttable import SegmentTable

_OVERHANG = 1.1
_GROWTH = 1.5  # of the radius from one ring to the next
_SHRINKAGE = 0.8  # of base cells within a look, against the one in its middle


class Ring(NamedTuple):
    """Segments to be read together; every point of the segments after them is at least `outside_m` away."""

    cells: list[int]
    outside_m: float


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Segments around one segment, the nearest first; arrays of shape (n,)."""

    cells: IntArray
    lat: FloatArray
    lng: FloatArray
    radius_m: FloatArray  # no point of the segment is farther from its middle
    above: IntArray  # place of the coarsest among these that holds the segment; its own where there is none

    def rings(self, at: LatLng, near_m: float, most_m: float) -> Iterator[Ring]:
        """The segments that may hold points within `most_m` of a place in the middle segment, outward.

        The first ring holds all that may have points within `near_m`; then the radius grows from ring to ring.
        """
        least_m = np.maximum(haversine_many_m(self.lat, self.lng, at) - self.radius_m, 0.0)
        # a driver may just be going from one to the other: what overlaps, of several tables, is read at one moment
        least_m = np.minimum(least_m, least_m[self.above])
        order = np.argsort(least_m, kind="stable")
        cells, least_m = self.cells[order], least_m[order]
        start, reach_m = 0, near_m
        while start < len(cells) and least_m[start] <= most_m:
            reach_m = min(reach_m, most_m)
            end = int(np.searchsorted(least_m, reach_m, side="right"))
            outside_m = float(least_m[end]) if end < len(cells) else math.inf
            if end > start:
                yield Ring(cells[start:end].tolist(), min(outside_m, most_m) if reach_m == most_m else outside_m)
            if reach_m == most_m:
                return
            start, reach_m = end, reach_m * _GROWTH


class Shapes:
    """Middle and radius of cells, computed once each; `most` are kept."""

    def __init__(self, most: int = 200_000) -> None:
        self._known: dict[int, tuple[float, float, float]] = {}
        self._most = most

    def of(self, cell: int) -> tuple[float, float, float]:
        """Latitude and longitude of the middle in degrees, and the radius in metres that holds all of its points."""
        known = self._known.get(cell)
        if known is None:
            middle = segments.centre(cell)
            radius_m = _OVERHANG * max(haversine_m(middle, corner) for corner in segments.boundary(cell))
            if len(self._known) >= self._most:
                self._known.clear()
            known = self._known[cell] = (*middle, radius_m)
        return known


class Neighbours:
    """The neighbourhoods of one version of the table, each computed when it is first asked for."""

    def __init__(self, table: SegmentTable, shapes: Shapes) -> None:
        self.table = table
        self._shapes = shapes
        self._touching: dict[int, tuple[int, ...]] = {}

    def touching(self, segment: int) -> tuple[int, ...]:
        """The other segments that share a border with a segment, sorted; if A touches B then B touches A.

        Two segments share a border when a finest cell of one is next to a finest cell of the other.
        """
        known = self._touching.get(segment)
        if known is None:
            edge = {cell for inner in _finest(segment) for cell in h3.grid_disk(inner, 1)}
            known = tuple(sorted({self.table.holding(cell) for cell in edge} - {segment}))
            self._touching[segment] = known
        return known

    def within(self, segment: int, most_m: float) -> Iterator[int]:
        """The segments with points within `most_m` of any point of a cell, and perhaps some that are farther."""
        lat, lng, radius_m = self._shapes.of(segment)
        base = segments.segment_of(lat, lng)
        corners = segments.boundary(base)
        middle = segments.centre(base)
        step_m = 1.5 * _SHRINKAGE * min(haversine_m(middle, corner) for corner in corners)
        rings = math.ceil((most_m + radius_m + 2 * self._shapes.of(base)[2]) / step_m)
        yield from dict.fromkeys(each for cell in h3.grid_disk(base, rings) for each in self.table.covering(cell))


def surroundings(segment: int, cells: Iterable[int], shapes: Shapes, most_m: float) -> Surroundings:
    """Those of the cells that may have points within `most_m` of any point of a segment."""
    found = list(dict.fromkeys(cells))
    rows = np.array([shapes.of(cell) for cell in found], dtype=np.float64).reshape(len(found), 3)
    lat, lng, radius_m = rows[:, 0], rows[:, 1], rows[:, 2]
    own = shapes.of(segment)
    gap_m = np.maximum(haversine_many_m(lat, lng, LatLng(own[0], own[1])) - radius_m - own[2], 0.0)
    near = np.flatnonzero(gap_m <= most_m)
    middles_m = haversine_many_m(lat[near], lng[near], LatLng(own[0], own[1]))
    order = near[np.lexsort((middles_m, gap_m[near]))]
    ids: IntArray = np.array(found, dtype=np.int64)
    nearest = ids[order]
    return Surroundings(nearest, lat[order], lng[order], radius_m[order], _above(nearest.tolist()))


def _above(cells: list[int]) -> IntArray:
    """For each cell the place of the coarsest cell among them that holds it."""
    places = {cell: place for place, cell in enumerate(cells)}
    found: IntArray = np.arange(len(cells), dtype=np.int64)
    if len({segments.resolution_of(cell) for cell in cells}) > 1:
        for place, cell in enumerate(cells):
            for resolution in range(COARSEST_RESOLUTION, segments.resolution_of(cell)):
                above = places.get(segments.ancestor(cell, resolution))
                if above is not None:
                    found[place] = above
                    break
    return found


def _finest(segment: int) -> list[int]:
    resolution = segments.resolution_of(segment)
    return [segment] if resolution == FINEST_RESOLUTION else list(h3.cell_to_children(segment, FINEST_RESOLUTION))
