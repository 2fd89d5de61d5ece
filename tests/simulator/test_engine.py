"""The simulation: worked by hand, and what holds of every run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput
from runtime.simulator_settings import SimulatorSettings
from simulator.engine import Engine, Terms
from simulator.model import Outcomes, RawTrips, SimulationAsk, quiet
from simulator.ports import Cabs, Offers, Rules, Search, TravelToPickup
from simulator.report import gini, served_by_length_pct
from simulator.scenario import Scenario, place_trips
from simulator.service import run
from tests.simulator.plane import RULES, STEP, PlaneCity, fare, nobody

Ride = tuple[float, int, int]  # second, steps east of the pickup, steps east of the dropoff

CITY = PlaneCity()


def scenario_of(rides: list[Ride], starts: list[int]) -> Scenario:
    """Rides and cabs on the equator."""
    n = len(rides)
    at, pickup, dropoff = (np.array(column, dtype=np.float64) for column in zip(*rides, strict=True))
    raw = RawTrips(
        [str(row) for row in range(n)], 1e9 + at, np.zeros(n), pickup * STEP, np.zeros(n), dropoff * STEP,
        np.ones(n, dtype=np.int64), [None] * n,
    )  # fmt: skip
    return place_trips(raw, (np.zeros(len(starts)), np.array(starts) * STEP), CITY, quiet)


def played(rides: list[Ride], starts: list[int], max_wait_s: float = 600.0, rules: Rules = RULES) -> Outcomes:
    scenario = scenario_of(rides, starts)
    return Engine(scenario, Terms(rules, "best", max_wait_s)).run(quiet)


def test_a_small_day_comes_out_as_worked_by_hand() -> None:
    # cabs at 0 and 500. At 0 s a ride 100 -> 200: cab 0 is 100 s away, done at 200 s at step 200.
    # At 10 s a ride 450 -> 0: cab 1 is 50 s away, picks up at 60 s, done at 510 s at step 0.
    # At 20 s a ride 260 -> 300: nobody idle; at 200 s cab 0 at step 200 takes it, picks up at 260 s, done at 300 s.
    outcomes = played([(0, 100, 200), (10, 450, 0), (20, 260, 300)], [0, 500])
    assert outcomes.driver.tolist() == [0, 1, 0]
    assert (outcomes.assigned_at - 1e9).tolist() == [0.0, 10.0, 200.0]
    assert (outcomes.pickup_at - 1e9).tolist() == [100.0, 60.0, 260.0]
    assert (outcomes.dropoff_at - 1e9).tolist() == [200.0, 510.0, 300.0]
    assert outcomes.pickup_m.tolist() == [1000.0, 500.0, 600.0]
    assert outcomes.fare_minor.tolist() == [1000, 4500, 400]
    assert outcomes.ended_at - 1e9 == 510.0


def test_a_request_that_no_cab_can_reach_in_time_is_lost_at_its_limit() -> None:
    outcomes = played([(0, 300, 400)], [0], max_wait_s=299)
    assert not outcomes.served.any()
    assert outcomes.ended_at - 1e9 == 299.0
    assert played([(0, 300, 400)], [0], max_wait_s=300).served.all()


def test_the_longest_waiting_rider_who_can_be_reached_in_time_gets_the_cab_that_becomes_free() -> None:
    # the cab is free at 100 s at step 100: the first waiting rider is 700 s away, the second 50 s, the third 10 s
    outcomes = played([(0, 0, 100), (1, 800, 700), (2, 150, 160), (3, 110, 120)], [0], max_wait_s=300)
    assert outcomes.served.tolist() == [True, False, True, True]
    assert (outcomes.assigned_at[2:] - 1e9).tolist() == [100.0, 160.0]


def test_a_cab_that_becomes_free_at_the_moment_of_a_request_is_seen() -> None:
    outcomes = played([(0, 0, 100), (100, 100, 200)], [0])
    assert (outcomes.pickup_at - 1e9).tolist() == [0.0, 100.0]


def test_a_decision_sees_idle_cabs_only_and_what_is_left_of_the_riders_patience() -> None:
    seen: list[tuple[Search, list[int], list[float]]] = []

    def watching(search: Search, cabs: Cabs, travel: TravelToPickup) -> Offers:
        seen.append((search, cabs.driver.tolist(), cabs.idle_s.tolist()))
        return RULES.decide(search, cabs, travel)

    played([(0, 100, 200), (10, 450, 0), (20, 260, 300)], [0, 500], rules=Rules(watching, nobody, fare))
    assert [drivers for _, drivers, _ in seen] == [[0, 1], [1], [0]]
    assert [search.max_pickup_s for search, _, _ in seen] == [600.0, 600.0, 420.0]
    assert [idle for _, _, idle in seen] == [[0.0, 0.0], [10.0], [0.0]]


def test_an_offer_to_a_cab_that_comes_too_late_is_passed_over() -> None:
    def worst_first(search: Search, cabs: Cabs, travel: TravelToPickup) -> Offers:
        offers = RULES.decide(search, cabs, travel)
        return Offers(offers.row[::-1], offers.pickup_s[::-1], offers.pickup_m[::-1])

    outcomes = played([(0, 100, 200)], [0, 700], rules=Rules(worst_first, nobody, fare), max_wait_s=200)
    assert outcomes.driver.tolist() == [0]


rides = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 890), st.integers(0, 890)), min_size=1, max_size=40)
starts = st.lists(st.integers(0, 890), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(rides, starts, st.sampled_from([60.0, 300.0, 900.0]))
def test_what_holds_of_every_run(rides: list[Ride], starts: list[int], max_wait_s: float) -> None:
    scenario = scenario_of(rides, starts)
    terms = Terms(RULES, "best", max_wait_s)
    outcomes = Engine(scenario, terms).run(quiet)
    at, served = scenario.requests.at, outcomes.served
    wait_s = outcomes.pickup_at[served] - at[served]
    assert (wait_s >= 0).all()
    assert (wait_s <= max_wait_s).all()
    assert (outcomes.assigned_at[served] >= at[served]).all()
    assert np.isnan(outcomes.pickup_at[~served]).all()
    for cab in range(len(starts)):
        mine = np.flatnonzero(outcomes.driver == cab)
        mine = mine[np.argsort(outcomes.assigned_at[mine], kind="stable")]
        assert (outcomes.dropoff_at[mine[:-1]] <= outcomes.assigned_at[mine[1:]]).all()  # never on two trips at once
        where = [starts[cab] * STEP, *scenario.lng[scenario.requests.dropoff[mine]]]
        way_m = np.abs(np.array(where[:-1]) - scenario.lng[scenario.requests.pickup[mine]]) / STEP * 10
        assert np.allclose(way_m, outcomes.pickup_m[mine], atol=0.02)  # cabs do not jump


@settings(max_examples=60, deadline=None)
@given(rides, starts, st.sampled_from([60.0, 300.0, 900.0]))
def test_nobody_is_lost_while_an_idle_cab_could_come_in_time(
    rides: list[Ride], starts: list[int], max_wait_s: float
) -> None:
    scenario = scenario_of(rides, starts)
    outcomes = Engine(scenario, Terms(RULES, "best", max_wait_s)).run(quiet)
    requests = scenario.requests
    for lost in np.flatnonzero(~outcomes.served):
        now, pickup = requests.at[lost], scenario.lng[requests.pickup[lost]]
        for cab, start in enumerate(starts):  # where each cab was is worked out again, from the outcomes alone
            before = [ride for ride in np.flatnonzero(outcomes.driver == cab) if outcomes.assigned_at[ride] <= now]
            last = max(before, key=lambda ride: outcomes.dropoff_at[ride], default=None)
            if last is not None and outcomes.dropoff_at[last] > now:
                continue  # on a trip
            where = start * STEP if last is None else scenario.lng[requests.dropoff[last]]
            assert abs(where - pickup) / STEP > max_wait_s - 0.01


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    def said(seed: int, out: str) -> tuple[dict[str, object], bytes]:
        ask = SimulationAsk(trips=None, drivers=12, seed=seed, out=tmp_path / out)
        report = json.loads(run(ask, CITY, RULES).to_json())
        assert json.loads((tmp_path / out / "report.json").read_bytes()) == report
        del report["wall_s"], report["speedup"]
        return report, (tmp_path / out / "trips.csv").read_bytes()

    assert said(5, "a") == said(5, "b")
    assert said(5, "a") != said(6, "c")


def test_the_report_has_the_keys_of_the_contract_and_adds_up(tmp_path: Path) -> None:
    report = run(SimulationAsk(trips=None, drivers=9, out=tmp_path), CITY, RULES)
    said = json.loads(report.to_json())
    assert " ".join(said) == (
        "requests served served_pct cancelled rejected_rows wait_s match_s pickup_km_mean driver drivers sim_s wall_s "
        "speedup mode seed h1_pct bound served_by_length_pct"
    )
    assert list(said["wait_s"]) == ["mean", "p50", "p95"]
    assert list(said["match_s"]) == ["mean", "p95"]
    welfare = ["empty_km_mean", "earned_per_hour_mean", "earned_per_hour_p10", "idle_s_p95"]
    assert list(said["driver"]) == ["utilisation_pct", "empty_km_pct", "earnings_gini", *welfare]
    assert len(said["served_by_length_pct"]) == 4
    assert (said["drivers"], said["cancelled"], said["h1_pct"], said["bound"]) == (9, 0, None, None)
    with (tmp_path / "trips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    statuses = [row["status"] for row in rows]
    assert len(rows) == 9 * 18
    assert statuses.count("served") == report.served
    assert statuses.count("unserved") == report.requests - report.served
    assert statuses.count("rejected") == sum(report.rejected_rows.values())
    waits = [float(row["wait_s"]) for row in rows if row["status"] == "served"]
    assert report.wait_s.mean == pytest.approx(np.mean(waits), abs=0.002)


def test_figures_of_a_run_worked_by_hand(tmp_path: Path) -> None:
    trips = tmp_path / "trips.csv"
    trips.write_text(
        "request_time,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng\n"
        "2026-01-05T08:00:00Z,0,0.0100,0,0.0200\n"
        "2026-01-05T08:00:10Z,0,0.0450,0,0.0000\n"
        "2026-01-05T08:00:20Z,0,0.0260,0,0.0300\n"
    )
    fleet = tmp_path / "fleet.csv"
    fleet.write_text("lat,lng\n0,0\n0,0.05\n")
    report = run(SimulationAsk(trips=trips, fleet=fleet), CITY, RULES)
    assert (report.requests, report.served, report.served_pct, report.drivers) == (3, 3, 100.0, 2)
    assert (report.wait_s.mean, report.wait_s.p50) == (130.0, 100.0)  # 100, 50, 240
    assert report.match_s.mean == 60.0  # 0, 0, 180
    assert report.pickup_km_mean == 0.7
    assert report.sim_s == 510.0
    assert report.driver.utilisation_pct == round(100 * 590 / 1020, 3)
    assert report.driver.empty_km_pct == round(100 * 2.1 / 8.0, 3)
    assert report.driver.earnings_gini == round((4500 - 1400) / (2 * 5900), 4)
    assert report.driver.empty_km_mean == 1.05
    assert report.driver.earned_per_hour_mean == round(5900 / 2 * 3600 / 510, 3)
    assert report.driver.earned_per_hour_p10 == round((1400 + 0.1 * 3100) * 3600 / 510, 3)
    assert report.driver.idle_s_p95 == 200.0  # 10 and 210


def test_quarters_by_length_and_gini() -> None:
    served = np.array([True, True, False, True, False, False, True, False])
    length = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
    assert served_by_length_pct(length, served) == [100.0, 50.0, 0.0, 50.0]
    assert served_by_length_pct(np.array([1.0]), np.array([True])) == [100.0, None, None, None]
    assert gini(np.array([5.0, 5.0])) == 0
    assert gini(np.array([0.0, 0.0, 0.0, 8.0])) == 0.75
    assert gini(np.zeros(3)) is None


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"drivers": 0}, "drivers"),
        ({"drivers": None}, "either drivers"),
        ({"fleet": Path("fleet.csv")}, "either drivers"),
        ({"max_wait_s": 0.0}, "max_wait_s"),
        ({"max_wait_s": float("nan")}, "max_wait_s"),
        ({"seed": -1}, "seed"),
        ({"mode": "all"}, "mode"),
    ],
)
def test_an_ask_that_breaks_a_rule_names_the_field(changes: dict[str, object], names: str) -> None:
    fields: dict[str, object] = {"trips": None, "drivers": 5} | changes
    with pytest.raises(InvalidInput, match=names):
        SimulationAsk(**fields).checked(SimulatorSettings())  # type: ignore[arg-type]
