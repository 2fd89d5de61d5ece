"""Made-up demand: a Monday of trips between busy places of the city, drawn from a seed."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from core.geo import EARTH_RADIUS_M, FloatArray, IntArray, LatLng, haversine_many_m
from simulator.model import RawTrips

TRIPS_PER_DRIVER = 18  # in 24 hours, 1.3 an hour at the evening peak
SHARE_OF_HOUR = (
    2.1, 1.4, 1.0, 0.8, 0.9, 1.6, 3.0, 4.9, 6.0, 5.3, 4.5, 4.4,
    4.6, 4.6, 4.8, 5.2, 5.6, 6.2, 6.8, 6.6, 6.0, 5.4, 4.7, 3.6,
)  # percent of a day's trips by hour: a morning and an evening peak, as taxis in a western city have  # fmt: skip

_START = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
_CENTRES = 12
_SPREAD_M = 700.0
_OUTSIDE_CENTRES = 0.25  # of the trip ends, evenly over the junctions
_SHORTEST_M = 500.0
_DRAWS = 8


def synthetic_trips(drivers: int, road_points: tuple[FloatArray, FloatArray], rng: np.random.Generator) -> RawTrips:
    """A day of trips from 2026-01-05T00:00Z, 18 per driver, between junctions (latitudes and longitudes of shape (m,)).

    Three ends in four lie around twelve seeded busy junctions, whose pull falls like a normal distribution of 700 m;
    the others anywhere on the roads. A dropoff nearer than 500 m as the crow flies is drawn again, up to eight times.
    """
    lat, lng = road_points
    n = drivers * TRIPS_PER_DRIVER
    share = np.array(SHARE_OF_HOUR) / sum(SHARE_OF_HOUR)
    hour = rng.choice(24, size=n, p=share)
    at = np.round(_START + np.sort(hour * 3600 + rng.random(n) * 3600), 3)
    pull = _pull(lat, lng, rng)
    pickup = rng.choice(len(lat), size=n, p=pull)
    dropoff = rng.choice(len(lat), size=n, p=pull)
    for _ in range(_DRAWS):
        short = np.flatnonzero(_crow_m(lat, lng, pickup, dropoff) < _SHORTEST_M)
        dropoff[short] = rng.choice(len(lat), size=len(short), p=pull)
    return RawTrips(
        [str(row) for row in range(1, n + 1)],
        at,
        lat[pickup],
        lng[pickup],
        lat[dropoff],
        lng[dropoff],
        np.ones(n, dtype=np.int64),
        [None] * n,
    )


def _pull(lat: FloatArray, lng: FloatArray, rng: np.random.Generator) -> FloatArray:
    centres = rng.choice(len(lat), size=min(_CENTRES, len(lat)), replace=False)
    weight = np.zeros(len(lat))
    for centre, importance in zip(centres, rng.random(len(centres)) + 0.3, strict=True):
        away_m = haversine_many_m(lat, lng, LatLng(float(lat[centre]), float(lng[centre])))
        near = np.exp(-0.5 * (away_m / _SPREAD_M) ** 2)
        weight += importance * near / near.sum()  # a busy place is as busy in the suburbs, where junctions are few
    pull = (1 - _OUTSIDE_CENTRES) * weight / weight.sum() + _OUTSIDE_CENTRES / len(lat)
    return np.asarray(pull / pull.sum(), dtype=np.float64)


def _crow_m(lat: FloatArray, lng: FloatArray, a: IntArray, b: IntArray) -> FloatArray:
    x = np.radians(lng[a] - lng[b]) * np.cos(np.radians(lat[a]))
    y = np.radians(lat[a] - lat[b])
    return np.asarray(EARTH_RADIUS_M * np.hypot(x, y), dtype=np.float64)
