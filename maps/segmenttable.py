"""The table of segments: which H3 cells are managed at one version. Immutable; a change makes another table, to which
`maps/segmentdesk.py` gives the next version.

It is kept as what differs from the base: the cells that were split and the cells that were merged into. So the managed
cells are a partition of the earth by construction, also where no city is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from core.errors import Conflict, NotFound
from core.geo import BoolArray, FloatArray
from maps import segments
from maps.segments import (
    BASE_RESOLUTION,
    COARSEST_RESOLUTION,
    FINEST_RESOLUTION,
    SegmentArray,
    ancestor,
    ancestors,
    children_of,
    resolution_of,
)

FIRST_VERSION = 1
_FINER = tuple(range(BASE_RESOLUTION, FINEST_RESOLUTION))  # resolutions whose cells may be split


@dataclass(frozen=True, slots=True)
class SegmentTable:
    """One version. `split` are cells whose children are managed, or split again; `merged` are managed coarsest cells.

    `pins` are segments that only an operator cuts.
    """

    version: int = FIRST_VERSION
    split: frozenset[int] = frozenset()
    merged: frozenset[int] = frozenset()
    pins: frozenset[int] = frozenset()

    def locate(self, lat: float, lng: float) -> int:
        """The segment of a point in degrees: exactly one, wherever it is."""
        return self.holding(segments.finest_of(lat, lng))

    def locate_many(self, lat: FloatArray, lng: FloatArray) -> SegmentArray:
        """The segments of points of shape (n,) in degrees; shape (n,)."""
        finest = segments.finest_of_many(lat, lng)
        found = ancestors(finest, BASE_RESOLUTION)
        for resolution in _FINER if self.split else ():
            deeper = _among(found, self.split)
            if not deeper.any():
                break
            found = np.where(deeper, ancestors(finest, resolution + 1), found)
        if self.merged:
            coarse = ancestors(finest, COARSEST_RESOLUTION)
            found = np.where(_among(coarse, self.merged), coarse, found)
        return found

    def holding(self, cell: int) -> int:
        """The segment above a cell of the base resolution or finer; the cell itself if it was split."""
        if self.merged and (coarse := ancestor(cell, COARSEST_RESOLUTION)) in self.merged:
            return coarse
        last = resolution_of(cell)
        for resolution in _FINER:
            above = ancestor(cell, resolution)
            if resolution >= last or above not in self.split:
                return above
        return cell

    def manages(self, cell: int) -> bool:
        """Whether the cell is a segment of this version."""
        resolution = resolution_of(cell)
        if resolution == COARSEST_RESOLUTION:
            return cell in self.merged
        return cell not in self.split and self.holding(cell) == cell

    def covering(self, cell: int) -> list[int]:
        """The segments that hold the points of a cell: the one above it, or those within."""
        if resolution_of(cell) >= BASE_RESOLUTION and cell not in self.split:
            return [self.holding(cell)]
        return [cell] if cell in self.merged else list(self._within(cell))

    def now_at(self, cell: int) -> int:
        """The segment at the middle of a cell that was a segment of an earlier version, or is one."""
        return cell if self.manages(cell) else self.locate(*segments.centre(cell))

    def _within(self, cell: int) -> Iterator[int]:
        for child in children_of(cell):
            if child in self.split:
                yield from self._within(child)
            else:
                yield child

    # changes

    def splitting(self, segment: int) -> SegmentTable:
        """The table with the children of a segment in its place. A pin goes with its segment.

        Raises NotFound for what is no segment now, Conflict at the finest resolution.
        """
        self._check(segment)
        if resolution_of(segment) == FINEST_RESOLUTION:
            raise Conflict("a segment of the finest resolution cannot be split", code="segment_finest")
        pins = self.pins - {segment}
        if segment in self.merged:
            return replace(self, merged=self.merged - {segment}, pins=pins)
        return replace(self, split=self.split | {segment}, pins=pins)

    def merging(self, segment: int) -> SegmentTable:
        """The table with the parent of a segment in the place of all that is within the parent.

        Raises NotFound for what is no segment now, Conflict at the coarsest resolution.
        """
        self._check(segment)
        if resolution_of(segment) == COARSEST_RESOLUTION:
            raise Conflict("a segment of the coarsest resolution cannot be merged", code="segment_coarsest")
        parent = parent_of(segment)
        within = {each for each in self.split if is_within(each, parent)}
        pins = frozenset(each for each in self.pins if not is_within(each, parent))
        merged = self.merged | {parent} if resolution_of(parent) == COARSEST_RESOLUTION else self.merged
        return SegmentTable(self.version, self.split - within, merged, pins)

    def pinning(self, *pinned: int) -> SegmentTable:
        """The table in which these segments are pinned. Raises NotFound for what is no segment now."""
        for segment in pinned:
            self._check(segment)
        return replace(self, pins=self.pins | set(pinned))

    def unpinning(self, segment: int) -> SegmentTable:
        """The table in which the segment is not pinned. Raises NotFound for what is no segment now."""
        self._check(segment)
        return replace(self, pins=self.pins - {segment})

    def _check(self, segment: int) -> None:
        if not self.manages(segment):
            near = segments.name(self.now_at(segment))
            raise NotFound(f"{segments.name(segment)} is no segment at version {self.version}; {near} is at its middle")


def parent_of(segment: int) -> int:
    """The cell that the segment is a child of."""
    return ancestor(segment, resolution_of(segment) - 1)


def is_within(cell: int, above: int) -> bool:
    """Whether a cell is another one, or below it."""
    resolution = resolution_of(above)
    return resolution_of(cell) >= resolution and ancestor(cell, resolution) == above


def _among(cells: SegmentArray, wanted: frozenset[int]) -> BoolArray:
    """Which of the cells (n,) are wanted."""
    ordered = np.sort(np.fromiter(wanted, dtype=np.uint64, count=len(wanted)))
    places = np.minimum(np.searchsorted(ordered, cells), len(ordered) - 1)
    return np.asarray(ordered[places] == cells)
