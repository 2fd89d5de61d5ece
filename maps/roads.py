"""The drivable road graph of a city: plain arrays, one row per node and one per directed edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.geo import FloatArray, LatLng

Int32Array = npt.NDArray[np.int32]
UInt8Array = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]

NO_EDGE = -1

ROAD_CLASSES = (
    "motorway",
    "trunk",
    "primary",
    "secondary",
    "tertiary",
    "unclassified",
    "residential",
    "service",
)  # Valhalla's road classes; a road's class is an index here


@dataclass(frozen=True, slots=True)
class RoadGraph:
    """A strongly connected graph of directed edges; every two-way street is a pair of edges.

    Nodes are junctions, arrays of shape (nodes,). Edges carry free-flow `seconds` and `metres`, arrays of shape
    (edges,). `opposite` is the edge of the other direction of the same street, NO_EDGE for one-way streets. The
    geometry of edge e, in driving direction, is `point_lat[point_at[e]:point_at[e + 1]]` (and lng); it starts at the
    tail and ends at the head. `graph_id` is Valhalla's GraphId; `names[name[e]]` is the street name, "" where there is
    none.
    """

    node_lat: FloatArray
    node_lng: FloatArray
    tail: Int32Array
    head: Int32Array
    seconds: FloatArray
    metres: FloatArray
    road_class: UInt8Array
    opposite: Int32Array
    graph_id: Int64Array
    name: Int32Array
    point_at: Int64Array
    point_lat: FloatArray
    point_lng: FloatArray
    names: tuple[str, ...]

    @property
    def node_count(self) -> int:
        """Number of junctions."""
        return len(self.node_lat)

    @property
    def edge_count(self) -> int:
        """Number of directed edges."""
        return len(self.tail)

    def bounds(self) -> tuple[float, float, float, float]:
        """South, west, north, east of the geometry in degrees."""
        return (
            float(self.point_lat.min()),
            float(self.point_lng.min()),
            float(self.point_lat.max()),
            float(self.point_lng.max()),
        )

    def node(self, node: int) -> LatLng:
        """Where a junction is."""
        return LatLng(float(self.node_lat[node]), float(self.node_lng[node]))

    def lone_edges(self) -> Int64Array:
        """One edge of every street: the lower-numbered one of a pair, and every one-way edge."""
        edge = np.arange(self.edge_count)
        return np.asarray(edge[(self.opposite == NO_EDGE) | (edge <= self.opposite)])

    def lines_geojson(self) -> dict[str, Any]:
        """All streets, each once, as a FeatureCollection with one MultiLineString per road class (property `class`)."""
        points = np.round(np.column_stack([self.point_lng, self.point_lat]), 6)
        lines: list[list[list[list[float]]]] = [[] for _ in ROAD_CLASSES]
        for edge in self.lone_edges():
            lines[self.road_class[edge]].append(points[self.point_at[edge] : self.point_at[edge + 1]].tolist())
        features = [
            {
                "type": "Feature",
                "properties": {"class": name},
                "geometry": {"type": "MultiLineString", "coordinates": coordinates},
            }
            for name, coordinates in zip(ROAD_CLASSES, lines, strict=True)
            if coordinates
        ]
        return {"type": "FeatureCollection", "features": features}
