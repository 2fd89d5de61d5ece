"""Small road graphs for tests: random ones, and plain references to check against."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from core.geo import FloatArray, LatLng
from maps.roads import NO_EDGE, RoadGraph
from maps.snap import METRES_PER_DEGREE, Snaps, lengths_along
from maps.turns import Turns, forbid

ORIGIN = LatLng(57.7, 11.97)
_LONGEST_WAY = 4  # edges of a forbidden way
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


@dataclass(frozen=True)
class Rules:
    """The milliseconds of each allowed turn, by its two edges, and ways that nobody may drive to their end."""

    ms: dict[tuple[int, int], int]
    ways: list[tuple[int, ...]]

    def turns(self, roads: RoadGraph) -> Turns:
        """The same as what an index takes."""
        pairs = np.array(sorted(self.ms), dtype=np.int32).reshape(-1, 2)
        ms = np.array([self.ms[before, after] for before, after in pairs.tolist()], dtype=np.int32)
        edges = np.arange(roads.edge_count, dtype=np.int32)
        return forbid(Turns(edges, pairs[:, 0].copy(), pairs[:, 1].copy(), ms), self.ways)


@st.composite
def rules(draw: st.DrawFn, roads: RoadGraph) -> Rules:
    """Some turns forbidden, the others at a price, and a few longer ways forbidden."""
    pairs = [(b, a) for b in range(roads.edge_count) for a in range(roads.edge_count) if roads.head[b] == roads.tail[a]]
    prices = draw(st.lists(st.sampled_from([-1, 0, 0, 700, 5_000]), min_size=len(pairs), max_size=len(pairs)))
    ms = {pair: price for pair, price in zip(pairs, prices, strict=True) if price >= 0}
    ways: list[tuple[int, ...]] = []
    for _ in range(draw(st.integers(0, 4)) if ms else 0):
        way = list(draw(st.sampled_from(sorted(ms))))
        for _ in range(draw(st.integers(0, 2))):
            onward = [after for before, after in sorted(ms) if before == way[-1]]
            if onward:
                way.append(draw(st.sampled_from(onward)))
        ways.append(tuple(way))
    return Rules(ms, ways)


def reference(
    roads: RoadGraph, rules: Rules, seconds: FloatArray, origin: Snaps, ends: Snaps
) -> list[tuple[float, float]]:
    """Milliseconds and metres to each end by a plain search that remembers the edges it drove.

    Both are inf where there is no way; of ways that are equally fast the shortest counts.
    """
    ms = [np.inf if np.isinf(time) else max(1.0, float(np.rint(1000 * time))) for time in seconds.tolist()]
    metres = np.rint(100 * roads.metres) / 100
    wanted = [_options(roads, ends, row, arriving=True) for row in range(len(ends))]
    best = [(np.inf, np.inf)] * len(ends)
    queue: list[tuple[float, float, tuple[int, ...]]] = []

    def enter(cost: tuple[float, float], way: tuple[int, ...], start: float) -> None:
        edge = way[-1]
        for row, options in enumerate(wanted):
            for share in (share for on, share in options if on == edge and share >= start and ms[edge] < np.inf):
                part = share - start
                best[row] = min(best[row], (cost[0] + part * ms[edge], cost[1] + part * metres[edge]))
        rest = 1.0 - start
        if ms[edge] < np.inf:
            heapq.heappush(queue, (cost[0] + rest * ms[edge], cost[1] + rest * metres[edge], way))

    for edge, share in _options(roads, origin, 0, arriving=False):
        enter((0.0, 0.0), (edge,), share)
    seen: set[tuple[int, ...]] = set()
    while queue:
        cost_ms, cost_m, way = heapq.heappop(queue)
        if way in seen:
            continue
        seen.add(way)
        for (before, after), price in rules.ms.items():
            driven = (*way, after)[-_LONGEST_WAY:]
            if before == way[-1] and not any(driven[-len(ban) :] == ban for ban in rules.ways):
                enter((cost_ms + price, cost_m), driven, 0.0)
    here = _node_of(roads, origin, 0)
    return [
        (0.0, 0.0) if here is not None and here == _node_of(roads, ends, row) else found
        for row, found in enumerate(best)
    ]


def _node_of(roads: RoadGraph, points: Snaps, row: int) -> int | None:
    edge, share = int(points.edge[row]), float(points.fraction[row])
    if edge == NO_EDGE or 1e-9 < share < 1 - 1e-9:
        return None
    return int(roads.tail[edge] if share <= 1e-9 else roads.head[edge])


def _options(roads: RoadGraph, points: Snaps, row: int, *, arriving: bool) -> list[tuple[int, float]]:
    """On which edges, at which share of them, a point can be left or reached."""
    edge, share = int(points.edge[row]), float(points.fraction[row])
    if edge == NO_EDGE:
        return []
    node = _node_of(roads, points, row)
    if node is not None:
        at = roads.head if arriving else roads.tail
        return [(int(each), float(arriving)) for each in np.flatnonzero(at == node)]
    back = int(roads.opposite[edge])
    return [(edge, share)] + ([(back, 1.0 - share)] if back != NO_EDGE else [])


def place_of(roads: RoadGraph, snaps: Snaps, row: int = 0) -> LatLng:
    """Where a snapped point stands on its street."""
    edge, share = int(snaps.edge[row]), float(snaps.fraction[row])
    points = slice(int(roads.point_at[edge]), int(roads.point_at[edge + 1]))
    shares = lengths_along(roads)[points]
    return LatLng(
        float(np.interp(share, shares, roads.point_lat[points])),
        float(np.interp(share, shares, roads.point_lng[points])),
    )
