"""Small road graphs for tests: random ones, and plain references to check against."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sparse
from hypothesis import strategies as st
from scipy.sparse.csgraph import dijkstra

from core.geo import FloatArray, LatLng
from maps.roads import NO_EDGE, RoadGraph
from maps.snap import METRES_PER_DEGREE, Snaps, lengths_along

ORIGIN = LatLng(57.7, 11.97)
_STEP = 0.001  # degrees between neighbouring lattice places: about 110 m north, 60 m east


@dataclass(frozen=True)
class Street:
    """One street of a test graph between two lattice places, bent at `via`, open in one or both directions."""

    start: int
    end: int
    two_way: bool
    kph: float
    via: tuple[float, float]  # bend, in steps from the middle
    back_kph: float = 0.0  # of the other direction; 0 means the same


def lattice_place(number: int) -> tuple[float, float]:
    """The lat, lng of a lattice place; five to a row."""
    return ORIGIN.lat + _STEP * (number // 5), ORIGIN.lng + _STEP * (number % 5)


def graph_of(streets: list[Street]) -> RoadGraph:
    """A road graph; unlike a city's it need not be strongly connected."""
    places = sorted({place for street in streets for place in (street.start, street.end)})
    node = {place: row for row, place in enumerate(places)}
    rows: list[tuple[int, int, float, FloatArray, int]] = []
    for street in streets:
        line = np.array([lattice_place(street.start), (0.0, 0.0), lattice_place(street.end)])
        line[1] = (line[0] + line[2]) / 2 + np.array(street.via) * _STEP
        partner = len(rows) + 1 if street.two_way else NO_EDGE
        rows.append((node[street.start], node[street.end], street.kph, line, partner))
        if street.two_way:
            back = street.back_kph or street.kph
            rows.append((node[street.end], node[street.start], back, line[::-1], len(rows) - 1))
    metres = np.array([length_m(line) for _, _, _, line, _ in rows])
    points = np.concatenate([line for _, _, _, line, _ in rows])
    where = np.array([lattice_place(place) for place in places])
    return RoadGraph(
        node_lat=where[:, 0].copy(),
        node_lng=where[:, 1].copy(),
        tail=np.array([row[0] for row in rows], dtype=np.int32),
        head=np.array([row[1] for row in rows], dtype=np.int32),
        seconds=metres * 3.6 / np.array([row[2] for row in rows]),
        metres=metres,
        road_class=np.full(len(rows), 6, dtype=np.uint8),
        opposite=np.array([row[4] for row in rows], dtype=np.int32),
        graph_id=np.arange(len(rows)),
        name=np.zeros(len(rows), dtype=np.int32),
        point_at=np.arange(len(rows) + 1) * 3,
        point_lat=points[:, 0].copy(),
        point_lng=points[:, 1].copy(),
        names=("",),
    )


def length_m(line: FloatArray) -> float:
    """Length of a line of (lat, lng)."""
    steps = np.diff(line, axis=0) * METRES_PER_DEGREE
    steps[:, 1] *= np.cos(np.radians(line[:-1, 0]))
    return float(np.hypot(steps[:, 0], steps[:, 1]).sum())


@st.composite
def graphs(draw: st.DrawFn) -> RoadGraph:
    """Up to 30 streets between up to 25 places; loops, parallel streets and dead ends included."""
    place = st.integers(0, 24)
    bend = st.floats(-0.4, 0.4, allow_nan=False)
    street = st.builds(
        Street,
        start=place,
        end=place,
        two_way=st.booleans(),
        kph=st.sampled_from([10.0, 30.0, 50.0, 90.0]),
        via=st.tuples(bend, bend).filter(lambda via: abs(via[0]) + abs(via[1]) > 0.05),
        back_kph=st.sampled_from([0.0, 20.0]),
    )
    return graph_of(draw(st.lists(street, min_size=1, max_size=30)))


@st.composite
def places_near(draw: st.DrawFn, count: int) -> tuple[FloatArray, FloatArray]:
    """Points on and around the lattice, some far off it."""
    axis = st.floats(-0.006, 0.010, allow_nan=False)
    points = draw(st.lists(st.tuples(axis, axis), min_size=count, max_size=count))
    offsets = np.array(points, dtype=np.float64).reshape(count, 2)
    return ORIGIN.lat + offsets[:, 0], ORIGIN.lng + offsets[:, 1]


def reference_seconds(roads: RoadGraph, origins: Snaps, end: Snaps) -> FloatArray:
    """Travel times by another way: the end and every origin become nodes of the graph, and scipy finds the rest.

    Each street with a point on it gets a chain of shorter edges, so partial edges and one street for both ends need no
    rule.
    """
    count = roads.node_count
    on_street: dict[int, list[tuple[float, int]]] = {}
    for row, (edge, share) in enumerate(
        zip(
            [*origins.edge.tolist(), int(end.edge[0])],
            [*origins.fraction.tolist(), float(end.fraction[0])],
            strict=True,
        )
    ):
        if edge != NO_EDGE:
            on_street.setdefault(edge, []).append((share, count + row))
    weights: dict[tuple[int, int], float] = {}

    def link(tail: int, head: int, seconds: float) -> None:
        weights[tail, head] = min(seconds, weights.get((tail, head), np.inf))

    for edge in roads.lone_edges().tolist():
        tail, head, back = int(roads.tail[edge]), int(roads.head[edge]), int(roads.opposite[edge])
        chain = [(0.0, tail), *sorted(on_street.get(edge, [])), (1.0, head)]
        for (share, here), (next_share, there) in pairwise(chain):
            link(here, there, (next_share - share) * roads.seconds[edge])
            if next_share == share:  # the same place, or a junction
                link(there, here, 0.0)
            if back != NO_EDGE:
                link(there, here, (next_share - share) * roads.seconds[back])
    size = count + len(origins) + 1
    keys = np.array(list(weights))
    # scipy takes a stored zero for no edge at all
    matrix = sparse.csr_matrix(
        (np.maximum(list(weights.values()), 1e-12), (keys[:, 0], keys[:, 1])), shape=(size, size)
    )
    times = dijkstra(matrix.T.tocsr(), indices=size - 1)[count : count + len(origins)]
    return np.where(origins.edge == NO_EDGE, np.inf, times)


def place_of(roads: RoadGraph, snaps: Snaps, row: int = 0) -> LatLng:
    """Where a snapped point stands on its street."""
    edge, share = int(snaps.edge[row]), float(snaps.fraction[row])
    points = slice(int(roads.point_at[edge]), int(roads.point_at[edge + 1]))
    shares = lengths_along(roads)[points]
    return LatLng(
        float(np.interp(share, shares, roads.point_lat[points])),
        float(np.interp(share, shares, roads.point_lng[points])),
    )
