"""Ways as the API shows them: matrices of travel times, and single routes with their streets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from core.geo import FloatArray, LatLng
from maps.eta import EtaIndex
from maps.paths import Paths
from maps.roads import NO_EDGE
from maps.routes import Isochrone, Route
from maps.snap import Snaps
from web.ports import Body


def matrix_body(eta: EtaIndex, sources: Sequence[LatLng], targets: Sequence[LatLng]) -> Body:
    """The ways from n sources to m targets, under the times and closures in force."""
    starts, ends = _snapped(eta, sources), _snapped(eta, targets)
    from_road, to_road = np.flatnonzero(starts.edge != NO_EDGE), np.flatnonzero(ends.edge != NO_EDGE)
    seconds = np.full((len(sources), len(targets)), np.inf)
    metres = seconds.copy()
    if len(from_road) and len(to_road):
        found = eta.table(starts.take(from_road), ends.take(to_road))
        seconds[np.ix_(from_road, to_road)] = found.seconds
        metres[np.ix_(from_road, to_road)] = found.metres
    return {
        "durations_s": _rows(seconds),
        "distances_m": _rows(metres),
        "off_road": {
            "sources": np.flatnonzero(starts.edge == NO_EDGE).tolist(),
            "targets": np.flatnonzero(ends.edge == NO_EDGE).tolist(),
        },
    }


def route_body(paths: Paths, origin: LatLng, to: LatLng) -> Body:
    """The fastest way, with its line and its streets in order. Raises NotOnRoad, NoRoute."""
    start, end = paths.eta.snap_one(origin), paths.eta.snap_one(to)
    whole, roads = paths.pieces(start, end), paths.eta.roads
    path, steps = paths.drive(whole), []
    for name, pieces in groupby(whole, key=lambda piece: roads.names[roads.name[piece.edge]]):
        along = list(pieces)
        steps.append(
            {
                "name": name,
                "distance_m": round(sum(piece.metres for piece in along), 1),
                "duration_s": round(sum(piece.seconds for piece in along), 1),
            }
        )
    return {
        "distance_m": round(path.distance_m, 1),
        "duration_s": round(path.duration_s, 1),
        "geometry": {
            "type": "LineString",
            "coordinates": np.round(np.column_stack([path.lng, path.lat]), 6).tolist(),
        },
        "steps": steps,
    }


def guided_body(route: Route) -> Body:
    """A way of Valhalla's with its manoeuvres, and its streets as they tell them."""
    told = [
        {
            "instruction": each.instruction,
            "kind": each.kind,
            "streets": each.streets,
            "distance_m": round(each.distance_m, 1),
            "duration_s": round(each.duration_s, 1),
            "at": each.at,
        }
        for each in route.manoeuvres
    ]
    steps = []
    for name, group in groupby(route.manoeuvres, key=lambda each: each.streets[0] if each.streets else ""):
        along = list(group)
        metres = sum(each.distance_m for each in along)
        if metres > 0:  # the arrival has none
            seconds = sum(each.duration_s for each in along)
            steps.append({"name": name, "distance_m": round(metres, 1), "duration_s": round(seconds, 1)})
    line = [[round(point.lng, 6), round(point.lat, 6)] for point in route.shape]
    return {
        "distance_m": round(route.distance_m, 1),
        "duration_s": round(route.duration_s, 1),
        "geometry": {"type": "LineString", "coordinates": line},
        "steps": steps,
        "manoeuvres": told,
    }


def isochrone_body(area: Isochrone, minutes: float) -> Body:
    """An area as a GeoJSON feature."""
    geometry = {"type": "MultiPolygon", "coordinates": area.coordinates}
    return {"type": "Feature", "properties": {"minutes": minutes}, "geometry": geometry}


def _snapped(eta: EtaIndex, places: Sequence[LatLng]) -> Snaps:
    return eta.snap(np.array([place.lat for place in places]), np.array([place.lng for place in places]))


def _rows(values: FloatArray) -> list[list[float | None]]:
    return [[round(value, 1) if np.isfinite(value) else None for value in row] for row in values.tolist()]
