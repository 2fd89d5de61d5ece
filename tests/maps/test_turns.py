"""The graph of turns keeps exactly the ways that the rules allow."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.sparse as sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import dijkstra

from maps.roads import RoadGraph
from maps.turns import Turns, connected_edges, forbid, free_turns, meeting, not_through, renumbered
from tests.maps.graphs import Rules, Street, graph_of, graphs, rules


def ways_of(turns: Turns, length: int) -> set[tuple[int, ...]]:
    """Every way of so many edges that starts on an edge and follows turns."""
    onward: dict[int, list[int]] = {}
    for before, after in zip(turns.before.tolist(), turns.after.tolist(), strict=True):
        onward.setdefault(before, []).append(after)
    edges = [edge for state, edge in enumerate(turns.edge.tolist()) if state == edge]
    ways = [(edge,) for edge in edges]
    for _ in range(length - 1):
        ways = [(*way, after) for way in ways for after in onward.get(way[-1], ())]
    return {tuple(int(turns.edge[state]) for state in way) for way in ways}


def allowed(law: Rules, way: tuple[int, ...]) -> bool:
    return all(pair in law.ms for pair in pairwise(way)) and not any(
        way[at : at + len(ban)] == ban for ban in law.ways for at in range(len(way))
    )


@settings(deadline=None)
@given(st.data(), graphs())
def test_a_way_exists_exactly_where_no_rule_forbids_it(data: st.DataObject, roads: RoadGraph) -> None:
    law = data.draw(rules(roads))
    found = ways_of(law.turns(roads), 4)
    before, after = meeting(roads.tail, roads.head)
    pairs = set(zip(before.tolist(), after.tolist(), strict=True))
    every = [(edge,) for edge in range(roads.edge_count)]
    for _ in range(3):
        every = [(*way, edge) for way in every for edge in range(roads.edge_count) if (way[-1], edge) in pairs]
    assert found == {way for way in every if allowed(law, way)}


@given(graphs())
def test_a_car_turns_round_only_where_it_cannot_go_on(roads: RoadGraph) -> None:
    turns = free_turns(roads)
    pairs = set(zip(turns.before.tolist(), turns.after.tolist(), strict=True))
    for before in range(roads.edge_count):
        onward = {edge for edge in range(roads.edge_count) if roads.tail[edge] == roads.head[before]}
        back = int(roads.opposite[before])
        expected = onward if onward == {back} else onward - {back}
        assert {after for edge, after in pairs if edge == before} == expected


def test_overlapping_forbidden_ways_are_each_kept() -> None:
    roads = graph_of([Street(place, place + 1, False, 36.0, (0.1, 0.0)) for place in range(4)])  # edges 0, 1, 2, 3
    straight = free_turns(roads)
    assert (0, 1, 2) not in ways_of(forbid(straight, [(0, 1, 2), (1, 2, 3)]), 3)
    assert ways_of(forbid(straight, [(0, 1, 2, 3)]), 3) == {(0, 1, 2), (1, 2, 3)}
    assert ways_of(forbid(straight, [(0, 1, 2, 3)]), 4) == set()
    assert ways_of(forbid(straight, [(0, 2)]), 4) == {(0, 1, 2, 3)}  # no such turn: nothing to forbid


@settings(deadline=None)
@given(st.data(), graphs())
def test_the_connected_part_leads_everywhere_and_keeps_its_rules_when_it_is_renumbered(
    data: st.DataObject, roads: RoadGraph
) -> None:
    turns = data.draw(rules(roads)).turns(roads)
    inside = np.flatnonzero(connected_edges(turns))
    order = np.array(data.draw(st.permutations(inside.tolist())))
    part = renumbered(turns, order)
    assert part.edge[: len(order)].tolist() == list(range(len(order)))
    named = {tuple(int(order[edge]) for edge in way) for way in ways_of(part, 3)}
    assert named == {way for way in ways_of(turns, 3) if set(way) <= set(inside.tolist())}
    assert (np.diff(part.before) >= 0).all()
    if len(order) > 1:
        assert connected_edges(part).all()


@settings(deadline=None)
@given(st.data(), graphs())
def test_private_roads_are_ends_of_ways_alone_and_everything_stays_reachable(
    data: st.DataObject, roads: RoadGraph
) -> None:
    turns = data.draw(rules(roads)).turns(roads)
    part = renumbered(turns, np.flatnonzero(connected_edges(turns)))
    edges = int(part.edge.max()) + 1
    private = np.array(data.draw(st.lists(st.booleans(), min_size=edges, max_size=edges)))
    limited = not_through(part, private)
    closed = set(limited.edge[len(part.edge) :].tolist())
    if closed:
        assert set(np.flatnonzero(private).tolist()) <= closed
    assert ways_of(limited, 5) == {way for way in ways_of(part, 5) if not passes_through(way, closed)}
    assert (np.diff(limited.before) >= 0).all()
    for edge in range(edges):
        reached, reached_before = (
            set(each.edge[np.isfinite(dijkstra(links_of(each), indices=edge))].tolist()) for each in (limited, part)
        )
        assert reached == reached_before


def links_of(turns: Turns) -> sparse.csr_matrix:
    """The turns as a matrix of states."""
    ends, states = (turns.before, turns.after), len(turns.edge)
    return sparse.csr_matrix((np.ones(len(turns.before)), ends), shape=(states, states))


def passes_through(way: tuple[int, ...], private: set[int]) -> bool:
    """Whether it leaves a private road for a public one after it has been on a public one."""
    been_public = False
    for before, after in pairwise(way):
        been_public |= before not in private
        if been_public and before in private and after not in private:
            return True
    return False
