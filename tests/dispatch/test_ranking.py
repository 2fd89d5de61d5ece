from __future__ import annotations

import dataclasses

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from dispatch.model import Weights
from dispatch.ranking import FEATURES, Candidates, rank, why
from tests.dispatch.pure import candidates


def of(*rows: tuple[str, float, float, float, float]) -> Candidates:
    """(driver, pickup_eta_s, idle_s, rating, acceptance) a row."""
    driver, *columns = zip(*rows, strict=True)
    nobody_waits = np.full(len(rows), np.inf)
    return Candidates(np.array(driver), *(np.array(column, dtype=np.float64) for column in columns), nobody_waits)


def names(ranked: Candidates, weights: Weights | None = None) -> list[str]:
    return list(ranked.driver[rank(ranked, weights or Weights()).order].tolist())


def test_nearer_driver_comes_first_when_all_else_is_equal() -> None:
    assert names(of(("far", 300, 60, 4.5, 0.9), ("near", 120, 60, 4.5, 0.9))) == ["near", "far"]


def test_weights_are_seconds_of_pickup_time() -> None:
    weights = Weights(seconds_per_idle_minute=3, seconds_per_rating_point=10, seconds_per_acceptance=40)
    ranking = rank(of(("a", 100, 120, 4.0, 0.5)), weights)
    assert dict(zip(FEATURES, ranking.contributions[0].tolist(), strict=True)) == {
        "pickup": 100,
        "idle": -6,
        "rating": 10,
        "acceptance": 20,
    }
    assert ranking.scores.tolist() == [124]


def test_idling_is_worth_no_more_than_its_cap() -> None:
    day, half_hour = of(("a", 100, 86_400, 5, 1)), of(("a", 100, 1_800, 5, 1))
    assert rank(day, Weights(idle_cap_min=30)).scores == rank(half_hour, Weights(idle_cap_min=30)).scores


def test_unknown_drivers_count_as_the_citys_mean() -> None:
    weights = Weights(unknown_rating=4.5, unknown_acceptance=0.7)
    nan = float("nan")
    assert rank(of(("a", 60, 0, nan, nan)), weights).scores == rank(of(("a", 60, 0, 4.5, 0.7)), weights).scores


def test_ties_go_to_the_longer_idle_driver_then_to_the_lower_id() -> None:
    weights = Weights(seconds_per_idle_minute=0)
    assert names(of(("c", 60, 10, 5, 1), ("b", 60, 10, 5, 1), ("a", 60, 5, 5, 1)), weights) == ["b", "c", "a"]


def test_unreachable_drivers_are_left_out() -> None:
    assert names(of(("cut_off", float("inf"), 60, 5, 1), ("near", 60, 60, 5, 1))) == ["near"]


def test_who_waits_in_line_comes_first_in_the_order_of_the_line() -> None:
    drivers = of(
        ("near", 10, 60, 5, 1), ("second", 90, 900, 5, 1), ("first", 300, 0, 4, 0.5), ("cut_off", np.inf, 0, 5, 1)
    )
    in_line = dataclasses.replace(drivers, place_in_line=np.array([np.inf, 2, 1, 0]))
    assert names(in_line) == ["first", "second", "near"]
    ranking = rank(in_line, Weights())
    assert why(ranking, 0).startswith("1 of 3: number 1 in line, 300 s away")
    assert why(ranking, 2).startswith("3 of 3: 10 s away")


def test_the_reason_names_rank_and_features_that_matter() -> None:
    ranking = rank(of(("a", 95, 720, 4.8, 1.0), ("b", 400, 0, 5, 1)), Weights())
    assert why(ranking, 0) == "1 of 2: 95 s away, -24 idle, +4 rating"


@given(candidates())
def test_order_does_not_depend_on_the_order_of_the_input(given_candidates: Candidates) -> None:
    backwards = Candidates(*(getattr(given_candidates, f.name)[::-1] for f in dataclasses.fields(given_candidates)))
    assert names(given_candidates) == names(backwards)


@given(candidates(), st.data())
def test_a_drivers_score_does_not_depend_on_who_else_is_there(every: Candidates, data: st.DataObject) -> None:
    ranking = rank(every, Weights())
    if len(ranking) == 0:
        return
    place = data.draw(st.integers(0, len(ranking) - 1))
    row = ranking.order[place : place + 1]
    alone = Candidates(*(getattr(every, f.name)[row] for f in dataclasses.fields(every)))
    assert rank(alone, Weights()).scores[0] == ranking.scores[place]


@given(candidates())
def test_contributions_add_up_to_the_score(given_candidates: Candidates) -> None:
    ranking = rank(given_candidates, Weights())
    assert ranking.contributions.shape == (len(ranking), len(FEATURES))
    np.testing.assert_allclose(ranking.contributions.sum(axis=1), ranking.scores, rtol=0, atol=1e-9)


@given(candidates())
def test_scores_ascend_by_place_in_line_and_each_reachable_driver_stands_once(given_candidates: Candidates) -> None:
    ranking = rank(given_candidates, Weights())
    scores_of = {place: ranking.scores[ranking.place_in_line == place] for place in (1.0, 2.0, np.inf)}
    assert all((np.diff(scores) >= 0).all() for scores in scores_of.values())
    assert sorted(ranking.place_in_line.tolist()) == ranking.place_in_line.tolist()
    assert sorted(ranking.order.tolist()) == np.flatnonzero(np.isfinite(given_candidates.pickup_eta_s)).tolist()
