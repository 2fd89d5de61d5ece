"""A trip's trail as GeoJSON: the way driven, and the pings it is known from."""

from __future__ import annotations

from typing import Any

from core.clock import rfc3339
from location.model import Trail
from maps.driven import WayDriven
from trips.model import Trip


def trail_body(trip: Trip, trail: Trail, way: WayDriven | None) -> dict[str, Any]:
    """A Feature: the lines of `way`, or those between the pings where it is not known; None where nothing has moved.

    `distance_m` and `grade` are what the trip was billed by, None before that.
    """
    pings = [[lng, lat] for lat, lng in zip(trail.lat.tolist(), trail.lng.tolist(), strict=True)]
    lines = [pings] if way is None else [[[point.lng, point.lat] for point in line] for line in way.lines]
    return {
        "type": "Feature",
        "geometry": _geometry([line for line in lines if len(line) > 1]),
        "properties": {
            "trip_id": trip.trip_id,
            "distance_m": trip.distance_m,
            "grade": trip.distance_grade,
            "on_roads": way is not None and way.grade != "raw",
            "points": len(pings),
            "pings": {"coordinates": pings, "times": [rfc3339(ts / 1000) for ts in trail.ts.tolist()]},
        },
    }


def _geometry(lines: list[list[list[float]]]) -> dict[str, Any] | None:
    if not lines:
        return None
    if len(lines) == 1:
        return {"type": "LineString", "coordinates": lines[0]}
    return {"type": "MultiLineString", "coordinates": lines}
