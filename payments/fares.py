"""The tariff: from distance and time to a price, and from a promise and a drive to the final fare.

Pure integer arithmetic: metres, seconds and hundredths of surge are whole numbers, and one division at the end rounds
half up. So a fare never depends on the order of additions or on a float's last bit.
"""

from __future__ import annotations

import math

import msgspec

from core.errors import FieldError, InvalidInput
from core.money import Money
from runtime.settings import FareSettings

NO_SURGE = 1.0
TRUSTED_GRADES = ("matched", "bridged")  # by road from end to end; other lengths are too short or guessed
_MAX_DISTANCE_M = 10_000_000
_MAX_DURATION_S = 10_000_000
_MAX_SURGE = 100


class Tariff(msgspec.Struct, frozen=True):
    """A city's prices in minor units."""

    currency: str
    base_minor: int
    per_km_minor: int
    per_minute_minor: int
    minimum_minor: int


class Promise(msgspec.Struct, frozen=True):
    """The quoted fare and the road distance it was quoted for."""

    fare: Money
    distance_m: float
    surge: float = NO_SURGE


class Drive(msgspec.Struct, frozen=True):
    """What was driven: metres along the trail, the grade of that figure, seconds from boarding to the dropoff."""

    distance_m: float
    grade: str
    duration_s: float


def tariff_of(settings: FareSettings) -> Tariff:
    """The tariff in the settings."""
    return Tariff(
        settings.currency,
        settings.base_minor,
        settings.per_km_minor,
        settings.per_minute_minor,
        settings.minimum_minor,
    )


def fare(tariff: Tariff, distance_m: float, duration_s: float, surge: float = NO_SURGE) -> Money:
    """The price of a ride: base, distance and time, times surge, rounded half up once, never below the minimum.

    Raises InvalidInput naming the figure that is negative, not finite or absurdly large.
    """
    metres = _whole(distance_m, "distance_m", _MAX_DISTANCE_M)
    seconds = _whole(duration_s, "duration_s", _MAX_DURATION_S)
    hundredths = _whole(surge * 100, "surge", _MAX_SURGE * 100)
    # in 1/60,000 of a minor unit, so that prices per 1,000 m and per 60 s both stay whole
    parts = tariff.base_minor * 60_000 + tariff.per_km_minor * metres * 60 + tariff.per_minute_minor * seconds * 1_000
    return Money(max(tariff.minimum_minor, _divide_half_up(parts * hundredths, 60_000 * 100)), tariff.currency)


def final_fare(
    tariff: Tariff, promise: Promise | None, drive: Drive, tolerance: float, surge: float = NO_SURGE
) -> Money:
    """What the rider pays; `surge` counts where nothing was promised.

    A quoted fare holds while the driven distance is within `tolerance` (a share) of the quoted one, and always when the
    driven distance cannot be trusted. Otherwise the tariff on what was driven, at the promised surge.
    """
    if promise is None:
        return fare(tariff, drive.distance_m, drive.duration_s, surge)
    if (
        drive.grade not in TRUSTED_GRADES
        or abs(drive.distance_m - promise.distance_m) <= tolerance * promise.distance_m
    ):
        return promise.fare
    return fare(tariff, drive.distance_m, drive.duration_s, promise.surge)


def _whole(value: float, name: str, most: int) -> int:
    if not (math.isfinite(value) and 0 <= value <= most):
        error = FieldError(name, f"must be from 0 to {most}, got {value!r}")
        raise InvalidInput(f"{name} {error.detail}", code="bad_fare_input", errors=(error,))
    return math.floor(value + 0.5)


def _divide_half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
