"""Nested dissection of a road graph: which streets to cut so that it falls into parts, again and again.

Each part is cut where the least traffic can pass between its two ends, looked at from several sides (inertial flow:
Schild and Sommer, On balanced separators in road networks, 2015). Streets that are cut are what separates the parts in
the graph of turns, whose nodes are edges (Buchhold, Wagner, Zeitz, Zuendorf, Customizable contraction hierarchies with
turn costs, 2020).
"""

from __future__ import annotations

import numpy as np

from core.geo import FloatArray
from maps.kernels import compiled
from maps.roads import Int64Array, RoadGraph

_SIDES = 8  # directions from which each part is looked at
_ENDS = (0.1, 0.25, 0.4)  # shares of a part's junctions that each of its two ends may hold
_BALANCE = 0.7  # a cut costs its edges over the smaller side's junctions to this power


def cut_order(roads: RoadGraph) -> Int64Array:
    """The number of the cut that each edge falls to, shape (edges,): 0 is the first; loops come after all cuts."""
    first, neighbour, capacity, twin = _streets(roads)
    angle = np.arange(_SIDES) * np.pi / _SIDES
    north, east = np.cos(angle), np.sin(angle) * np.cos(np.radians(roads.node_lat.mean()))
    along: FloatArray = np.outer(north, roads.node_lat) + np.outer(east, roads.node_lng)
    cut = _dissect((first, neighbour, capacity, twin), along, np.array(_ENDS), _BALANCE)
    keys = np.repeat(np.arange(roads.node_count), np.diff(first)) * roads.node_count + neighbour
    loop = roads.tail == roads.head
    at = np.searchsorted(keys, roads.tail.astype(np.int64) * roads.node_count + roads.head)
    return np.where(loop, len(keys), cut[np.where(loop, 0, at)] if len(keys) else 0)


def _streets(roads: RoadGraph) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
    """The neighbours of every junction with the number of edges between, and where each pair stands the other way."""
    tail, head = roads.tail.astype(np.int64), roads.head.astype(np.int64)
    apart = tail != head
    a, b = tail[apart], head[apart]
    keys, capacity = np.unique(np.concatenate([a * roads.node_count + b, b * roads.node_count + a]), return_counts=True)
    here, there = keys // roads.node_count, keys % roads.node_count
    first = np.searchsorted(here, np.arange(roads.node_count + 1))
    return first, there, capacity, np.searchsorted(keys, there * roads.node_count + here)


@compiled
def _push_flow(nodes, part, ends, streets, work):  # type: ignore[no-untyped-def]
    """The most edge-disjoint ways from one end of a part to the other, or -1 once there are more than `ends` allows.

    Dinic's algorithm. Afterwards `level` is positive for what the near end still reaches.
    """
    first, neighbour, capacity, twin = streets
    cell, number = part
    kind, limit = ends
    flow, level, at, queue, arcs, _ = work
    for node in nodes:
        for i in range(first[node], first[node + 1]):
            flow[i] = 0
    total = 0
    while True:
        size, done, reached = 0, 0, False
        for node in nodes:
            level[node] = 0
            at[node] = first[node]
            if kind[node] == 1:
                level[node], queue[size] = 1, node
                size += 1
        while done < size:
            node = queue[done]
            done += 1
            for i in range(first[node], first[node + 1]):
                other = neighbour[i]
                if cell[other] == number and level[other] == 0 and flow[i] < capacity[i]:
                    level[other] = level[node] + 1
                    if kind[other] == 2:
                        reached = True
                    else:
                        queue[size] = other
                        size += 1
        if not reached:
            return total
        for source in nodes:
            while kind[source] == 1:
                node, length = source, 0
                while kind[node] != 2:
                    while at[node] < first[node + 1]:
                        i = at[node]
                        other = neighbour[i]
                        if cell[other] == number and level[other] == level[node] + 1 and flow[i] < capacity[i]:
                            break
                        at[node] += 1
                    if at[node] < first[node + 1]:
                        arcs[length], node = at[node], neighbour[at[node]]
                        length += 1
                    elif length > 0:
                        length -= 1
                        node = neighbour[twin[arcs[length]]]
                        at[node] += 1
                    else:
                        break
                if kind[node] != 2:
                    break
                more = capacity[arcs[0]] - flow[arcs[0]]
                for step in range(length):
                    more = min(more, capacity[arcs[step]] - flow[arcs[step]])
                for step in range(length):
                    flow[arcs[step]] += more
                    flow[twin[arcs[step]]] -= more
                total += more
                if total > limit:
                    return -1


@compiled
def _far_side(nodes, part, kind, streets, work):  # type: ignore[no-untyped-def]
    """After the flow: mark by `at` 1 what still reaches the far end, 0 the rest; the number of the marked."""
    first, neighbour, capacity, twin = streets
    cell, number = part
    flow, _, at, queue, _, _ = work
    size, done = 0, 0
    for node in nodes:
        at[node] = 0
        if kind[node] == 2:
            at[node], queue[size] = 1, node
            size += 1
    while done < size:
        node = queue[done]
        done += 1
        for i in range(first[node], first[node + 1]):
            other = neighbour[i]
            if cell[other] == number and at[other] == 0 and flow[twin[i]] < capacity[twin[i]]:
                at[other], queue[size] = 1, other
                size += 1
    return size


@compiled
def _best_cut(nodes, part, streets, along, how, work, near):  # type: ignore[no-untyped-def]
    """Find the cheapest cut of a part; `near` becomes true for the junctions on one side of it."""
    ends, balance = how
    level, at, kind = work[1], work[2], work[5]
    size = len(nodes)
    best = np.inf
    chosen = np.zeros(size, np.bool_)
    for side in range(len(along)):
        order = np.argsort(along[side][nodes])
        for share in ends:
            held = min(max(1, int(size * share)), size // 2)
            for node in nodes:
                kind[node] = 0
            for k in range(held):
                kind[nodes[order[k]]], kind[nodes[order[size - 1 - k]]] = 1, 2
            limit = int(min(best * (size // 2) ** balance, 1e9))
            cost = _push_flow(nodes, part, (kind, limit), streets, work)
            if cost < 0:
                continue
            far = _far_side(nodes, part, kind, streets, work)
            reached = 0
            for node in nodes:
                reached += level[node] > 0
            smaller = max(min(reached, size - reached), min(far, size - far))
            if cost / smaller**balance < best:
                best = cost / smaller**balance
                by_level = min(reached, size - reached) == smaller
                for k in range(size):
                    chosen[k] = level[nodes[k]] > 0 if by_level else at[nodes[k]] == 0
    for k in range(size):
        near[nodes[k]] = chosen[k]


@compiled
def _split_loose(nodes, part, streets, marks):  # type: ignore[no-untyped-def]
    """Sort a part's junctions by connected component; where the components end among them."""
    first, neighbour, _, _ = streets
    cell, number = part
    sorted_nodes = np.empty(len(nodes), np.int64)
    bounds = [0]
    for node in nodes:
        marks[node] = 0
    size, done = 0, 0
    for start in nodes:
        if marks[start]:
            continue
        marks[start], sorted_nodes[size] = 1, start
        size += 1
        while done < size:
            node = sorted_nodes[done]
            done += 1
            for i in range(first[node], first[node + 1]):
                other = neighbour[i]
                if cell[other] == number and marks[other] == 0:
                    marks[other], sorted_nodes[size] = 1, other
                    size += 1
        bounds.append(size)
    nodes[:] = sorted_nodes
    return bounds


@compiled
def _dissect(streets, along, ends, balance):  # type: ignore[no-untyped-def]
    """Cut until nothing hangs together; the number of the cut of each row of `streets`."""
    first, neighbour, _, _ = streets
    count, rows = len(first) - 1, len(neighbour)
    cut = np.full(rows, -1, np.int64)
    cell, nodes = np.zeros(count, np.int64), np.arange(count)
    near = np.zeros(count, np.bool_)
    work = (
        np.zeros(rows, np.int64),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.zeros(count, np.int8),
    )
    waiting = [(0, count)]
    parts, cuts = 0, 0
    while len(waiting) > 0:
        start, end = waiting.pop()
        if end - start < 2:
            continue
        mine = nodes[start:end]
        parts += 1
        for node in mine:
            cell[node] = parts
        bounds = _split_loose(mine, (cell, parts), streets, work[1])
        if len(bounds) > 2:
            for k in range(len(bounds) - 1):
                waiting.append((start + bounds[k], start + bounds[k + 1]))  # noqa: PERF401 - numba has no extend of pairs
            continue
        _best_cut(mine, (cell, parts), streets, along, (ends, balance), work, near)
        for node in mine:
            for i in range(first[node], first[node + 1]):
                if cell[neighbour[i]] == parts and near[neighbour[i]] != near[node]:
                    cut[i] = cuts
        cuts += 1
        one, other = mine[near[mine]], mine[~near[mine]]
        mine[: len(one)], mine[len(one) :] = one, other
        waiting.append((start, start + len(one)))
        waiting.append((start + len(one), end))
    return cut
