"""Places on the sphere. Order is lat, lng everywhere; GeoJSON alone is lng, lat."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core.errors import FieldError, InvalidInput

EARTH_RADIUS_M = 6_371_008.8  # mean radius, IUGG

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class LatLng(NamedTuple):
    """A point in WGS84 degrees."""

    lat: float
    lng: float

    @staticmethod
    def checked(lat: Any, lng: Any, field: str = "position") -> LatLng:
        """A point from untrusted numbers.

        Raises InvalidInput naming the field when a number is missing, not finite or out of range.
        """
        errors = [
            FieldError(f"{field}.{name}", f"must be a number from {-limit} to {limit}, got {value!r}")
            for name, value, limit in (("lat", lat, 90), ("lng", lng, 180))
            if isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
            or abs(value) > limit
        ]
        if errors:
            raise InvalidInput(errors[0].field + " " + errors[0].detail, code="bad_position", errors=tuple(errors))
        return LatLng(float(lat), float(lng))


def haversine_m(a: LatLng, b: LatLng) -> float:
    """Great-circle distance in metres (haversine)."""
    lat_a, lat_b = math.radians(a.lat), math.radians(b.lat)
    half_lat = (lat_b - lat_a) / 2
    half_lng = math.radians(b.lng - a.lng) / 2
    h = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lng) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(h)))


def haversine_many_m(lat: FloatArray, lng: FloatArray, to: LatLng) -> FloatArray:
    """Great-circle distances in metres from points of shape (n,) to one point; shape (n,)."""
    lat_a, lat_b = np.radians(lat), math.radians(to.lat)
    half_lng = np.radians(lng - to.lng) / 2
    h = np.sin((lat_a - lat_b) / 2) ** 2 + np.cos(lat_a) * math.cos(lat_b) * np.sin(half_lng) ** 2
    return np.asarray(2 * EARTH_RADIUS_M * np.arcsin(np.minimum(1.0, np.sqrt(h))), dtype=np.float64)


def hops_m(lat: FloatArray, lng: FloatArray) -> FloatArray:
    """Great-circle distances in metres from each point to the next along the first axis: (n, ...) to (n - 1, ...)."""
    lat, lng = np.radians(lat), np.radians(lng)
    h = np.sin(np.diff(lat, axis=0) / 2) ** 2
    h += np.cos(lat[:-1]) * np.cos(lat[1:]) * np.sin(np.diff(lng, axis=0) / 2) ** 2
    return np.asarray(2 * EARTH_RADIUS_M * np.arcsin(np.minimum(1.0, np.sqrt(h))), dtype=np.float64)


def bearing_deg(a: LatLng, b: LatLng) -> float:
    """Initial bearing from a to b, degrees clockwise from north, 0 <= bearing < 360."""
    lat_a, lat_b = math.radians(a.lat), math.radians(b.lat)
    d_lng = math.radians(b.lng - a.lng)
    y = math.sin(d_lng) * math.cos(lat_b)
    x = math.cos(lat_a) * math.sin(lat_b) - math.sin(lat_a) * math.cos(lat_b) * math.cos(d_lng)
    return math.degrees(math.atan2(y, x)) % 360.0
