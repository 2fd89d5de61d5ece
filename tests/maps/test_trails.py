"""Trails lose what cannot be true, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.geo import FloatArray, LatLng, haversine_m, hops_m
from maps.trails import DrivenTrail, with_stands_as_places, without_jumps
from runtime.driven_settings import DrivenSettings

SETTINGS = DrivenSettings()
DEGREE_M = 111_195.0


def northward(metres: FloatArray, at_s: FloatArray) -> DrivenTrail:
    return DrivenTrail(57.7 + metres / DEGREE_M, np.full(len(metres), 11.97), at_s)


def steady(count: int = 60, mps: float = 10.0) -> DrivenTrail:
    at_s = 5.0 * np.arange(count)
    return northward(mps * at_s, at_s)


def moved(trail: DrivenTrail, rows: slice, degrees: float) -> DrivenTrail:
    lat = trail.lat.copy()
    lat[rows] += degrees
    return DrivenTrail(lat, trail.lng, trail.at_s)


@pytest.mark.parametrize("rows", [slice(10, 11), slice(20, 23), slice(0, 5), slice(55, 60)])
def test_pings_that_no_car_can_have_reached_are_left_out(rows: slice) -> None:
    whole = steady()
    kept = without_jumps(moved(whole, rows, 1.0), SETTINGS)
    assert kept.at_s.tolist() == np.delete(whole.at_s, rows).tolist()
    assert kept.lat.tolist() == np.delete(whole.lat, rows).tolist()


def test_pings_that_jump_twice_are_left_out_together() -> None:
    twice = moved(moved(steady(), slice(20, 23), 1.0), slice(23, 26), -1.0)
    assert without_jumps(twice, SETTINGS).at_s.tolist() == np.delete(twice.at_s, slice(20, 26)).tolist()


def test_a_trail_without_jumps_is_kept_whole() -> None:
    whole = steady(mps=40.0)
    assert without_jumps(whole, SETTINGS) is whole


def test_a_trail_that_does_nothing_but_jump_keeps_what_can_follow() -> None:
    rng = np.random.default_rng(1)
    wild = DrivenTrail(rng.uniform(-80, 80, 2_000), rng.uniform(-170, 170, 2_000), np.arange(2_000.0))
    kept = without_jumps(wild, SETTINGS)
    assert len(kept) >= 1
    assert (hops_m(kept.lat, kept.lng) <= SETTINGS.top_speed_mps * np.diff(kept.at_s) + SETTINGS.stray_m).all()


@given(
    st.lists(st.tuples(st.floats(-20_000, 20_000), st.floats(0, 60)), min_size=1, max_size=40),
)
def test_what_is_kept_can_have_been_driven_and_is_in_order(steps: list[tuple[float, float]]) -> None:
    metres, waits = (np.array(column) for column in zip(*steps, strict=True))
    trail = northward(metres, np.cumsum(waits))
    kept = without_jumps(trail, SETTINGS)
    assert len(kept) >= 1
    assert (np.diff(kept.at_s) >= 0).all()
    assert (hops_m(kept.lat, kept.lng) <= SETTINGS.top_speed_mps * np.diff(kept.at_s) + SETTINGS.stray_m).all()
    assert set(zip(kept.lat.tolist(), kept.at_s.tolist(), strict=True)) <= set(
        zip(trail.lat.tolist(), trail.at_s.tolist(), strict=True)
    )


def test_a_car_that_stands_is_in_one_place_and_its_drive_is_kept() -> None:
    rng = np.random.default_rng(3)
    stood = 5.0 * np.arange(1, 241)
    metres = np.concatenate([np.arange(0.0, 1_000, 50), 1_000 + rng.normal(0, 12, 240), np.arange(1_050.0, 2_000, 50)])
    at_s = np.concatenate([5.0 * np.arange(20), 95 + stood, 95 + 1_200 + 5.0 * np.arange(1, 20)])
    pings = northward(metres, at_s)
    seen = with_stands_as_places(pings, SETTINGS)
    assert len(seen) < 45
    assert hops_m(pings.lat, pings.lng).sum() > 4_000
    assert hops_m(seen.lat, seen.lng).sum() == pytest.approx(1_950, abs=60)


def test_a_ping_that_strays_does_not_end_a_stand() -> None:
    at_s = 5.0 * np.arange(60)
    metres = np.zeros(60)
    metres[30] = 200.0
    assert len(with_stands_as_places(northward(metres, at_s), SETTINGS)) == 1


def test_a_slow_car_does_not_stand() -> None:
    crawling = steady(count=120, mps=2.0)
    seen = with_stands_as_places(crawling, SETTINGS)
    assert hops_m(seen.lat, seen.lng).sum() == pytest.approx(hops_m(crawling.lat, crawling.lng).sum())


def test_hops_are_great_circles() -> None:
    a, b = LatLng(57.7, 11.97), LatLng(41.2, -8.6)
    assert hops_m(np.array([a.lat, b.lat]), np.array([a.lng, b.lng]))[0] == pytest.approx(haversine_m(a, b))
