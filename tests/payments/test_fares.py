"""The tariff and the final fare."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.money import Money
from payments.fares import Drive, Promise, Tariff, fare, final_fare, tariff_of
from runtime.settings import FareSettings

TARIFF = Tariff("SEK", base_minor=4_500, per_km_minor=1_250, per_minute_minor=450, minimum_minor=9_500)
metres = st.floats(0, 500_000)
seconds = st.floats(0, 50_000)
surges = st.floats(1, 5)


def test_fare_is_base_plus_distance_plus_time() -> None:
    assert fare(TARIFF, 10_000, 1_200) == Money(4_500 + 12_500 + 9_000, "SEK")


def test_short_ride_costs_the_minimum() -> None:
    assert fare(TARIFF, 0, 0) == Money(9_500, "SEK")


def test_half_a_minor_unit_is_rounded_up() -> None:
    tariff = Tariff("EUR", base_minor=0, per_km_minor=1, per_minute_minor=0, minimum_minor=0)
    assert [fare(tariff, m, 0).amount_minor for m in (499, 500, 1_499, 1_500)] == [0, 1, 1, 2]


def test_surge_multiplies_the_whole_fare() -> None:
    assert fare(TARIFF, 10_000, 1_200, surge=1.5).amount_minor == 39_000


@given(metres, seconds, surges)
def test_fare_is_the_exact_rational_price_rounded_half_up(distance_m: float, duration_s: float, surge: float) -> None:
    whole_m, whole_s = math.floor(distance_m + 0.5), math.floor(duration_s + 0.5)
    exact = 4_500 + Fraction(1_250 * whole_m, 1_000) + Fraction(450 * whole_s, 60)
    exact *= Fraction(math.floor(surge * 100 + 0.5), 100)
    assert fare(TARIFF, distance_m, duration_s, surge).amount_minor == max(9_500, math.floor(exact + Fraction(1, 2)))


@given(metres, metres, seconds, surges)
def test_longer_way_never_costs_less(a: float, b: float, duration_s: float, surge: float) -> None:
    near, far = sorted((a, b))
    assert fare(TARIFF, near, duration_s, surge).amount_minor <= fare(TARIFF, far, duration_s, surge).amount_minor


@given(metres, seconds, seconds, surges)
def test_longer_ride_never_costs_less(distance_m: float, a: float, b: float, surge: float) -> None:
    short, long = sorted((a, b))
    assert fare(TARIFF, distance_m, short, surge).amount_minor <= fare(TARIFF, distance_m, long, surge).amount_minor


@given(metres, seconds, surges)
def test_fare_is_never_below_the_minimum(distance_m: float, duration_s: float, surge: float) -> None:
    assert fare(TARIFF, distance_m, duration_s, surge).amount_minor >= TARIFF.minimum_minor


@pytest.mark.parametrize(
    ("distance_m", "duration_s", "surge", "field"),
    [(-1, 0, 1, "distance_m"), (math.nan, 0, 1, "distance_m"), (0, math.inf, 1, "duration_s"), (0, 0, -2, "surge")],
)
def test_absurd_figures_are_refused_by_name(distance_m: float, duration_s: float, surge: float, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        fare(TARIFF, distance_m, duration_s, surge)
    assert [error.field for error in refused.value.errors] == [field]


def test_settings_give_the_tariff() -> None:
    assert tariff_of(FareSettings(currency="EUR", per_km_minor=99)) == Tariff("EUR", 4_500, 99, 450, 9_500)


PROMISE = Promise(Money(20_000, "SEK"), distance_m=8_000)


@given(st.floats(6_400, 9_600), seconds)
def test_quoted_fare_holds_within_the_tolerance(distance_m: float, duration_s: float) -> None:
    assert final_fare(TARIFF, PROMISE, Drive(distance_m, "matched", duration_s), 0.2) == PROMISE.fare


@pytest.mark.parametrize("distance_m", [6_000.0, 12_000.0])
def test_another_way_than_quoted_is_priced_by_what_was_driven(distance_m: float) -> None:
    drive = Drive(distance_m, "matched", 900)
    assert final_fare(TARIFF, PROMISE, drive, 0.2) == fare(TARIFF, distance_m, 900)


@pytest.mark.parametrize("grade", ["partial", "raw", "none"])
def test_quoted_fare_holds_when_the_distance_cannot_be_trusted(grade: str) -> None:
    assert final_fare(TARIFF, PROMISE, Drive(0, grade, 900), 0.2) == PROMISE.fare


def test_without_a_quote_the_drive_is_priced() -> None:
    assert final_fare(TARIFF, None, Drive(12_000, "raw", 900), 0.2) == fare(TARIFF, 12_000, 900)


def test_promised_surge_applies_to_what_was_driven_instead() -> None:
    promise = Promise(Money(20_000, "SEK"), 8_000, surge=1.4)
    assert final_fare(TARIFF, promise, Drive(20_000, "matched", 900), 0.2) == fare(TARIFF, 20_000, 900, 1.4)


def test_a_trip_without_a_quote_pays_the_surge_of_its_pickup() -> None:
    assert final_fare(TARIFF, None, Drive(12_000, "raw", 900), 0.2, 1.5) == fare(TARIFF, 12_000, 900, 1.5)
    assert final_fare(TARIFF, PROMISE, Drive(0, "raw", 900), 0.2, 1.5) == PROMISE.fare
