"""Mode batch: windows, cabs about to finish, assignments that stay open, spreading, and the bound from hindsight."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decider import rules
from core.errors import InvalidInput
from runtime.settings import Settings
from runtime.simulator_settings import SimulatorSettings
from simulator.batch import BatchEngine
from simulator.bound import WORTH_S, hindsight_bound
from simulator.model import OpenUntil, Outcomes, RawTrips, SimulationAsk, quiet
from simulator.net import Net, build_net, trips_on
from simulator.outlook import Outlook, spread
from simulator.scenario import Scenario, place_trips
from simulator.service import batch_engine
from tests.simulator.plane import STEP, PlaneCity

Ride = tuple[float, int, int]  # second, steps east of the pickup, steps east of the dropoff

LIMITS = SimulatorSettings()
RULES = rules(Settings())
CITY = PlaneCity()
ASK = SimulationAsk(trips=None, drivers=1, mode="batch", max_wait_s=300.0)


@pytest.fixture(scope="module")
def net() -> Net:
    return build_net(CITY, quiet, 10_000)


def scenario_of(rides: Sequence[Ride], starts: Sequence[int]) -> Scenario:
    n = len(rides)
    at, pickup, dropoff = (np.array(column, dtype=np.float64) for column in zip(*rides, strict=True))
    raw = RawTrips(
        [str(row) for row in range(n)], 1e9 + at, np.zeros(n), pickup * STEP, np.zeros(n), dropoff * STEP,
        np.ones(n, dtype=np.int64), [None] * n,
    )  # fmt: skip
    return place_trips(raw, (np.zeros(len(starts)), np.array(starts) * STEP), CITY, quiet)


def random_scenario(seed: int, requests: int, cabs: int) -> Scenario:
    rng = np.random.default_rng(seed)
    at = np.sort(np.round(rng.random(requests) * 1_800, 1)).tolist()
    ends = 20 * rng.integers(0, 40, (requests, 2))
    return scenario_of(
        [(t, int(a), int(b)) for t, (a, b) in zip(at, ends, strict=True)], (20 * rng.integers(0, 40, cabs)).tolist()
    )


def played(
    net: Net, scenario: Scenario, ask: SimulationAsk = ASK, limits: SimulatorSettings = LIMITS
) -> tuple[Outcomes, BatchEngine]:
    engine = batch_engine(ask, (CITY, net, scenario), RULES, limits)
    return engine.run(quiet), engine


def check(scenario: Scenario, outcomes: Outcomes, max_wait_s: float) -> None:
    """Nobody waits longer than allowed, and no cab has two riders at a time or is at two places."""
    requests, served = scenario.requests, np.flatnonzero(outcomes.served)
    wait_s = (outcomes.pickup_at - requests.at)[served]
    assert ((wait_s >= 0) & (wait_s <= max_wait_s + 0.01)).all()
    assert (outcomes.assigned_at[served] <= outcomes.pickup_at[served] + 0.01).all()
    assert np.allclose((outcomes.dropoff_at - outcomes.pickup_at)[served], requests.direct_s[served], atol=1e-6)
    assert (outcomes.fare_minor[served] >= 0).all()
    for cab in np.unique(outcomes.driver[served]):
        own = served[outcomes.driver[served] == cab]
        own = own[np.argsort(outcomes.pickup_at[own])]
        for before, then in itertools.pairwise(own.tolist()):
            way_s = scenario.places.between(requests.dropoff[[before]], requests.pickup[[then]]).seconds[0]
            assert outcomes.pickup_at[then] >= outcomes.dropoff_at[before] + way_s - 0.01


@pytest.mark.parametrize("reposition", [False, True])
@pytest.mark.parametrize("open_until", ["accept", "pickup"])
def test_everyone_served_is_picked_up_in_time_by_a_cab_that_can_be_there(
    net: Net, open_until: OpenUntil, reposition: bool
) -> None:
    ask = msgspec.structs.replace(ASK, open_until=open_until, reposition=reposition)
    for seed in range(6):
        scenario = random_scenario(seed, 120, 8)
        outcomes, engine = played(net, scenario, ask)
        check(scenario, outcomes, ask.max_wait_s)
        assert outcomes.served.any()
        assert outcomes.empty_m >= np.nansum(outcomes.pickup_m) - 1
        promised_at = engine.book.promised_at + scenario.requests.at[0]
        late_s = (outcomes.pickup_at - promised_at)[outcomes.served]
        assert (late_s <= 0.01).all(), "somebody was picked up later than promised"
        again, _ = played(net, scenario, ask)
        assert np.array_equal(outcomes.driver, again.driver)
        assert np.array_equal(outcomes.pickup_at, again.pickup_at, equal_nan=True)


def test_a_window_is_matched_as_a_whole(net: Net) -> None:
    # one after the other the first rider would take the cab at 100, the second wait 300 s for the one at 0
    scenario = scenario_of([(0, 60, 200), (0, 140, 400)], [0, 100])
    outcomes, _ = played(net, scenario)
    assert outcomes.driver.tolist() == [0, 1]
    assert (outcomes.pickup_at - 1e9).tolist() == pytest.approx([60, 40])


def test_a_cab_about_to_finish_is_waited_for_where_that_is_sooner(net: Net) -> None:
    # the cab at 0 drives 0 -> 100 and is free at 100 s; the other stands 250 s away from the second rider
    scenario = scenario_of([(0, 0, 100), (60, 100, 200)], [0, 360])
    outcomes, _ = played(net, scenario)
    assert outcomes.driver.tolist() == [0, 0]
    assert outcomes.pickup_at[1] - 1e9 == pytest.approx(100, abs=2)
    none_ahead = msgspec.structs.replace(LIMITS, ahead_s=0.0)
    assert played(net, scenario, limits=none_ahead)[0].driver.tolist() == [0, 1]


def test_an_open_assignment_changes_to_a_cab_that_is_nearer_by_then(net: Net) -> None:
    # at 20 s a cab becomes free beside the rider, to whom another has been on its way since 2 s
    scenario = scenario_of([(0, 280, 300), (0, 300, 320), (2, 300, 400)], [280, 0, 300])
    hardly_ahead = msgspec.structs.replace(LIMITS, ahead_s=1.0, ahead_open_s=1.0)
    for open_until in ("accept", "pickup"):
        outcomes, _ = played(net, scenario, msgspec.structs.replace(ASK, open_until=open_until), hardly_ahead)
        assert outcomes.served.all()
        wait_s = outcomes.pickup_at[2] - 1e9 - 2
        assert wait_s > 250 if open_until == "accept" else wait_s < 50


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), requests=st.integers(1, 25), cabs=st.integers(1, 5))
def test_no_run_passes_the_bound(net: Net, seed: int, requests: int, cabs: int) -> None:
    scenario = random_scenario(seed, requests, cabs)
    trips, starts = trips_on(net, CITY, scenario)
    bound = hindsight_bound((trips, net.roads, starts), ASK.max_wait_s, 100)
    for ask in (ASK, msgspec.structs.replace(ASK, open_until="pickup", reposition=True)):
        outcomes, _ = played(net, scenario, ask)
        wait_s = (outcomes.pickup_at - scenario.requests.at)[outcomes.served]
        assert (WORTH_S - wait_s).sum() <= bound + 0.01 * requests


def test_the_bound_of_one_cab_is_worked_out_by_hand(net: Net) -> None:
    # the cab is 100 s from the first, then 40 s late for the second, and never in time for the third
    scenario = scenario_of([(1_000, 100, 200), (1_100, 240, 300), (1_110, 700, 720)], [0])
    trips, starts = trips_on(net, CITY, scenario)
    assert hindsight_bound((trips, net.roads, starts), 300.0, 100) == pytest.approx(600 - 100 + 600 - 40, abs=1)
    with pytest.raises(InvalidInput, match="at most 2"):
        hindsight_bound((trips, net.roads, starts), 300.0, 2)


def test_idle_cabs_wait_where_riders_are_expected() -> None:
    past = Outlook.of(np.array([86_000.0, 86_390.0, 86_410.0, 90_000.0]), np.array([5, 3, 9, 1]))
    assert past.expected(5 * 86_400 - 100, 200).tolist() == [3, 9]  # across midnight
    assert past.expected(3_590, 20).tolist() == [1]
    assert spread(np.array([1, 1, 1, 1, 7, 7, 8, 9]), 4).tolist() == [1, 1, 7, 9]


def test_spreading_serves_those_whom_idle_cabs_would_not_reach(net: Net) -> None:
    rides = [(600.0 + 60 * n, 700, 720) for n in range(5)]
    scenario = scenario_of([(0.0, 0, 20), *rides], [0, 0, 0])
    still, _ = played(net, scenario)
    ask = msgspec.structs.replace(ASK, reposition=True)
    engine = batch_engine(ask, (CITY, net, scenario), RULES, LIMITS)
    engine.past = Outlook.of(scenario.requests.at, trips_on(net, CITY, scenario)[0].pickup)
    assert engine.run(quiet).served.sum() > still.served.sum()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mode": "best", "open_until": "pickup"}, "need mode batch"),
        ({"mode": "broadcast", "reposition": True}, "need mode batch"),
        ({"window_s": 0.0}, "window_s"),
        ({"window_s": 301.0}, "window_s"),
        ({"open_until": "later"}, "open_until"),
    ],
)
def test_an_ask_that_makes_no_sense_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        msgspec.structs.replace(ASK, **change).checked(LIMITS)
