"""The elimination tree of a graph of turns: what is prepared once per map, whatever the weights will be.

Customizable contraction hierarchies (Dibbelt, Strasser, Wagner, 2016): states are taken out one after the other, those
that hold the graph together last, and what a state leaves behind joins its neighbours. A state's ancestors in the tree
are all that its ways to the rest of the graph may need to pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.errors import BadFile
from core.geo import BoolArray
from maps.dissection import cut_order
from maps.kernels import compiled
from maps.roads import Int32Array, Int64Array, RoadGraph
from maps.turns import Turns

Int16Array = npt.NDArray[np.int16]

_DEEPEST = 32_000  # ancestors of a state; what is deeper would need more memory than there is


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree, with states numbered so that parents come before children and subtrees are without gaps.

    `number` is that of each state, shape (states,). The rest goes by number: `depth` is the count of ancestors;
    `up[first[v]:first[v + 1]]` are the ancestors that v is joined to, root first. `lowest[k, v]` is the least depth of
    the parents of v and the 2^k - 1 states that follow it, plus one: 0 for roots. `slot` is the row of `up` that each
    turn belongs to, -1 for a turn back to its own state, and `rises` whether it leads to the ancestor; shape (turns,).
    """

    number: Int32Array
    depth: Int16Array
    first: Int64Array
    up: Int32Array
    lowest: Int16Array
    slot: Int32Array
    rises: BoolArray

    def offsets(self) -> Int64Array:
        """Where each state's label starts among all labels, by number, and their total; shape (states + 1,)."""
        return np.concatenate([[0], np.cumsum(self.depth.astype(np.int64) + 1)])


def build_tree(roads: RoadGraph, turns: Turns) -> Tree:
    """Dissect and contract. Raises BadFile for a graph that does not fall apart, which no road network is."""
    states = len(turns.edge)
    by_cut = np.argsort(-cut_order(roads)[turns.edge], kind="stable")  # the first cut is taken out last
    rank = np.empty(states, dtype=np.int64)
    rank[by_cut] = np.arange(states)
    before, after = rank[turns.before], rank[turns.after]
    apart = before != after
    low, high = np.minimum(before, after), np.maximum(before, after)
    first, up, parent = _contract(states, low[apart], high[apart])
    depth = _depths(parent)
    if depth.max() > _DEEPEST:
        raise BadFile(f"the roads hang together too much: {depth.max()} of them separate two parts")

    place = _preorder(parent)
    at_place = np.empty(states, dtype=np.int64)
    at_place[place] = np.arange(states)
    sizes = np.diff(first)[at_place]
    new_first = np.concatenate([[0], np.cumsum(sizes)])
    rows = np.repeat(first[:-1][at_place] - new_first[:-1], sizes) + np.arange(new_first[-1])
    owner = np.repeat(np.arange(states), sizes)
    new_up = place[up[rows]]
    new_up = new_up[np.lexsort((new_up, owner))].astype(np.int32)

    low_place, high_place = place[low], place[high]
    keys = owner * states + new_up
    slot = np.where(apart, np.searchsorted(keys, low_place.astype(np.int64) * states + high_place), -1)
    above = np.where(parent >= 0, depth[parent] + 1, 0).astype(np.int16)
    return Tree(
        number=place[rank].astype(np.int32),
        depth=depth[at_place].astype(np.int16),
        first=new_first,
        up=new_up,
        lowest=_minima(above[at_place]),
        slot=slot.astype(np.int32),
        rises=before < after,
    )


@compiled
def _contract(states, low, high):  # type: ignore[no-untyped-def]
    """Take out states in order; the later neighbours of each, packed, and the first of these, its parent."""
    begin = np.zeros(states + 1, np.int64)
    for v in low:
        begin[v + 1] += 1
    begin = np.cumsum(begin)
    own, at = np.empty(len(low), np.int32), begin[:-1].copy()
    for i in range(len(low)):
        own[at[low[i]]] = high[i]
        at[low[i]] += 1
    parent, child = np.full(states, -1, np.int32), np.full(states, -1, np.int32)
    sibling, mark = np.full(states, -1, np.int32), np.full(states, -1, np.int32)
    first, up, size = np.zeros(states + 1, np.int64), np.empty(8 * states + 8, np.int32), 0
    for v in range(states):
        if size + states - v > len(up):
            up = np.concatenate((up, np.empty(len(up) // 2 + states, np.int32)))
        mark[v] = v
        for i in range(begin[v], begin[v + 1]):
            if mark[own[i]] != v:
                mark[own[i]], up[size] = v, own[i]
                size += 1
        below = child[v]
        while below >= 0:  # what a child was joined to beyond v
            for i in range(first[below], first[below + 1]):
                if mark[up[i]] != v:
                    mark[up[i]], up[size] = v, up[i]
                    size += 1
            below = sibling[below]
        first[v + 1] = size
        if size > first[v]:
            up[first[v] : size] = np.sort(up[first[v] : size])
            parent[v] = up[first[v]]
            sibling[v], child[parent[v]] = child[parent[v]], v
    return first, up[:size].copy(), parent


@compiled
def _depths(parent):  # type: ignore[no-untyped-def]
    depth = np.zeros(len(parent), np.int32)
    for v in range(len(parent) - 1, -1, -1):
        if parent[v] >= 0:
            depth[v] = depth[parent[v]] + 1
    return depth


@compiled
def _preorder(parent):  # type: ignore[no-untyped-def]
    """Numbers that put a parent before its children and leave no gap within a subtree."""
    states = len(parent)
    size = np.ones(states, np.int32)
    for v in range(states):
        if parent[v] >= 0:
            size[parent[v]] += size[v]
    place, free, begin = np.empty(states, np.int32), np.empty(states, np.int32), 0
    for v in range(states - 1, -1, -1):
        if parent[v] < 0:
            place[v] = begin
            begin += size[v]
        else:
            place[v] = free[parent[v]]
            free[parent[v]] += size[v]
        free[v] = place[v] + 1
    return place


@compiled
def _minima(values):  # type: ignore[no-untyped-def]
    """Row k: the least of each value and the 2^k - 1 that follow it (Bender and Farach-Colton, 2000)."""
    count, rows = len(values), 1
    while 1 << rows <= count:
        rows += 1
    minima = np.zeros((rows, count), np.int16)
    minima[0] = values
    for row in range(1, rows):
        half = 1 << (row - 1)
        for i in range(count - 2 * half + 1):
            minima[row, i] = min(minima[row - 1, i], minima[row - 1, i + half])
    return minima
