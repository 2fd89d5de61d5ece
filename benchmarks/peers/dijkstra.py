"""scipy's Dijkstra on the graph of turns of an EtaIndex, as the reference that its answers are compared with.

scipy adds up milliseconds times STEP plus centimetres, which a float holds exactly for ways of less than 37 hours and
671 km; so it finds the fastest way, and the shortest of equally fast ones.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import dijkstra

from core.geo import FloatArray, IntArray
from maps.eta import EtaIndex, Travel
from maps.snap import Snaps

STEP = float(1 << 26)


class Reference:
    """The graph of turns of an index, with weights of its own making: seconds of each edge, inf where it is closed."""

    def __init__(self, index: EtaIndex, seconds: FloatArray) -> None:
        roads, turns = index.roads, index.turns
        self._opposite, self._turns = roads.opposite, turns
        self._ms = np.append(np.maximum(np.rint(1000 * seconds), 1), np.inf)  # the last is no edge at all
        self._cm = np.append(np.rint(100 * roads.metres), 0.0)
        entered = turns.edge[turns.after]
        costs = (self._ms[entered] + turns.ms) * STEP + self._cm[entered]
        drivable = np.isfinite(costs)
        ends = (turns.before[drivable], turns.after[drivable])
        self._graph = sparse.csr_matrix((costs[drivable], ends), shape=(len(turns.edge),) * 2)
        self._back = self._graph.T.tocsr()

    def table(self, origins: Snaps, ends: Snaps) -> Travel:
        """From each of n points to each of m, none of them at a junction, shape (n, m): a search from each origin.

        Two points on one street count only as far as the way back along it needs no round trip.
        """
        best = np.full((len(origins), len(ends)), np.inf)
        for start, left in self._directions(origins):
            usable = np.isfinite(self._ms[start])
            between = np.full((len(origins), len(self._opposite) + 1), np.inf)
            between[usable, :-1] = self._to_edges(dijkstra(self._graph, indices=start[usable]))
            for end, beyond in self._directions(ends):
                cost = self._part(start, left)[:, None] + between[:, end] - self._undriven(end, beyond)
                best = self._better(best, cost, start[:, None] == end)
        return _travel(best)

    def to_one(self, origins: Snaps, end: Snaps) -> Travel:
        """The same to one point, shape (n,): a search back from it."""
        best = np.full(len(origins), np.inf)
        for (edge,), beyond in self._directions(end):
            if not np.isfinite(self._ms[edge]):
                continue
            states = np.flatnonzero(self._turns.edge == edge)
            between = np.append(dijkstra(self._back, indices=states).min(axis=0)[: len(self._opposite)], np.inf)
            for start, left in self._directions(origins):
                cost = self._part(start, left) + between[start] - self._undriven(np.array([edge]), beyond)
                best = self._better(best, cost, start == edge)
        return _travel(best)

    def between_junctions(self, index: EtaIndex, origins: IntArray, ends: IntArray) -> Travel:
        """From each of n junctions to each of m, shape (n, m): off along any street, there by any street."""
        roads = index.roads
        best = np.full((len(origins), len(ends)), np.inf)
        entering = [np.flatnonzero(roads.head == node) for node in ends.tolist()]
        for row, origin in enumerate(origins.tolist()):
            leaving = np.flatnonzero((roads.tail == origin) & np.isfinite(self._ms[:-1]))
            cost = np.full(roads.edge_count, np.inf)  # to the end of each edge
            if len(leaving):
                to_edges = self._to_edges(dijkstra(self._graph, indices=leaving))
                cost = (to_edges + self._part(leaving, np.ones(len(leaving)))[:, None]).min(axis=0)
            best[row] = [cost[edges].min() if end != origin else 0.0 for end, edges in zip(ends, entering, strict=True)]
        return _travel(best)

    def _directions(self, points: Snaps) -> list[tuple[IntArray, FloatArray]]:
        """The edges on which points can be left and reached, and the share of each that lies beyond the point."""
        own: IntArray = points.edge.astype(np.int64)
        return [(own, 1.0 - points.fraction), (self._opposite[own].astype(np.int64), points.fraction)]

    def _part(self, edges: IntArray, share: FloatArray) -> FloatArray:
        return np.asarray(np.rint(share * self._ms[edges]) * STEP + np.rint(share * self._cm[edges]))

    def _undriven(self, edges: IntArray, share: FloatArray) -> FloatArray:
        """What an arrival saves of a whole edge; nobody arrives on a closed one, so it does not matter there."""
        part = self._part(edges, share)
        return np.where(np.isfinite(part), part, 0.0)

    def _to_edges(self, to_states: FloatArray) -> FloatArray:
        """The least cost to the end of every edge, whatever state a car is in there."""
        edges: FloatArray = to_states[:, : len(self._opposite)]
        for further in range(len(self._opposite), to_states.shape[1]):
            edge = self._turns.edge[further]
            edges[:, edge] = np.minimum(edges[:, edge], to_states[:, further])
        return edges

    @staticmethod
    def _better(best: FloatArray, cost: FloatArray, same: np.ndarray) -> FloatArray:
        cost = np.where(same & (cost < 0), np.inf, cost)  # the end lies behind: not without a round trip
        return np.asarray(np.minimum(best, cost))


def _travel(cost: FloatArray) -> Travel:
    reached = np.isfinite(cost)
    ms = np.floor(np.where(reached, cost, 0.0) / STEP)
    centimetres = np.where(reached, cost, 0.0) - ms * STEP
    return Travel(np.where(reached, ms / 1000, np.inf), np.where(reached, centimetres / 100, np.inf))
