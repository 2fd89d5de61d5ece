"""From points to roads: the nearest drivable street of each point, found on a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.errors import InvalidInput
from core.geo import EARTH_RADIUS_M, FloatArray, LatLng
from maps.kernels import compiled
from maps.roads import NO_EDGE, Int32Array, Int64Array, RoadGraph

METRES_PER_DEGREE = EARTH_RADIUS_M * math.pi / 180
_CELL_M = 80.0
_MAX_CELLS = 4_000_000
_NONE = 2**31 - 1  # higher than any edge: no street yet


class NotOnRoad(InvalidInput):
    """A point that is too far from every road."""

    default_code = "not_on_road"


@dataclass(frozen=True, slots=True)
class Snaps:
    """Where points meet the road, arrays of shape (n,).

    `edge` is NO_EDGE for points off the road; `fraction` is the share of the edge's length before the point, 0..1;
    `distance_m` is from the point to the road, inf off the road. Of a two-way street the lower-numbered edge is given:
    whoever stands there may use both directions.
    """

    edge: Int32Array
    fraction: FloatArray
    distance_m: FloatArray

    def __len__(self) -> int:
        return len(self.edge)

    def take(self, rows: Int64Array | slice) -> Snaps:
        """Some of the points, in the given order."""
        return Snaps(self.edge[rows], self.fraction[rows], self.distance_m[rows])


@dataclass(frozen=True, slots=True)
class SnapGrid:
    """Which pieces of road touch each cell of a grid over the city; built once per graph.

    A piece is the straight line from one geometry point to the next: `piece_point` is its first point, `piece_edge`
    its edge, of a two-way street the lower-numbered one. `cell_pieces[cell_at[c]:cell_at[c + 1]]` are those of cell c,
    row by row from the south-west. `corner` is south, west and the height and width of a cell in degrees, `shape` rows
    and columns. `along` is the share of its edge's length before each geometry point.
    """

    along: FloatArray
    piece_edge: Int32Array
    piece_point: Int64Array
    corner: FloatArray
    shape: Int64Array
    cell_at: Int64Array
    cell_pieces: Int32Array


def build_grid(roads: RoadGraph) -> SnapGrid:
    """Lay the grid over a graph."""
    edges = roads.lone_edges()
    pieces = roads.point_at[edges + 1] - roads.point_at[edges] - 1
    piece_edge = np.repeat(edges, pieces).astype(np.int32)
    offset = np.arange(len(piece_edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    piece_point = np.repeat(roads.point_at[edges], pieces) + offset

    south, west, north, east = roads.bounds()
    cosine = math.cos(math.radians((south + north) / 2))
    area_m2 = (north - south) * (east - west) * METRES_PER_DEGREE**2 * cosine
    cell_m = max(_CELL_M, math.sqrt(area_m2 / _MAX_CELLS))
    cell_lat, cell_lng = cell_m / METRES_PER_DEGREE, cell_m / (METRES_PER_DEGREE * cosine)
    corner = np.array([south, west, cell_lat, cell_lng])
    shape = np.array([int((north - south) / cell_lat) + 1, int((east - west) / cell_lng) + 1])
    cell_at, cell_pieces = _fill_grid((roads.point_lat, roads.point_lng), piece_point, corner, shape)
    return SnapGrid(lengths_along(roads), piece_edge, piece_point, corner, shape, cell_at, cell_pieces)


class SnapIndex:
    """Finds the nearest street of points; safe to share between threads."""

    def __init__(self, roads: RoadGraph, grid: SnapGrid, max_m: float = 250.0) -> None:
        self._max_m = max_m
        self.along = grid.along
        self._roads = (roads.point_lat, roads.point_lng, grid.along, grid.piece_edge, grid.piece_point)
        self._grid = (grid.corner, int(grid.shape[0]), int(grid.shape[1]), grid.cell_at, grid.cell_pieces)

    def snap(self, lat: FloatArray, lng: FloatArray) -> Snaps:
        """The nearest streets of points of shape (n,) in degrees, within the index's distance."""
        edge = np.full(len(lat), NO_EDGE, dtype=np.int32)
        fraction = np.zeros(len(lat))
        distance_m = np.full(len(lat), np.inf)
        _nearest(
            (np.ascontiguousarray(lat, dtype=np.float64), np.ascontiguousarray(lng, dtype=np.float64)),
            self._roads,
            self._grid,
            self._max_m,
            (edge, fraction, distance_m),
        )
        return Snaps(edge, fraction, distance_m)

    def snap_one(self, point: LatLng) -> Snaps:
        """The nearest street of one point, shape (1,). Raises NotOnRoad when there is none near enough."""
        found = self.snap(np.array([point.lat]), np.array([point.lng]))
        if found.edge[0] == NO_EDGE:
            raise NotOnRoad(f"{point.lat:.6f},{point.lng:.6f} is more than {self._max_m:.0f} m from every road")
        return found


def lengths_along(roads: RoadGraph) -> FloatArray:
    """The share of its edge's length before each geometry point: 0 at the tail, 1 at the head; shape (points,)."""
    lat, lng = roads.point_lat, roads.point_lng
    step = np.zeros(len(lat))
    scale = np.cos(np.radians((lat[1:] + lat[:-1]) / 2))
    step[1:] = np.hypot(np.diff(lat), np.diff(lng) * scale)
    starts, ends = roads.point_at[:-1], roads.point_at[1:]
    step[starts] = 0.0
    total = np.cumsum(step)
    edge_of_point = np.repeat(np.arange(roads.edge_count), ends - starts)
    before = total - total[starts][edge_of_point]
    length = before[ends - 1][edge_of_point]
    share = np.divide(before, length, out=np.zeros_like(before), where=length > 0)
    share[ends - 1] = 1.0
    return np.asarray(np.clip(share, 0.0, 1.0))


@compiled
def _fill_grid(points, piece_point, grid, shape):  # type: ignore[no-untyped-def]
    """Lists, cell by cell, the pieces of road that touch it: the cells' offsets and the pieces."""
    point_lat, point_lng = points
    south, west, cell_lat, cell_lng = grid
    rows, columns = shape
    cell_at = np.zeros(rows * columns + 1, np.int64)
    cell_pieces = np.empty(0, np.int32)
    for filling in range(2):
        for piece in range(len(piece_point)):
            at = piece_point[piece]
            y0, x0 = (point_lat[at] - south) / cell_lat, (point_lng[at] - west) / cell_lng
            y1, x1 = (point_lat[at + 1] - south) / cell_lat, (point_lng[at + 1] - west) / cell_lng
            if y1 < y0:
                y0, x0, y1, x1 = y1, x1, y0, x0
            for row in range(int(y0), min(int(y1), rows - 1) + 1):
                # the part of the piece within this row, a hair wider so that rounding loses nothing
                low, high = 0.0, 1.0
                if y1 > y0:
                    low, high = max(0.0, (row - y0) / (y1 - y0)), min(1.0, (row + 1 - y0) / (y1 - y0))
                a, b = x0 + (x1 - x0) * low, x0 + (x1 - x0) * high
                first, last = int(max(0.0, min(a, b) - 1e-6)), min(int(max(a, b) + 1e-6), columns - 1)
                for cell in range(row * columns + first, row * columns + last + 1):
                    if filling:
                        cell_pieces[cell_at[cell]] = piece
                        cell_at[cell] += 1
                    else:
                        cell_at[cell + 1] += 1
        if filling:  # filling moved each offset to the end of its cell
            cell_at[1:] = cell_at[:-1].copy()
            cell_at[0] = 0
        else:
            cell_at = np.cumsum(cell_at)
            cell_pieces = np.empty(cell_at[-1], np.int32)
    return cell_at, cell_pieces


@compiled
def _look_in_cell(here, roads, pieces, best):  # type: ignore[no-untyped-def]
    """Improve `best` (square metres, edge, fraction) with the pieces of one cell."""
    point_lat, point_lng, along, piece_edge, piece_point = roads
    lat, lng, scale_lat, scale_lng = here
    best_m2, best_edge, best_fraction = best
    for piece in pieces:
        at = piece_point[piece]
        y0, x0 = (point_lat[at] - lat) * scale_lat, (point_lng[at] - lng) * scale_lng
        dy, dx = (point_lat[at + 1] - point_lat[at]) * scale_lat, (point_lng[at + 1] - point_lng[at]) * scale_lng
        length2 = dy * dy + dx * dx
        t = 0.0
        if length2 > 0.0:
            t = min(1.0, max(0.0, -(y0 * dy + x0 * dx) / length2))
        y, x = y0 + t * dy, x0 + t * dx
        m2 = y * y + x * x
        edge = piece_edge[piece]
        if m2 < best_m2 or (m2 == best_m2 and edge < best_edge):
            best_m2, best_edge = m2, edge
            best_fraction = along[at] + t * (along[at + 1] - along[at])
    return best_m2, best_edge, best_fraction


@compiled
def _nearest(points, roads, index, max_m, out):  # type: ignore[no-untyped-def]
    """Search ring by ring around each point's cell until what lies outside is farther than the best so far.

    Distances are on the plane that touches the point: within 250 m that is true to millimetres.
    """
    grid, rows, columns, cell_at, cell_pieces = index
    south, west, cell_lat, cell_lng = grid
    out_edge, out_fraction, out_m = out
    for i in range(len(points[0])):
        lat, lng = points[0][i], points[1][i]
        scale_lat = METRES_PER_DEGREE
        scale_lng = METRES_PER_DEGREE * math.cos(math.radians(lat))
        y, x = (lat - south) / cell_lat, (lng - west) / cell_lng
        reach_y = max_m / (scale_lat * cell_lat) + 1
        reach_x = max_m / (max(scale_lng, 1.0) * cell_lng) + 1
        # written so that NaN fails it too
        if not (-reach_y <= y <= rows + reach_y and -reach_x <= x <= columns + reach_x):
            continue
        row, column = math.floor(y), math.floor(x)
        best = (max_m * max_m, _NONE, 0.0)
        ring = 0
        while True:
            for r in range(max(0, row - ring), min(rows - 1, row + ring) + 1):
                step = 1 if abs(r - row) == ring else 2 * ring
                for c in range(column - ring, column + ring + 1, max(1, step)):
                    if 0 <= c < columns:
                        cell = r * columns + c
                        pieces = cell_pieces[cell_at[cell] : cell_at[cell + 1]]
                        best = _look_in_cell((lat, lng, scale_lat, scale_lng), roads, pieces, best)
            clear_y = min(y - (row - ring), row + ring + 1 - y) * cell_lat * scale_lat
            clear_x = min(x - (column - ring), column + ring + 1 - x) * cell_lng * scale_lng
            clear = min(clear_y, clear_x)
            if clear > max_m or clear * clear > best[0]:
                break
            ring += 1
        if best[1] != _NONE:
            out_edge[i] = best[1]
            out_fraction[i] = best[2]
            out_m[i] = math.sqrt(best[0])
