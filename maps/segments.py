"""Segments: the H3 cells that supply and demand are kept in.

A segment is the resolution 8 ancestor of the point's resolution 10 cell. That is not the resolution 8 cell at the
point: H3 children do not tile their parent exactly, and only the walk up from the finest cell stays true once segments
are split.

A region is the coarse ancestor of a segment: the part of a city whose ride requests one worker serves.
"""

from __future__ import annotations

import h3.api.basic_int as h3
import numpy as np
import numpy.typing as npt

from core.errors import InvalidInput
from core.geo import FloatArray, LatLng

FINEST_RESOLUTION = 10
RESOLUTION = 8
REGION_RESOLUTION = 5  # about 250 square km, a town's half; every host must agree

SegmentArray = npt.NDArray[np.uint64]

_RESOLUTION_SHIFT = np.uint64(52)
_RESOLUTION_MASK = ~np.uint64(15 << 52)
_DIGITS_BELOW = np.uint64((1 << 3 * (15 - RESOLUTION)) - 1)


def segment_of(lat: float, lng: float) -> int:
    """The segment of a point in degrees."""
    cell: int = h3.cell_to_parent(h3.latlng_to_cell(lat, lng, FINEST_RESOLUTION), RESOLUTION)
    return cell


def segments_of(lat: FloatArray, lng: FloatArray) -> SegmentArray:
    """The segments of points of shape (n,) in degrees; shape (n,)."""
    cell_of = h3.latlng_to_cell
    finest = [cell_of(a, b, FINEST_RESOLUTION) for a, b in zip(lat.tolist(), lng.tolist(), strict=True)]
    cells = np.array(finest, dtype=np.uint64)
    # an ancestor has the coarser resolution in its four resolution bits and all ones in the digits below it
    return (cells & _RESOLUTION_MASK) | (np.uint64(RESOLUTION) << _RESOLUTION_SHIFT) | _DIGITS_BELOW


def rings(segment: int, k: int) -> list[list[int]]:
    """The neighbourhood ring by ring: item j holds the segments j steps away, sorted; item 0 the segment itself."""
    return [sorted(h3.grid_ring(segment, step)) for step in range(k + 1)]


def name(segment: int) -> str:
    """The segment as H3 writes it: lower-case hexadecimal."""
    text: str = h3.int_to_str(segment)
    return text


def parse(text: str) -> int:
    """The segment of a name. Raises InvalidInput for anything that is not the name of a segment."""
    try:
        cell = int(text, 16)
    except ValueError:
        cell = -1
    if not (0 < cell < 1 << 63 and h3.is_valid_cell(cell) and h3.get_resolution(cell) == RESOLUTION):
        raise InvalidInput(f"{text!r} is not a segment", code="bad_segment")
    return cell


def region_of(segment: str) -> str:
    """The name of the region of the segment with this name. Raises InvalidInput for what is no segment."""
    return name(h3.cell_to_parent(parse(segment), REGION_RESOLUTION))


def centre(segment: int) -> LatLng:
    """The middle of a segment."""
    return LatLng(*h3.cell_to_latlng(segment))


def boundary(segment: int) -> list[LatLng]:
    """The corners of a segment, counter-clockwise, the first one not repeated."""
    return [LatLng(lat, lng) for lat, lng in h3.cell_to_boundary(segment)]
