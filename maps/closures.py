"""Closures: streets that nobody may drive, drawn by operators as lines or polygons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import shapely

from core.errors import InvalidInput
from core.geo import BoolArray
from maps.geojson import Bad, Bounds, read_features, read_id, read_line, read_name, read_polygon, read_properties
from maps.roads import NO_EDGE, Int32Array, RoadGraph
from maps.snap import METRES_PER_DEGREE, SnapIndex
from runtime.settings import MapSettings

Direction = Literal["both", "forward"]

_STEP_M = 5.0  # between the places of a line whose streets are looked up
_LEAST_M = 10.0  # of a street along a line, or half of it: less is a street that the line crosses


@dataclass(frozen=True, slots=True)
class Closure:
    """A shape in (lng, lat) whose streets are closed: a polygon those that touch it, a line those along it.

    `direction` forward: of two-way streets only the line's own direction.
    """

    closure_id: str
    name: str
    shape: Any
    direction: Direction = "both"


def read_closures(geojson: Any, settings: MapSettings, bounds: Bounds | None = None) -> list[Closure]:
    """The closures of a Feature or FeatureCollection. Raises InvalidInput bad_closure naming what is wrong where."""

    def read(feature: dict[str, Any], number: str) -> Closure:
        properties, geometry = read_properties(feature), feature.get("geometry")
        of_line = isinstance(geometry, dict) and geometry.get("type") in ("LineString", "MultiLineString")
        direction = properties.get("direction", "both")
        if direction not in get_args(Direction):
            raise Bad("properties.direction", f"must be one of {', '.join(get_args(Direction))}, not {direction!r}")
        if direction == "forward" and not of_line:
            raise Bad("properties.direction", "only a line has a direction")
        if of_line:
            shape = read_line(geometry, settings.zone_vertices, bounds)
        else:
            shape = read_polygon(geometry, settings.zone_vertices, bounds)
        return Closure(read_id(feature, f"closure-{number}"), read_name(properties), shape, direction)

    return read_features(geojson, settings.zones_max, "bad_closure", read)


def closed_edges(closure: Closure, roads: RoadGraph, snaps: SnapIndex, settings: MapSettings) -> Int32Array:
    """The edges that a closure closes, ascending. Raises InvalidInput nothing_closed when it touches no street."""
    lines = closure.shape.geom_type in ("LineString", "MultiLineString")
    found = _along(closure, roads, snaps, settings) if lines else _touching(closure.shape, roads)
    edges = np.flatnonzero(found).astype(np.int32)
    if not len(edges):
        where = f"along it within {settings.closure_snap_m:g} m" if lines else "in it"
        raise InvalidInput(f"the closure {closure.name!r} closes nothing: no street is {where}", code="nothing_closed")
    return edges


def _touching(polygon: Any, roads: RoadGraph) -> BoolArray:
    west, south, east, north = polygon.bounds
    starts = roads.point_at[:-1]
    boxes = [
        reduce.reduceat(values, starts)
        for reduce, values in (
            (np.minimum, roads.point_lng),
            (np.minimum, roads.point_lat),
            (np.maximum, roads.point_lng),
            (np.maximum, roads.point_lat),
        )
    ]
    near = np.flatnonzero((boxes[0] <= east) & (boxes[2] >= west) & (boxes[1] <= north) & (boxes[3] >= south))
    counts = roads.point_at[near + 1] - roads.point_at[near]
    rows = np.repeat(roads.point_at[near] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    points = np.column_stack([roads.point_lng[rows], roads.point_lat[rows]])
    lines = shapely.linestrings(points, indices=np.repeat(np.arange(len(near)), counts))
    shapely.prepare(polygon)
    closed = np.zeros(roads.edge_count, dtype=np.bool_)
    closed[near] = shapely.intersects(polygon, lines)
    return closed


def _along(closure: Closure, roads: RoadGraph, snaps: SnapIndex, settings: MapSettings) -> BoolArray:
    """Places all along the line, each at its nearest street: a street closes where they move along it."""
    closed = np.zeros(roads.edge_count, dtype=np.bool_)
    scale = METRES_PER_DEGREE * float(np.cos(np.radians(closure.shape.centroid.y)))
    for part in shapely.get_parts(closure.shape):
        places = shapely.get_coordinates(shapely.segmentize(part, _STEP_M / scale))
        found = snaps.snap(places[:, 1], places[:, 0])
        on_road = (found.edge != NO_EDGE) & (found.distance_m <= settings.closure_snap_m)
        edges, at = found.edge[on_road], found.fraction[on_road]
        for edge in np.unique(edges):
            shares = at[edges == edge]
            span = float(shares.max() - shares.min())
            if span * float(roads.metres[edge]) >= min(_LEAST_M, 0.5 * float(roads.metres[edge])):
                forward = shares[-1] >= shares[0]
                _close(closed, roads, int(edge), closure.direction == "both", bool(forward))
    return closed


def _close(closed: BoolArray, roads: RoadGraph, edge: int, both: bool, forward: bool) -> None:
    opposite = int(roads.opposite[edge])
    if both or forward:
        closed[edge] = True
    if opposite != NO_EDGE and (both or not forward):
        closed[opposite] = True
