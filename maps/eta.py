"""Bulk travel times on the road graph: one point against many, exact, in process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.geo import FloatArray, LatLng
from maps.deadends import dead_end_gates
from maps.roads import NO_EDGE, Int32Array, Int64Array, RoadGraph
from maps.search import NO_NODE, Access, Adjacency, Workspace, reach
from maps.snap import SnapIndex, Snaps

_AT_JUNCTION = 1e-9  # fractions nearer to an end than this are the junction itself


@dataclass(frozen=True, slots=True)
class Travel:
    """The fastest ways of n pairs, arrays of shape (n,): time and length of each; inf where there is none."""

    seconds: FloatArray
    metres: FloatArray


class EtaIndex:
    """Exact travel times and distances by bounded Dijkstra over free-flow edge times.

    Every street may be entered and left anywhere along it, in the directions it is open to; turns cost nothing yet.
    Safe to share between threads: each search takes a workspace of its own.
    """

    def __init__(self, roads: RoadGraph, max_snap_m: float = 250.0) -> None:
        self.roads = roads
        self.snaps = SnapIndex(roads, max_snap_m)
        self.leaving = Adjacency.leaving(roads)
        self._arriving = Adjacency.arriving(roads)
        self.gates = dead_end_gates(roads)
        self._spare: list[Workspace] = []

    def snap(self, lat: FloatArray, lng: FloatArray) -> Snaps:
        """Where points of shape (n,) meet the road; `edge` is NO_EDGE for those too far from every road."""
        return self.snaps.snap(lat, lng)

    def snap_one(self, point: LatLng) -> Snaps:
        """Where one point meets the road, shape (1,). Raises NotOnRoad."""
        return self.snaps.snap_one(point)

    def to_one(self, lat: FloatArray, lng: FloatArray, to: LatLng, limit_s: float = np.inf) -> Travel:
        """Travel from each of n points to one; inf from points off the road and beyond `limit_s`. Raises NotOnRoad."""
        return self.to_one_snapped(self.snap(lat, lng), self.snap_one(to), limit_s)

    def one_to(self, origin: LatLng, lat: FloatArray, lng: FloatArray, limit_s: float = np.inf) -> Travel:
        """Travel from one point to each of n; inf to points off the road and beyond `limit_s`. Raises NotOnRoad."""
        return self.one_to_snapped(self.snap_one(origin), self.snap(lat, lng), limit_s)

    def to_one_snapped(self, origins: Snaps, to: Snaps, limit_s: float = np.inf) -> Travel:
        """Travel from n snapped points to one, `to` of shape (1,)."""
        best = self.along_one_street(origins, to)
        return self._search(self._arriving, self.arrivals(to), self.departures(origins), limit_s, best)

    def one_to_snapped(self, origin: Snaps, to: Snaps, limit_s: float = np.inf) -> Travel:
        """Travel from one snapped point, `origin` of shape (1,), to n."""
        best = self.along_one_street(origin, to)
        return self._search(self.leaving, self.departures(origin), self.arrivals(to), limit_s, best)

    def nodes_to_one(self, nodes: Int32Array | Int64Array, node: int, limit_s: float = np.inf) -> Travel:
        """Travel from junctions of shape (n,) to one junction."""
        start, ends = Access.at_nodes(np.array([node])), Access.at_nodes(nodes)
        return self._search(self._arriving, start, ends, limit_s, _nothing(len(nodes)))

    def one_to_nodes(self, node: int, nodes: Int32Array | Int64Array, limit_s: float = np.inf) -> Travel:
        """Travel from one junction to junctions of shape (n,)."""
        start, ends = Access.at_nodes(np.array([node])), Access.at_nodes(nodes)
        return self._search(self.leaving, start, ends, limit_s, _nothing(len(nodes)))

    def departures(self, points: Snaps) -> Access:
        """How n points on the road leave: ahead to the head of their edge, or back to its tail where allowed."""
        return self._access(points, leaving=True)

    def arrivals(self, points: Snaps) -> Access:
        """How n points on the road are reached: from the tail of their edge, or from its head where allowed."""
        return self._access(points, leaving=False)

    def _access(self, points: Snaps, *, leaving: bool) -> Access:
        roads, on_road = self.roads, points.edge != NO_EDGE
        edge = np.where(on_road, points.edge, 0)
        opposite = roads.opposite[edge]
        two_way = opposite != NO_EDGE
        back = np.where(two_way, opposite, edge)
        share = 1.0 - points.fraction if leaving else points.fraction  # of the edge, between the point and the junction
        junction = (
            share >= 1.0 - _AT_JUNCTION
        )  # a one-way street may still be left at its very tail, reached at its head
        ahead, behind = (roads.head, roads.tail) if leaving else (roads.tail, roads.head)
        node = np.column_stack([ahead[edge], np.where(two_way | junction, behind[edge], NO_NODE)])
        node[~on_road] = NO_NODE
        used = np.column_stack([share, np.where(two_way, 1.0 - share, 0.0)])
        edges = np.column_stack([edge, back]).astype(np.int32)
        return Access(node.astype(np.int32), roads.seconds[edges] * used, roads.metres[edges] * used, edges)

    def along_one_street(self, origins: Snaps, ends: Snaps) -> Travel:
        """Travel of pairs that share a street and need not leave it, inf for others; one side may have shape (1,)."""
        roads = self.roads
        start, end = np.broadcast_arrays(origins.edge, ends.edge)
        ahead = np.asarray(ends.fraction - origins.fraction)
        seconds, metres = np.full(len(start), np.inf), np.full(len(start), np.inf)
        same = (start == end) & (start != NO_EDGE)
        for rows, edges in (
            (same & (ahead >= 0), start),
            (same & (ahead < 0), np.where(same, roads.opposite[start], NO_EDGE)),
        ):
            rows &= edges != NO_EDGE
            share = np.abs(ahead[rows])
            seconds[rows] = roads.seconds[edges[rows]] * share
            metres[rows] = roads.metres[edges[rows]] * share
        return Travel(seconds, metres)

    def _search(self, adjacency: Adjacency, start: Access, ends: Access, limit_s: float, best: Travel) -> Travel:
        space = self.take_workspace()
        work = (
            space.next_version(),
            space.stamp,
            space.seconds,
            space.metres,
            space.waiting_stamp,
            space.waiting,
            self.gates,
            space.open_gate,
            space.heap_key,
            space.heap_node,
        )
        between = (start.arrays(), ends.arrays())
        reach(adjacency.arrays(), between, float(limit_s), work, (best.seconds, best.metres))
        self.return_workspace(space)
        if limit_s < np.inf:
            beyond = best.seconds > limit_s
            best.seconds[beyond] = np.inf
            best.metres[beyond] = np.inf
        return best

    def take_workspace(self) -> Workspace:
        """A workspace nobody else uses; give it back with return_workspace."""
        try:
            return self._spare.pop()
        except IndexError:
            return Workspace(self.roads.node_count, self.roads.edge_count)

    def return_workspace(self, work: Workspace) -> None:
        """Let the next search have it."""
        self._spare.append(work)


def _nothing(count: int) -> Travel:
    return Travel(np.full(count, np.inf), np.full(count, np.inf))
