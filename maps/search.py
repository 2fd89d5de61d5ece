"""The shortest path kernels: one bounded Dijkstra that serves many ends at once, and one that remembers the way.

Both run on an adjacency in either direction, so "many to one" is a search from the one against the traffic. The queue
is a binary heap with lazy deletion; work arrays carry version stamps, so starting a search costs nothing per node.
Dead ends are passed by unless somebody is in them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.geo import FloatArray
from maps.kernels import compiled
from maps.roads import NO_EDGE, Int32Array, Int64Array, RoadGraph

NO_NODE = -1


@dataclass(frozen=True, slots=True)
class Adjacency:
    """The edges of every node, packed: those of node v are rows `first[v]:first[v + 1]`.

    `neighbour` is the node at the other end, `edge` the edge's number in the graph.
    """

    first: Int64Array
    neighbour: Int32Array
    edge: Int32Array
    seconds: FloatArray
    metres: FloatArray

    @staticmethod
    def leaving(roads: RoadGraph) -> Adjacency:
        """Edges by their tail: a search runs with the traffic."""
        return _pack(roads, roads.tail, roads.head)

    @staticmethod
    def arriving(roads: RoadGraph) -> Adjacency:
        """Edges by their head: a search runs against the traffic."""
        return _pack(roads, roads.head, roads.tail)

    def arrays(self) -> tuple[Int64Array, Int32Array, Int32Array, FloatArray, FloatArray]:
        """The same as a tuple, which is what kernels take."""
        return self.first, self.neighbour, self.edge, self.seconds, self.metres


def _pack(roads: RoadGraph, at: Int32Array, other: Int32Array) -> Adjacency:
    order = np.argsort(at, kind="stable").astype(np.int32)
    first = np.zeros(roads.node_count + 1, dtype=np.int64)
    first[1:] = np.cumsum(np.bincount(at, minlength=roads.node_count))
    return Adjacency(first, other[order], order, roads.seconds[order], roads.metres[order])


@dataclass(frozen=True, slots=True)
class Access:
    """How points on the road reach the junctions, arrays of shape (n, 2): at most one way per direction of the street.

    `node` is NO_NODE where there is no such way; `seconds` and `metres` are those between the point and that junction.
    """

    node: Int32Array
    seconds: FloatArray
    metres: FloatArray
    edge: Int32Array

    @staticmethod
    def at_nodes(nodes: Int32Array | Int64Array) -> Access:
        """Points that are junctions, shape (n,)."""
        node = np.full((len(nodes), 2), NO_NODE, dtype=np.int32)
        node[:, 0] = nodes
        return Access(node, np.zeros(node.shape), np.zeros(node.shape), np.full(node.shape, NO_EDGE, dtype=np.int32))

    def arrays(self) -> tuple[Int32Array, FloatArray, FloatArray]:
        """What the kernels take."""
        return self.node, self.seconds, self.metres


class Workspace:
    """Memory of one search at a time on a graph of so many nodes and edges."""

    def __init__(self, nodes: int, edges: int) -> None:
        self.version = np.zeros(1, dtype=np.int32)
        self.stamp = np.zeros(nodes, dtype=np.int32)  # == version: `seconds` of the node is of this search
        self.seconds = np.empty(nodes)
        self.metres = np.empty(nodes)
        self.entered_by = np.empty(nodes, dtype=np.int32)  # the adjacency row that reached the node, NO_EDGE at a seed
        self.entered_from = np.empty(nodes, dtype=np.int32)
        self.waiting_stamp = np.zeros(nodes, dtype=np.int32)
        self.waiting = np.empty(nodes, dtype=np.int32)  # first of the ends that wait for the node
        self.open_gate = np.zeros(nodes, dtype=np.int32)  # == version: somebody is in a dead end behind this gate
        self.heap_key = np.empty(edges + nodes + 2)
        self.heap_node = np.empty(edges + nodes + 2, dtype=np.int32)

    def next_version(self) -> int:
        """A stamp that no earlier search of this workspace used."""
        if self.version[0] == 2**31 - 1:
            self.stamp[:] = 0
            self.waiting_stamp[:] = 0
            self.open_gate[:] = 0
            self.version[0] = 0
        self.version[0] += 1
        return int(self.version[0])


@compiled
def _push(heap_key, heap_node, size, key, node):  # type: ignore[no-untyped-def]
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if heap_key[parent] <= key:
            break
        heap_key[at], heap_node[at] = heap_key[parent], heap_node[parent]
        at = parent
    heap_key[at], heap_node[at] = key, node


@compiled
def _drop_top(heap_key, heap_node, size):  # type: ignore[no-untyped-def]
    """Remove the least of `size` entries; the caller counts down."""
    last = size - 1
    key, node = heap_key[last], heap_node[last]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= last:
            break
        if child + 1 < last and heap_key[child + 1] < heap_key[child]:
            child += 1
        if heap_key[child] >= key:
            break
        heap_key[at], heap_node[at] = heap_key[child], heap_node[child]
        at = child
    heap_key[at], heap_node[at] = key, node


@compiled
def reach(adjacency, between, limit_s, work, best):  # type: ignore[no-untyped-def]
    """Improve `best` (seconds, metres of each end) by the fastest ways from `start`; stops once no end can improve.

    `between` holds the access of one point and that of n points, the ends; what is farther than `limit_s` is left as it
    was. A node's key never falls below that of the node taken last, so once it passes the worst of the ends' times all
    are final.
    """
    first, neighbour, _, edge_seconds, edge_metres = adjacency
    start, (end_node, end_seconds, end_metres) = between
    best_seconds, best_metres = best
    version, stamp, seconds, metres, waiting_stamp, waiting, gate, open_gate, heap_key, heap_node = work
    count = len(end_node)
    follows = np.empty(2 * count, np.int32)  # ends that wait for the same node, as a chain
    unseen = 0
    for row in range(count):
        wanted = False
        for way in range(2):
            node = end_node[row, way]
            if node >= 0:
                chained = waiting[node] if waiting_stamp[node] == version else -1
                follows[2 * row + way] = chained
                waiting[node], waiting_stamp[node] = 2 * row + way, version
                if gate[node] >= 0:
                    open_gate[gate[node]] = version
                wanted = True
        if wanted and best_seconds[row] == math.inf:
            unseen += 1
    cutoff = limit_s
    if unseen == 0:
        cutoff = min(cutoff, _worst(best_seconds, end_node))
    size = 0
    for way in range(2):
        node = start[0][0, way]
        if node >= 0 and (stamp[node] != version or start[1][0, way] < seconds[node]):
            stamp[node], seconds[node], metres[node] = version, start[1][0, way], start[2][0, way]
            if gate[node] >= 0:
                open_gate[gate[node]] = version
            _push(heap_key, heap_node, size, seconds[node], node)
            size += 1
    while size > 0:
        key, node = heap_key[0], heap_node[0]
        if key >= cutoff:
            break
        _drop_top(heap_key, heap_node, size)
        size -= 1
        if key > seconds[node]:
            continue
        if waiting_stamp[node] == version:
            entry = waiting[node]
            while entry >= 0:
                row, way = entry >> 1, entry & 1
                total = key + end_seconds[row, way]
                if total < best_seconds[row] and total <= limit_s:
                    if best_seconds[row] == math.inf:
                        unseen -= 1
                        if unseen == 0:
                            best_seconds[row] = total
                            cutoff = min(cutoff, _worst(best_seconds, end_node))
                    best_seconds[row], best_metres[row] = total, metres[node] + end_metres[row, way]
                entry = follows[entry]
        for at in range(first[node], first[node + 1]):
            other = neighbour[at]
            if gate[other] >= 0 and open_gate[gate[other]] != version:
                continue
            new = key + edge_seconds[at]
            if stamp[other] != version or new < seconds[other]:
                stamp[other], seconds[other], metres[other] = version, new, metres[node] + edge_metres[at]
                _push(heap_key, heap_node, size, new, other)
                size += 1


@compiled
def _worst(best_seconds, end_node):  # type: ignore[no-untyped-def]
    """The largest time among the ends that are on the road."""
    worst = 0.0
    for row in range(len(best_seconds)):
        if (end_node[row, 0] >= 0 or end_node[row, 1] >= 0) and best_seconds[row] > worst:
            worst = best_seconds[row]
    return worst


@compiled
def find_way(adjacency, start, end, work):  # type: ignore[no-untyped-def]
    """The fastest way from one point to another: seconds, the way used at each end, and the edges between.

    `start` and `end` are accesses of one point each, in the direction of the traffic. Seconds are inf when there is
    none.
    """
    first, neighbour, edge, edge_seconds, _ = adjacency
    version, stamp, seconds, entered_by, entered_from, gate, open_gate, heap_key, heap_node = work
    size, best, best_end = 0, math.inf, -1
    for way in range(2):
        node = end[0][0, way]
        if node >= 0 and gate[node] >= 0:
            open_gate[gate[node]] = version
    for way in range(2):
        node = start[0][0, way]
        if node >= 0 and (stamp[node] != version or start[1][0, way] < seconds[node]):
            stamp[node], seconds[node], entered_by[node], entered_from[node] = version, start[1][0, way], -1, -1 - way
            if gate[node] >= 0:
                open_gate[gate[node]] = version
            _push(heap_key, heap_node, size, seconds[node], node)
            size += 1
    while size > 0:
        key, node = heap_key[0], heap_node[0]
        if key >= best:
            break
        _drop_top(heap_key, heap_node, size)
        size -= 1
        if key > seconds[node]:
            continue
        for way in range(2):
            if end[0][0, way] == node and key + end[1][0, way] < best:
                best, best_end = key + end[1][0, way], way
        for at in range(first[node], first[node + 1]):
            other = neighbour[at]
            if gate[other] >= 0 and open_gate[gate[other]] != version:
                continue
            new = key + edge_seconds[at]
            if stamp[other] != version or new < seconds[other]:
                stamp[other], seconds[other], entered_by[other], entered_from[other] = version, new, edge[at], node
                _push(heap_key, heap_node, size, new, other)
                size += 1
    if best_end < 0:
        return best, -1, -1, np.empty(0, np.int32)
    count, node = 0, end[0][0, best_end]
    while entered_by[node] >= 0:
        count, node = count + 1, entered_from[node]
    edges = np.empty(count, np.int32)
    best_start, node = -1 - entered_from[node], end[0][0, best_end]
    while entered_by[node] >= 0:
        count -= 1
        edges[count] = entered_by[node]
        node = entered_from[node]
    return best, best_start, best_end, edges
