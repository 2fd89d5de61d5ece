"""Bulk travel times on the road graph: exact, in process, with turns, and new weights while it is read."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock

import numpy as np

from core.errors import InvalidInput
from core.geo import FloatArray, LatLng
from maps.labels import CLOSED, METRES_BITS, customise, fill, find_way, travel
from maps.roads import Int32Array, Int64Array, RoadGraph
from maps.snap import SnapIndex, Snaps, build_grid
from maps.tree import Tree, build_tree
from maps.turns import Turns, free_turns

LONGEST_EDGE_S = 86_400.0  # an edge that takes longer is closed, not slow


@dataclass(frozen=True, slots=True)
class Travel:
    """The fastest ways of pairs: time and length of each, all of one shape; inf where there is none."""

    seconds: FloatArray
    metres: FloatArray


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Metric:
    """One set of weights and all that follows from it; costs as maps/labels.py has them.

    `costs` (edges,), `turn_costs` (turns,): the turn and the whole edge after it; `labels` to and from ancestors.
    """

    costs: Int64Array
    turn_costs: Int64Array
    labels: tuple[Int64Array, Int64Array]

    def arrays(self) -> tuple[Int64Array, Int64Array, tuple[Int64Array, Int64Array]]:
        """What kernels take."""
        return self.costs, self.turn_costs, self.labels


@dataclass(frozen=True, slots=True)
class Way:
    """A fastest way: the edges in order, the seconds of each as a whole and those lost at the turn into it.

    It leaves the first edge at share `start` of its length and ends at share `end` of the last; arrays of shape (n,).
    """

    edges: Int32Array
    edge_s: FloatArray
    edge_m: FloatArray
    turn_s: FloatArray
    start: float
    end: float


class EtaIndex:
    """Exact travel times and distances, by labels on an elimination tree of the graph of turns.

    A point on a two-way street may be left and reached in both directions, one at a junction by all of its streets.
    Turns take time, and forbidden ones are not driven. Times are kept in whole milliseconds, lengths in whole
    centimetres. Safe to share between threads, `update` included.
    """

    def __init__(self, roads: RoadGraph, turns: Turns, tree: Tree, snaps: SnapIndex) -> None:
        """Starts with the free-flow times of `roads`."""
        self.roads, self.turns, self.tree, self.snaps = roads, turns, tree, snaps
        at = tree.offsets()
        leaving, entering = (_by_key(ends, roads.node_count) for ends in (roads.tail, roads.head))
        variants = _by_key(turns.edge, roads.edge_count)
        self._streets = ((roads.tail, roads.head), roads.opposite, leaving, entering, variants)
        turn_first = np.searchsorted(turns.before, np.arange(len(turns.edge) + 1))
        most = max(2, *(int(np.diff(first).max()) for first, _ in (leaving, entering)))
        most *= int(np.diff(variants[0]).max())
        self._net = (tree.number, (turn_first, turns.after), (tree.lowest, at), turns.edge, most)
        self._centimetres = np.rint(100 * roads.metres).astype(np.int64)
        self._updating = Lock()
        self._work: tuple[Int64Array, Int64Array] | None = None
        self._spare: list[tuple[Int64Array, Int64Array]] = []
        self.update(roads.seconds)

    @classmethod
    def of(cls, roads: RoadGraph, turns: Turns | None = None, max_snap_m: float = 250.0) -> EtaIndex:
        """Prepare a graph that comes from no city pack; without `turns` all turns are allowed and free."""
        turns = turns or free_turns(roads)
        return cls(roads, turns, build_tree(roads, turns), SnapIndex(roads, build_grid(roads), max_snap_m))

    def update(self, seconds: FloatArray) -> None:
        """Take new weights: the seconds of each edge as a whole, inf where it is closed; shape (edges,).

        Readers go on with the old weights meanwhile and never wait. Raises InvalidInput for a wrong shape and for
        times that are negative, not a number, or finite and longer than LONGEST_EDGE_S.
        """
        seconds = np.asarray(seconds, dtype=np.float64)
        closed = np.isposinf(seconds)
        if (
            seconds.shape != (self.roads.edge_count,)
            or not (closed | ((seconds >= 0) & (seconds <= LONGEST_EDGE_S))).all()
        ):
            raise InvalidInput("weights are one time in seconds for every edge, inf if closed", code="bad_weights")
        ms = np.maximum(np.rint(1000 * np.where(closed, 0.0, seconds)), 1).astype(np.int64)
        costs = np.where(closed, CLOSED, (ms << METRES_BITS) + self._centimetres)
        entered = costs[self.turns.edge[self.turns.after]]
        turn_costs = np.where(entered >= CLOSED, CLOSED, entered + (self.turns.ms.astype(np.int64) << METRES_BITS))
        with self._updating:
            metric = Metric(costs, turn_costs, self._labels(turn_costs))
            # whoever still reads the old metric keeps its labels from being written to
            weakref.finalize(metric, _give_back, self._spare, metric.labels).atexit = False
            self._metric = metric

    def _labels(self, turn_costs: Int64Array) -> tuple[Int64Array, Int64Array]:
        tree, (_, at) = self.tree, self._net[2]
        if self._work is None:
            self._work = (np.empty(len(tree.up), dtype=np.int64), np.empty(len(tree.up), dtype=np.int64))
        labels = self._spare.pop() if self._spare else (np.empty(at[-1], np.int64), np.empty(at[-1], np.int64))
        customise((tree.first, tree.up, tree.slot, tree.rises), turn_costs, *self._work)
        fill((tree.first, tree.up, tree.depth, at), *self._work, labels)
        return labels

    @property
    def metric(self) -> Metric:
        """The weights in force."""
        return self._metric

    def snap(self, lat: FloatArray, lng: FloatArray) -> Snaps:
        """Where points of shape (n,) meet the road; `edge` is -1 for those too far from every road."""
        return self.snaps.snap(lat, lng)

    def snap_one(self, point: LatLng) -> Snaps:
        """Where one point meets the road, shape (1,). Raises NotOnRoad."""
        return self.snaps.snap_one(point)

    def at_nodes(self, nodes: Int32Array | Int64Array) -> Snaps:
        """Points that are junctions, shape (n,)."""
        first, edges = self._streets[2]
        edge = edges[first[nodes]]
        return Snaps(edge, np.zeros(len(edge)), np.zeros(len(edge)))

    def to_one(self, lat: FloatArray, lng: FloatArray, to: LatLng, limit_s: float = np.inf) -> Travel:
        """Travel from each of n points to one; inf from points off the road and beyond `limit_s`. Raises NotOnRoad."""
        return self.to_one_snapped(self.snap(lat, lng), self.snap_one(to), limit_s)

    def one_to(self, origin: LatLng, lat: FloatArray, lng: FloatArray, limit_s: float = np.inf) -> Travel:
        """Travel from one point to each of n; inf to points off the road and beyond `limit_s`. Raises NotOnRoad."""
        return self.one_to_snapped(self.snap_one(origin), self.snap(lat, lng), limit_s)

    def to_one_snapped(self, origins: Snaps, to: Snaps, limit_s: float = np.inf) -> Travel:
        """Travel from n snapped points to one, `to` of shape (1,)."""
        return self._travel(origins, to, len(origins), limit_s)

    def one_to_snapped(self, origin: Snaps, to: Snaps, limit_s: float = np.inf) -> Travel:
        """Travel from one snapped point, `origin` of shape (1,), to n."""
        return self._travel(origin, to, len(to), limit_s)

    def pairs(self, origins: Snaps, ends: Snaps, limit_s: float = np.inf) -> Travel:
        """Travel from each of n snapped points to the one in the same row of `ends`."""
        if len(origins) != len(ends):
            raise InvalidInput("pairs need as many origins as ends", code="bad_pairs")
        return self._travel(origins, ends, len(origins), limit_s)

    def table(self, origins: Snaps, ends: Snaps, limit_s: float = np.inf) -> Travel:
        """Travel from each of n snapped points to each of m, shape (n, m)."""
        n, m = len(origins), len(ends)
        found = self.pairs(origins.take(np.repeat(np.arange(n), m)), ends.take(np.tile(np.arange(m), n)), limit_s)
        return Travel(found.seconds.reshape(n, m), found.metres.reshape(n, m))

    def way(self, start: Snaps, end: Snaps) -> Way | None:
        """The fastest way between two snapped points of shape (1,), None where there is none."""
        metric = self._metric
        points = ((int(start.edge[0]), float(start.fraction[0])), (int(end.edge[0]), float(end.fraction[0])))
        states, left_at, ends_at = find_way(*points, self._streets, self._net, metric.arrays())
        if not len(states):
            return None
        edges = self.turns.edge[states]
        turn_ms = [0, *(self._turn_ms(before, after) for before, after in pairwise(states))]
        costs = metric.costs[edges]
        return Way(
            edges=edges,
            edge_s=(costs >> METRES_BITS) / 1000.0,
            edge_m=(costs & ((1 << METRES_BITS) - 1)) / 100.0,
            turn_s=np.array(turn_ms) / 1000.0,
            start=left_at,
            end=ends_at,
        )

    def _turn_ms(self, before: int, after: int) -> int:
        first = self._net[1][0]
        rows = slice(first[before], first[before + 1])
        return int(self.turns.ms[rows][self.turns.after[rows] == after].min())

    def _travel(self, origins: Snaps, ends: Snaps, count: int, limit_s: float) -> Travel:
        metric = self._metric  # held until the kernel is done: so its labels are not written to meanwhile
        seconds, metres = np.empty(count), np.empty(count)
        from_points, to_points = (origins.edge, origins.fraction), (ends.edge, ends.fraction)
        travel(from_points, to_points, self._streets, self._net, metric.arrays(), (seconds, metres))
        if limit_s < np.inf:
            beyond = seconds > limit_s
            seconds[beyond] = np.inf
            metres[beyond] = np.inf
        return Travel(seconds, metres)


def _give_back(spare: list[tuple[Int64Array, Int64Array]], labels: tuple[Int64Array, Int64Array]) -> None:
    """Keep the labels that nobody reads any more for the next update; one pair is enough."""
    if not spare:
        spare.append(labels)


def _by_key(keys: Int32Array, count: int) -> tuple[Int64Array, Int32Array]:
    """Rows by their key: those of key k are `rows[first[k]:first[k + 1]]`, ascending."""
    rows = np.argsort(keys, kind="stable").astype(np.int32)
    return np.searchsorted(keys[rows], np.arange(count + 1)), rows
