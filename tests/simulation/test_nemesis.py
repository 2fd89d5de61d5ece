"""A schedule is the seed's alone, and every fault has its turn."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.nemesis import family, schedule

POSSIBLE = [("kill", "engine"), ("pause", "engine"), ("cut", "riders"), ("cut", "drivers")]


@given(st.integers(), st.integers(1, 60))
def test_the_same_seed_gives_the_same_faults(seed: int, count: int) -> None:
    first, second = (list(itertools.islice(schedule(POSSIBLE, seed), count)) for _ in range(2))
    assert first == second


def test_another_seed_gives_other_faults() -> None:
    schedules = {tuple(itertools.islice(schedule(POSSIBLE, seed), 20)) for seed in range(10)}
    assert len(schedules) == 10


@given(st.integers(), st.integers(1, 60))
def test_no_fault_comes_again_before_all_others_have_come(seed: int, count: int) -> None:
    faults = Counter((fault.kind, fault.target) for fault in itertools.islice(schedule(POSSIBLE, seed), count))
    times = [faults[each] for each in POSSIBLE]
    assert max(times) - min(times) <= 1


@given(st.integers())
def test_the_order_in_which_faults_are_offered_does_not_matter(seed: int) -> None:
    first, second = (list(itertools.islice(schedule(each, seed), 9)) for each in (POSSIBLE, POSSIBLE[::-1]))
    assert first == second


@given(st.integers())
def test_each_role_and_server_is_lost_before_another_host_of_a_role_is(seed: int) -> None:
    hosts = ["gateway1", "gateway2", "kafka 1", "kafka 2", "kafka 3", "haproxy"]
    possible = [(kind, host) for host in hosts for kind in ("kill", "pause", "drain")]
    faults = list(itertools.islice(schedule(possible, seed), 7))
    assert Counter((fault.kind, family(fault.target)) for fault in faults if fault.kind != "drain") == dict.fromkeys(
        itertools.product(("kill", "pause"), ("gateway", "kafka", "haproxy")), 1
    )
    assert [fault.kind for fault in faults].count("drain") == 1


def test_without_anything_that_could_go_wrong_there_is_no_schedule() -> None:
    with pytest.raises(ValueError, match="nothing"):
        next(schedule([], 1))
