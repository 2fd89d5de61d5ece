"""Segments: the H3 cells that supply and demand are kept in.

A segment is an H3 cell between COARSEST and FINEST_RESOLUTION, of BASE_RESOLUTION where nothing was split or merged
(`maps/segmenttable.py` knows which). A point belongs to the managed ancestor of its finest cell. That is not the cell
of the same resolution at the point: H3 children do not tile their parent exactly, and only the walk up from the finest
cell gives every point one segment, however they are cut.

A region is the coarse ancestor of a segment: the part of a city whose ride requests one worker serves.
"""

from __future__ import annotations

import h3.api.basic_int as h3
import numpy as np
import numpy.typing as npt

from core.errors import InvalidInput
from core.geo import FloatArray, LatLng

COARSEST_RESOLUTION = 7
BASE_RESOLUTION = 8
FINEST_RESOLUTION = 10
REGION_RESOLUTION = 5  # about 250 square km, a town's half; every host must agree

SegmentArray = npt.NDArray[np.uint64]

# an ancestor has the coarser resolution in its four resolution bits and all ones in the digits below it
_RESOLUTION_AT = 52
_RESOLUTION_BITS = 15 << _RESOLUTION_AT
_RESOLUTION_MASK = np.uint64((1 << 64) - 1 - _RESOLUTION_BITS)


def finest_of(lat: float, lng: float) -> int:
    """The finest cell at a point in degrees."""
    cell: int = h3.latlng_to_cell(lat, lng, FINEST_RESOLUTION)
    return cell


def finest_of_many(lat: FloatArray, lng: FloatArray) -> SegmentArray:
    """The finest cells at points of shape (n,) in degrees; shape (n,)."""
    cell_of = h3.latlng_to_cell
    finest = [cell_of(a, b, FINEST_RESOLUTION) for a, b in zip(lat.tolist(), lng.tolist(), strict=True)]
    return np.array(finest, dtype=np.uint64)


def ancestor(cell: int, resolution: int) -> int:
    """The ancestor of a cell, at a resolution not finer than the cell's."""
    return (cell & ~_RESOLUTION_BITS) | (resolution << _RESOLUTION_AT) | _digits_below(resolution)


def ancestors(cells: SegmentArray, resolution: int) -> SegmentArray:
    """The ancestors of cells (n,), at a resolution not finer than theirs; shape (n,)."""
    ones = np.uint64((resolution << _RESOLUTION_AT) | _digits_below(resolution))
    return (cells & _RESOLUTION_MASK) | ones


def _digits_below(resolution: int) -> int:
    return (1 << 3 * (15 - resolution)) - 1


def resolution_of(cell: int) -> int:
    """The resolution of a cell."""
    return (cell & _RESOLUTION_BITS) >> _RESOLUTION_AT


def children_of(cell: int) -> list[int]:
    """The cells of the next finer resolution that a cell is split into: seven, or six of a pentagon."""
    return list(h3.cell_to_children(cell, resolution_of(cell) + 1))


def coarsest_of_box(box: tuple[float, float, float, float]) -> frozenset[int]:
    """The coarsest cells whose middles lie in a box (south, west, north, east)."""
    south, west, north, east = box
    corners = h3.LatLngPoly([(south, west), (south, east), (north, east), (north, west)])
    return frozenset(h3.polygon_to_cells(corners, COARSEST_RESOLUTION))


def segment_of(lat: float, lng: float) -> int:
    """The segment of a point in degrees where nothing was split or merged."""
    return ancestor(finest_of(lat, lng), BASE_RESOLUTION)


def segments_of(lat: FloatArray, lng: FloatArray) -> SegmentArray:
    """The same for points of shape (n,); shape (n,)."""
    return ancestors(finest_of_many(lat, lng), BASE_RESOLUTION)


def name(segment: int) -> str:
    """The segment as H3 writes it: lower-case hexadecimal."""
    text: str = h3.int_to_str(segment)
    return text


def parse(text: str) -> int:
    """The segment of a name. Raises InvalidInput for what can be no segment's name, however segments are cut."""
    try:
        cell = int(text, 16)
    except ValueError:
        cell = -1
    valid = 0 < cell < 1 << 63 and h3.is_valid_cell(cell)
    if not (valid and COARSEST_RESOLUTION <= resolution_of(cell) <= FINEST_RESOLUTION):
        raise InvalidInput(f"{text!r} is not a segment", code="bad_segment")
    return cell


def region_of(segment: str) -> str:
    """The name of the region of the segment with this name. Raises InvalidInput for what is no segment."""
    return name(ancestor(parse(segment), REGION_RESOLUTION))


def centre(segment: int) -> LatLng:
    """The middle of a segment."""
    return LatLng(*h3.cell_to_latlng(segment))


def boundary(segment: int) -> list[LatLng]:
    """The corners of a segment, counter-clockwise, the first one not repeated."""
    return [LatLng(lat, lng) for lat, lng in h3.cell_to_boundary(segment)]
