"""Dead ends: the parts of the road graph that hang on the rest by one junction, which a search may pass by."""

from __future__ import annotations

import numpy as np

from maps.kernels import compiled
from maps.roads import Int32Array, RoadGraph

THROUGH = -1


def dead_end_gates(roads: RoadGraph) -> Int32Array:
    """The gate of every junction that lies in a dead end, THROUGH for all others; shape (nodes,).

    A dead end is what falls off when junctions with a single neighbour are taken away again and again; its gate is the
    junction it hangs on. No fastest way leads into one unless it starts or ends there.
    """
    low, high = np.minimum(roads.tail, roads.head).astype(np.int64), np.maximum(roads.tail, roads.head)
    pairs = np.unique((low * roads.node_count + high)[low != high])
    a, b = pairs // roads.node_count, pairs % roads.node_count
    ends, others = np.concatenate([a, b]), np.concatenate([b, a])
    first = np.zeros(roads.node_count + 1, dtype=np.int64)
    first[1:] = np.cumsum(np.bincount(ends, minlength=roads.node_count))
    gates: Int32Array = _peel(first, others[np.argsort(ends, kind="stable")])
    return gates


@compiled
def _peel(first, neighbour):  # type: ignore[no-untyped-def]
    count = len(first) - 1
    degree = first[1:] - first[:-1]
    parent = np.full(count, -1, np.int32)
    removed = np.zeros(count, np.bool_)
    order = np.empty(count, np.int32)
    size = 0
    for node in range(count):
        if degree[node] == 1:
            order[size] = node
            size += 1
    done = 0
    while done < size:
        node = order[done]
        done += 1
        if degree[node] != 1:  # its only neighbour went first: it is the last of its part, and stays
            continue
        removed[node] = True
        for at in range(first[node], first[node + 1]):
            other = neighbour[at]
            if not removed[other]:
                parent[node] = other
                degree[other] -= 1
                if degree[other] == 1:
                    order[size] = other
                    size += 1
    gates = np.full(count, -1, np.int32)
    for at in range(done - 1, -1, -1):  # the last to fall off hang on the gate itself
        node = order[at]
        if removed[node]:
            above = parent[node]
            gates[node] = above if gates[above] < 0 else gates[above]
    return gates
