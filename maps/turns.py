"""Turns: which edge may follow which, and what it costs. The road graph expanded so that its nodes are edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import connected_components

from core.geo import BoolArray
from maps.roads import NO_EDGE, Int32Array, Int64Array, RoadGraph


@dataclass(frozen=True, slots=True)
class Turns:
    """The allowed turns of a road graph, from state to state.

    State e below the number of edges is a car on edge e. A further state is a car on an edge, too, but one that may not
    do all that others may: it came along the beginning of a forbidden way and may not finish it, or onto a private road
    from a public one and may not leave for another. `edge` names each state's edge, shape (states,).
    Turn i leads from state `before[i]` to state `after[i]` and takes `ms[i]` milliseconds; shape (turns,), sorted by
    `before`.
    """

    edge: Int32Array
    before: Int32Array
    after: Int32Array
    ms: Int32Array


def meeting(tail: Int64Array | Int32Array, head: Int64Array | Int32Array) -> tuple[Int64Array, Int64Array]:
    """Every pair of edges of which the second leaves where the first ends: rows of edges, sorted by the first."""
    by_tail = np.argsort(tail, kind="stable")
    start = np.searchsorted(tail[by_tail], head, side="left")
    count = np.searchsorted(tail[by_tail], head, side="right") - start
    before = np.repeat(np.arange(len(head)), count)
    nth = np.arange(len(before)) - np.repeat(np.cumsum(count) - count, count)
    return before, by_tail[np.repeat(start, count) + nth]


def without_needless_u_turns(before: Int64Array, after: Int64Array, opposite: Int64Array | Int32Array) -> BoolArray:
    """Which of the allowed turns stay when a car turns round only where it cannot go on, shape (turns,)."""
    round_again = (opposite[before] == after) & (before != after)
    goes_on = np.zeros(len(opposite), dtype=np.bool_)
    goes_on[before[~round_again]] = True
    return np.asarray(~round_again | ~goes_on[before])


def free_turns(roads: RoadGraph) -> Turns:
    """The turns of a graph of which nothing is known: all are allowed and free, u-turns in dead ends alone."""
    before, after = meeting(roads.tail, roads.head)
    stay = without_needless_u_turns(before, after, roads.opposite)
    edge = np.arange(roads.edge_count, dtype=np.int32)
    return Turns(edge, before[stay].astype(np.int32), after[stay].astype(np.int32), np.zeros(stay.sum(), np.int32))


def forbid(turns: Turns, ways: Sequence[Sequence[int]]) -> Turns:
    """The same without some ways: each a row of at least two edges that no car drives one after the other.

    Takes turns without further states. For a way of more than two edges each beginning of two and more becomes a
    state; a car is in the state of the longest beginning that it has just driven (Aho and Corasick, 1975).
    """
    near = np.flatnonzero(np.isin(turns.before, [edge for way in ways for edge in way]))
    pairs = {(int(turns.before[at]), int(turns.after[at])): int(at) for at in near}
    banned = {tuple(way) for way in ways if all(pair in pairs for pair in pairwise(way))}
    beginnings = sorted({way[:length] for way in banned for length in range(2, len(way))})
    state = {way: len(turns.edge) + n for n, way in enumerate(beginnings)}
    leaving: dict[int, list[int]] = {}
    for (before, _), at in pairs.items():
        leaving.setdefault(before, []).append(at)
    keep = np.ones(len(turns.before), dtype=np.bool_)
    after = turns.after.copy()
    rows: list[tuple[int, int, int]] = []
    for way in banned:
        if len(way) == 2:
            keep[pairs[way]] = False
    for pair, here in state.items():
        if len(pair) == 2:
            after[pairs[pair]] = here
    for way, here in state.items():
        for at in leaving.get(way[-1], ()):
            driven = (*way, int(turns.after[at]))
            tails = [driven[start:] for start in range(len(driven) - 1)]  # the longest first
            if not any(end in banned for end in tails):
                there = next((state[end] for end in tails if end in state), driven[-1])
                rows.append((here, there, int(turns.ms[at])))
    more = np.array(rows, dtype=np.int32).reshape(-1, 3)
    return Turns(
        np.concatenate([turns.edge, np.array([way[-1] for way in beginnings], dtype=np.int32)]),
        np.concatenate([turns.before[keep], more[:, 0]]),
        np.concatenate([after[keep], more[:, 1]]),
        np.concatenate([turns.ms[keep], more[:, 2]]),
    )


def not_through(turns: Turns, private: BoolArray) -> Turns:
    """The same where nobody drives through private roads: only the ends of a way may lie on them, one or both.

    `private` has shape (edges,). Takes a graph in which every edge can be reached from every other, and leaves it so.
    Public roads that only private ones lead to are taken for private; where less than half of all edges are public
    then, nothing is changed.
    """
    public = ~private & connected_edges(turns, ~private)
    if 2 * public.sum() < len(private):
        return turns
    closed = np.flatnonzero(~public[turns.edge])  # states that have a twin, which has come from a public road
    twin = np.full(len(turns.edge), NO_EDGE, dtype=np.int32)
    twin[closed] = len(turns.edge) + np.arange(len(closed))
    from_public, to_public = public[turns.edge[turns.before]], public[turns.edge[turns.after]]
    inside = ~from_public & ~to_public
    before = np.concatenate([turns.before, twin[turns.before[inside]]])
    after = np.concatenate(
        [np.where(from_public & ~to_public, twin[turns.after], turns.after), twin[turns.after[inside]]]
    )
    order = np.lexsort((after, before))
    edge = np.concatenate([turns.edge, turns.edge[closed]])
    return Turns(edge, before[order], after[order], np.concatenate([turns.ms, turns.ms[inside]])[order])


def connected_edges(turns: Turns, among: BoolArray | None = None) -> BoolArray:
    """The edges of the largest part in which every edge can be reached from every other, shape (edges,).

    Only edges `among` are driven, shape (edges,); all where it is None.
    """
    states = len(turns.edge)
    driven = np.ones(states, dtype=np.bool_) if among is None else among[turns.edge]
    use = driven[turns.before] & driven[turns.after]
    links = sparse.csr_matrix((np.ones(use.sum()), (turns.before[use], turns.after[use])), shape=(states, states))
    _, part = connected_components(links, directed=True, connection="strong")
    largest = np.bincount(part).argmax()
    edges = np.zeros(int(turns.edge.max()) + 1, dtype=np.bool_)
    edges[turns.edge[part == largest]] = True
    return edges


def renumbered(turns: Turns, rows: Int64Array) -> Turns:
    """The turns among some edges, `rows`, in a new order: row i becomes edge i."""
    new_edge = np.full(int(turns.edge.max()) + 1, NO_EDGE, dtype=np.int32)
    new_edge[rows] = np.arange(len(rows), dtype=np.int32)
    edge = new_edge[turns.edge]
    further = np.flatnonzero(edge[len(new_edge) :] != NO_EDGE) + len(new_edge)
    state = np.full(len(turns.edge), NO_EDGE, dtype=np.int32)
    state[rows] = np.arange(len(rows))
    state[further] = len(rows) + np.arange(len(further))
    keep = (state[turns.before] != NO_EDGE) & (state[turns.after] != NO_EDGE)
    before, after, ms = state[turns.before[keep]], state[turns.after[keep]], turns.ms[keep]
    order = np.lexsort((after, before))
    edges = np.concatenate([np.arange(len(rows), dtype=np.int32), edge[further]])
    return Turns(edges, before[order], after[order], ms[order])
