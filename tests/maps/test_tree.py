"""The elimination tree separates the graph of turns, whatever the graph."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from maps.dissection import cut_order
from maps.roads import RoadGraph
from maps.tree import Tree, build_tree
from tests.maps.graphs import Street, graph_of, graphs, rules


def ancestors(tree: Tree, number: int) -> list[int]:
    """A state and all above it, root first; a state's parent is the last that it is joined to."""
    line = [number]
    while tree.depth[line[0]]:
        line.insert(0, int(tree.up[tree.first[line[0] + 1] - 1]))
    return line


@settings(deadline=None)
@given(st.data(), graphs())
def test_every_turn_joins_a_state_and_its_ancestor(data: st.DataObject, roads: RoadGraph) -> None:
    turns = data.draw(rules(roads)).turns(roads)
    tree = build_tree(roads, turns)
    assert sorted(tree.number.tolist()) == list(range(len(turns.edge)))
    lines = [ancestors(tree, number) for number in range(len(turns.edge))]
    for number, line in enumerate(lines):
        assert len(line) == tree.depth[number] + 1
        assert line == sorted(line)
    for turn, (before, after) in enumerate(zip(turns.before, turns.after, strict=True)):
        start, end = int(tree.number[before]), int(tree.number[after])
        if start == end:
            assert tree.slot[turn] == -1
            continue
        above, below = min(start, end), max(start, end)
        assert above in lines[below]
        assert tree.first[below] <= tree.slot[turn] < tree.first[below + 1]
        assert tree.up[tree.slot[turn]] == above
        assert tree.rises[turn] == (end == above)


@settings(deadline=None, max_examples=50)
@given(graphs(), st.data())
def test_the_least_depth_between_two_states_counts_their_common_ancestors(
    roads: RoadGraph, data: st.DataObject
) -> None:
    tree = build_tree(roads, data.draw(rules(roads)).turns(roads))
    count = len(tree.depth)
    for low in range(count):
        for high in range(low + 1, count):
            common = set(ancestors(tree, low)) & set(ancestors(tree, high))
            row = (high - low).bit_length() - 1
            assert len(common) == min(tree.lowest[row, low + 1], tree.lowest[row, high - (1 << row) + 1])


@given(graphs())
@settings(deadline=None)
def test_edges_between_the_same_junctions_fall_to_the_same_cut(roads: RoadGraph) -> None:
    cut = cut_order(roads)
    assert (cut >= 0).all()
    for a in range(roads.edge_count):
        for b in range(a):
            if {int(roads.tail[a]), int(roads.head[a])} == {int(roads.tail[b]), int(roads.head[b])}:
                assert cut[a] == cut[b]


def test_two_quarters_and_the_bridge_between_them_are_cut_at_the_bridge() -> None:
    def quarter(first: int) -> list[Street]:
        rows = range(first, first + 10, 5)
        return [Street(row + a, row + a + 1, True, 36.0, (0.1, 0.0)) for row in rows for a in range(3)] + [
            Street(first + a, first + a + 5, True, 36.0, (0.0, 0.1)) for a in range(4)
        ]

    roads = graph_of([*quarter(0), *quarter(15), Street(6, 16, True, 36.0, (0.1, 0.1))])
    first_cut = np.flatnonzero(cut_order(roads) == 0)
    assert first_cut.tolist() == [roads.edge_count - 2, roads.edge_count - 1]
