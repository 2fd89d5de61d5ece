"""Segments as the outside sees them: H3 cells in hexadecimal, with the supply and demand in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import h3.api.basic_int as h3

from core.errors import FieldError, InvalidInput
from core.geo import LatLng
from maps import segments
from maps.segmenttable import SegmentTable
from web.frames import STATUSES
from web.map_ports import Segments
from web.ports import Body, FleetSnapshot

MAX_SEGMENTS = 5_000  # in one answer; one that was never split or merged has about 0.7 km2
_KM2_OF_SEGMENT = 0.5  # less than the smallest of those
_IDLE = STATUSES.index("idle")


@dataclass(frozen=True, slots=True)
class Load:
    """What is known of segments, by segment; `surge_at` says the surge at a place."""

    supply: Mapping[int, int]
    demand: Mapping[int, int]
    surge_at: Callable[[LatLng], float]


def supply_of(fleet: FleetSnapshot, table: SegmentTable) -> dict[int, int]:
    """Drivers open to work by segment."""
    idle = fleet.status == _IDLE
    return dict(Counter(table.locate_many(fleet.lat[idle], fleet.lng[idle]).tolist()))


def named(counts: Mapping[int, int]) -> dict[str, int]:
    """Counts by the segment's name."""
    return {segments.name(segment): count for segment, count in counts.items()}


def names(cells: Iterable[int]) -> list[str]:
    """The names of segments."""
    return [segments.name(segment) for segment in cells]


def located(at: LatLng, known: Segments) -> Body:
    """The segment of a place and its neighbours."""
    table = known.newest
    segment = table.locate(*at)
    return {
        "segment": segments.name(segment),
        "resolution": segments.resolution_of(segment),
        "neighbours": names(known.neighbours(segment)),
        "version": table.version,
    }


def segments_geojson(box: tuple[float, float, float, float], table: SegmentTable, load: Load) -> Body:
    """The segments in and around a box (south, west, north, east): of every base cell whose middle lies in it.

    Raises InvalidInput for too many.
    """
    south, west, north, east = box
    if (north - south) * (east - west) * 111.0 * 111.0 / _KM2_OF_SEGMENT > MAX_SEGMENTS * 4:
        raise _too_large()
    corners = h3.LatLngPoly([(south, west), (south, east), (north, east), (north, west)])
    cells = {each for cell in h3.polygon_to_cells(corners, segments.BASE_RESOLUTION) for each in table.covering(cell)}
    if len(cells) > MAX_SEGMENTS:
        raise _too_large()
    features = [_feature(cell, table, load) for cell in sorted(cells)]
    return {"type": "FeatureCollection", "features": features, "version": table.version}


def _too_large() -> InvalidInput:
    detail = f"is too large: it may hold {MAX_SEGMENTS} segments"
    return InvalidInput(f"bbox {detail}", errors=(FieldError("bbox", detail),))


def _feature(segment: int, table: SegmentTable, load: Load) -> Body:
    ring = [[corner.lng, corner.lat] for corner in segments.boundary(segment)]
    return {
        "type": "Feature",
        "id": segments.name(segment),
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        "properties": {
            "segment": segments.name(segment),
            "resolution": segments.resolution_of(segment),
            "version": table.version,
            "pinned": segment in table.pins,
            "supply": load.supply.get(segment, 0),
            "demand": load.demand.get(segment, 0),
            "surge": load.surge_at(segments.centre(segment)),
        },
    }
