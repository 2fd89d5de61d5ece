"""Dead ends are found whole, with the junction they hang on."""

from __future__ import annotations

from maps.deadends import THROUGH, dead_end_gates
from tests.maps.graphs import Street, graph_of


def street(start: int, end: int) -> Street:
    return Street(start, end, True, 30.0, (0.1, 0.0))


def test_a_branching_dead_end_hangs_on_the_ring() -> None:
    ring = [street(0, 1), street(1, 6), street(6, 0)]
    branch = [street(6, 11), street(11, 16), street(11, 12)]
    roads = graph_of(ring + branch)  # nodes in order of places: 0, 1, 6, 11, 12, 16
    assert dead_end_gates(roads).tolist() == [THROUGH, THROUGH, THROUGH, 2, 2, 2]


def test_of_a_part_without_a_ring_one_junction_stays() -> None:
    gates = dead_end_gates(graph_of([street(0, 1), street(1, 2), street(2, 3), street(7, 8)]))
    assert (gates[:4] == THROUGH).sum() == 1
    assert (gates[4:] == THROUGH).sum() == 1
    assert all(gates[gate] == THROUGH for gate in gates.tolist() if gate != THROUGH)


def test_parallel_streets_and_loops_are_no_dead_end_of_their_own() -> None:
    gates = dead_end_gates(
        graph_of([street(0, 1), street(0, 1), street(1, 1), street(0, 5), street(5, 6), street(6, 0)])
    )
    assert gates.tolist() == [THROUGH, 0, THROUGH, THROUGH]
