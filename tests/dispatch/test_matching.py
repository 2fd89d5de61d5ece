"""The assignment of many requests at once, against scipy's solvers."""

from __future__ import annotations

from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from core.geo import IntArray
from dispatch.matching import LARGEST, NOBODY, Pairs, match

OUT_OF_REACH = 10**15


class Problem(NamedTuple):
    pairs: Pairs
    leaving: IntArray
    n_drivers: int

    def cost(self, chosen: IntArray) -> int:
        """What an answer costs; fails when it is none."""
        served = chosen != NOBODY
        request = np.repeat(np.arange(len(self.leaving)), np.diff(self.pairs.first))
        drivers = self.pairs.driver[chosen[served]]
        assert (request[chosen[served]] == np.flatnonzero(served)).all(), "a pair of another request"
        assert len(set(drivers.tolist())) == len(drivers), "a driver serves two requests"
        return int(self.pairs.cost[chosen[served]].sum() + self.leaving[~served].sum())


def problem(rows: list[dict[int, int]], leaving: list[int], n_drivers: int) -> Problem:
    """`rows` has the cost by driver of each request."""
    first = np.cumsum([0, *(len(row) for row in rows)])
    driver = np.array([slot for row in rows for slot in row], dtype=np.int64)
    cost = np.array([cost for row in rows for cost in row.values()], dtype=np.int64)
    return Problem(Pairs(first, driver, cost), np.array(leaving, dtype=np.int64), n_drivers)


def least_cost(asked: Problem) -> int:
    """By a dense solver: each request may also take a column of its own, at the cost of leaving it."""
    count = len(asked.leaving)
    table = np.full((count, asked.n_drivers + count), OUT_OF_REACH)
    for request in range(count):
        for pair in range(asked.pairs.first[request], asked.pairs.first[request + 1]):
            slot = asked.pairs.driver[pair]
            table[request, slot] = min(table[request, slot], asked.pairs.cost[pair])
        table[request, asked.n_drivers + request] = asked.leaving[request]
    return int(table[linear_sum_assignment(table)].sum())


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Few drivers and few distinct costs, so that requests contend and ties happen."""
    n_drivers = draw(st.integers(1, 7))
    costs = draw(st.sampled_from([st.integers(-3, 3), st.integers(0, 10_000), st.sampled_from([0, 1, 10**12])]))
    rows = draw(st.lists(st.dictionaries(st.integers(0, n_drivers - 1), costs, max_size=n_drivers), max_size=9))
    leaving = draw(st.lists(st.one_of(costs, st.just(10**13)), min_size=len(rows), max_size=len(rows)))
    return problem(rows, leaving, n_drivers)


@settings(deadline=None)  # the first call compiles
@given(problems())
@example(problem([], [], 3))
@example(problem([{}, {}], [5, -5], 1))
def test_the_whole_costs_the_least(asked: Problem) -> None:
    assert asked.cost(match(*asked)) == least_cost(asked)


@settings(deadline=None)
@given(problems())
def test_the_same_arrays_give_the_same_answer(asked: Problem) -> None:
    assert match(*asked).tolist() == match(*asked).tolist()


@pytest.mark.parametrize("seed", range(8))
def test_crowds_cost_what_a_sparse_solver_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, n_drivers, each = (300, 900, 8) if seed % 2 else (400, 250, 12)
    driver = np.concatenate([rng.permutation(n_drivers)[:each] for _ in range(count)])
    cost = np.sort(rng.integers(1, 1_000_000, (count, each)), axis=1).ravel()
    leaving = rng.integers(300_000, 10_000_000, count)
    asked = Problem(Pairs(np.arange(count + 1) * each, driver, cost), leaving, n_drivers)
    request = np.repeat(np.arange(count), each)
    table = csr_array(
        (
            np.concatenate([cost, leaving]),
            (np.concatenate([request, np.arange(count)]), np.concatenate([driver, n_drivers + np.arange(count)])),
        ),
        shape=(count, n_drivers + count),
    )
    assert asked.cost(match(*asked)) == int(table[min_weight_full_bipartite_matching(table)].sum())


def test_a_request_is_left_when_serving_it_costs_more() -> None:
    asked = problem([{0: 100}, {0: 150, 1: 900}], [800, 700], 2)
    assert match(*asked).tolist() == [0, NOBODY]


def test_who_has_waited_longer_is_served_where_one_driver_is_left() -> None:
    waited_long, came_now = 900, 300
    assert match(*problem([{0: 60}, {0: 50}], [came_now, waited_long], 1)).tolist() == [NOBODY, 1]
    assert match(*problem([{0: 60}, {0: 50}], [waited_long, came_now], 1)).tolist() == [0, NOBODY]


def test_a_driver_given_twice_for_a_request_counts_at_the_lower_cost() -> None:
    pairs = Pairs(np.array([0, 2]), np.array([0, 0]), np.array([70, 40]))
    assert match(pairs, np.array([100]), 1).tolist() == [1]


def test_the_largest_costs_are_summed_exactly() -> None:
    asked = problem([{0: LARGEST, 1: LARGEST - 1}, {0: -LARGEST, 1: LARGEST - 3}], [LARGEST, LARGEST], 2)
    assert match(*asked).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("first", "driver", "cost", "leaving"),
    [
        ([0, 1], [2], [5], [9]),  # a slot too high
        ([0, 1], [-1], [5], [9]),
        ([0, 1], [0], [LARGEST + 1], [9]),
        ([0, 1], [0], [5], [-LARGEST - 1]),
        ([0, 2, 1], [0], [5], [9, 9]),  # bounds that fall
        ([0, 1], [0], [5], [9, 9]),
        ([0, 2], [0], [5], [9]),
        ([1, 1], [0], [5], [9]),
        ([0, 1], [0], [5, 6], [9]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    first: list[int], driver: list[int], cost: list[int], leaving: list[int]
) -> None:
    with pytest.raises(ValueError, match="cost"):
        match(Pairs(np.array(first), np.array(driver), np.array(cost)), np.array(leaving), 2)
