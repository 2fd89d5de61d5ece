"""Segments as the outside sees them: H3 cells in hexadecimal, with the supply and demand in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import h3.api.basic_int as h3

from core.errors import FieldError, InvalidInput
from core.geo import LatLng
from maps import segments
from web.frames import STATUSES
from web.ports import Body, FleetSnapshot

MAX_SEGMENTS = 5_000  # in one answer; a segment has about 0.7 km2
_KM2_OF_SEGMENT = 0.5  # less than the smallest of them
_IDLE = STATUSES.index("idle")


def supply_of(fleet: FleetSnapshot) -> dict[int, int]:
    """Drivers open to work by segment."""
    idle = fleet.status == _IDLE
    return dict(Counter(segments.segments_of(fleet.lat[idle], fleet.lng[idle]).tolist()))


def named(counts: Mapping[int, int]) -> dict[str, int]:
    """Counts by the segment's name."""
    return {segments.name(segment): count for segment, count in counts.items()}


def located(at: LatLng) -> Body:
    """The segment of a place and its neighbours."""
    segment = segments.segment_of(*at)
    neighbours = [segments.name(cell) for cell in segments.rings(segment, 1)[1]]
    return {"segment": segments.name(segment), "resolution": segments.RESOLUTION, "neighbours": neighbours}


def segments_geojson(
    box: tuple[float, float, float, float], supply: Mapping[int, int], demand: Mapping[int, int]
) -> Body:
    """The segments whose middle lies in a box (south, west, north, east). Raises InvalidInput for too many."""
    south, west, north, east = box
    if (north - south) * (east - west) * 111.0 * 111.0 / _KM2_OF_SEGMENT > MAX_SEGMENTS * 4:
        raise _too_large()
    corners = h3.LatLngPoly([(south, west), (south, east), (north, east), (north, west)])
    cells = h3.polygon_to_cells(corners, segments.RESOLUTION)
    if len(cells) > MAX_SEGMENTS:
        raise _too_large()
    return {"type": "FeatureCollection", "features": [_feature(c, supply, demand) for c in sorted(cells)]}


def _too_large() -> InvalidInput:
    detail = f"is too large: it may hold {MAX_SEGMENTS} segments"
    return InvalidInput(f"bbox {detail}", errors=(FieldError("bbox", detail),))


def _feature(segment: int, supply: Mapping[int, int], demand: Mapping[int, int]) -> Body:
    ring = [[corner.lng, corner.lat] for corner in segments.boundary(segment)]
    return {
        "type": "Feature",
        "id": segments.name(segment),
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        "properties": {
            "segment": segments.name(segment),
            "supply": supply.get(segment, 0),
            "demand": demand.get(segment, 0),
            "surge": 1.0,
        },
    }
