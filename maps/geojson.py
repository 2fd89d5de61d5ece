"""GeoJSON (RFC 7946) that people write: read with the feature and the reason named where one cannot be used."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import shapely

from core.errors import FieldError, InvalidInput

Bounds = tuple[float, float, float, float]  # south, west, north, east

MAX_NAME = 100  # characters of a feature's name
_ID = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_WGS84 = ("CRS84", "4326")
_SHOWN_ERRORS = 20


@dataclass(frozen=True, slots=True)
class Bad(Exception):
    """A feature that cannot be used: which part of it, and why."""

    field: str
    detail: str


def read_features[Read](geojson: Any, most: int, code: str, read: Callable[[Any, str], Read]) -> list[Read]:
    """What `read` makes of each feature of a FeatureCollection, or of one Feature, and of its number from 1.

    Raises InvalidInput `code` that names each feature for which `read` raises Bad, and what is wrong with it.
    """
    found, errors = list[Read](), list[FieldError]()
    for number, feature in enumerate(_features(geojson, most, code)):
        place = f"features[{number}]" if geojson.get("type") == "FeatureCollection" else "feature"
        try:
            if not isinstance(feature, dict) or feature.get("type") != "Feature":
                raise Bad("type", "must be Feature")
            found.append(read(feature, str(number + 1)))
        except Bad as bad:
            errors.append(FieldError(f"{place}.{bad.field}", bad.detail + _named(feature)))
    if errors:
        raise InvalidInput(f"{errors[0].field}: {errors[0].detail}", code=code, errors=tuple(errors[:_SHOWN_ERRORS]))
    return found


def read_id(feature: dict[str, Any], default: str) -> str:
    """The feature's id. Raises Bad."""
    found = str(feature.get("id", default))
    if not _ID.fullmatch(found):
        raise Bad("id", "must be 1 to 40 of letters, digits, dot, hyphen and underscore")
    return found


def read_properties(feature: dict[str, Any]) -> dict[str, Any]:
    """The feature's properties. Raises Bad."""
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        raise Bad("properties", "are missing")
    return properties


def read_name(properties: dict[str, Any]) -> str:
    """The name among the properties. Raises Bad."""
    name = properties.get("name")
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= MAX_NAME:
        raise Bad("properties.name", f"must be a text of 1 to {MAX_NAME} characters")
    return name.strip()


def read_polygon(geometry: Any, most: int, bounds: Bounds | None) -> Any:
    """A Polygon or MultiPolygon in (lng, lat), of at most `most` vertices. Raises Bad."""
    kind = _kind(geometry, ("Polygon", "MultiPolygon"))
    where, coordinates = "geometry.coordinates", geometry.get("coordinates")
    parts = [(where, coordinates)] if kind == "Polygon" else _items(where, coordinates)
    polygons, count = [], 0
    for place, rings in parts:
        read = [_ring(ring_place, ring) for ring_place, ring in _items(place, rings)]
        count += sum(len(ring) for ring in read)
        _check_count(where, count, most)
        polygons.append(shapely.Polygon(read[0], read[1:]))
    polygon = polygons[0] if kind == "Polygon" else shapely.MultiPolygon(polygons)
    if not polygon.is_valid:  # such as Self-intersection[11.97 57.7]
        raise Bad(where, f"is no valid polygon: {shapely.is_valid_reason(polygon)}")
    if bounds is not None:
        _check_place(where, polygon.bounds, bounds)
    return polygon


def read_line(geometry: Any, most: int, bounds: Bounds | None) -> Any:
    """A LineString or MultiLineString in (lng, lat), of at most `most` vertices. Raises Bad."""
    kind = _kind(geometry, ("LineString", "MultiLineString"))
    where, coordinates = "geometry.coordinates", geometry.get("coordinates")
    parts = [(where, coordinates)] if kind == "LineString" else _items(where, coordinates)
    lines, count = [], 0
    for place, positions in parts:
        points = [_position(point_place, point) for point_place, point in _items(place, positions)]
        count += len(points)
        _check_count(where, count, most)
        if len(set(points)) < 2:
            raise Bad(place, "a line needs 2 different positions at least")
        lines.append(shapely.LineString(points))
    line = lines[0] if kind == "LineString" else shapely.MultiLineString(lines)
    if bounds is not None:
        _check_place(where, line.bounds, bounds)
    return line


def is_number(value: Any) -> bool:
    """Whether JSON has a finite number here."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _features(geojson: Any, most: int, code: str) -> list[Any]:
    def refused(field: str, detail: str) -> InvalidInput:
        return InvalidInput(f"{field}: {detail}", code=code, errors=(FieldError(field, detail),))

    kind = geojson.get("type") if isinstance(geojson, dict) else None
    if kind not in ("FeatureCollection", "Feature"):
        raise refused("type", f"must be FeatureCollection or Feature, not {kind!r}")
    crs = geojson.get("crs")
    if crs is not None and not any(name in str(crs) for name in _WGS84):
        raise refused("crs", "GeoJSON is in WGS84 degrees; leave crs out")
    features = [geojson] if kind == "Feature" else geojson.get("features")
    if not isinstance(features, list) or not features:
        raise refused("features", "must be a list of features, and not empty")
    if len(features) > most:
        raise refused("features", f"there are {len(features)}, at most {most} are allowed")
    return features


def _named(feature: Any) -> str:
    """The name of a feature in brackets, to find it by in the file."""
    properties = feature.get("properties") if isinstance(feature, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    return f" (in {name[:MAX_NAME]!r})" if isinstance(name, str) else ""


def _kind(geometry: Any, allowed: Sequence[str]) -> str:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in allowed:
        raise Bad("geometry.type", f"must be {' or '.join(allowed)}, not {kind!r}")
    return str(kind)


def _check_count(place: str, count: int, most: int) -> None:
    if count > most:
        raise Bad(place, f"has more than {most} vertices; simplify it")


def _items(place: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, list) or not value:
        raise Bad(place, "must be a list, and not empty")
    return [(f"{place}[{number}]", item) for number, item in enumerate(value)]


def _ring(place: str, ring: Any) -> list[tuple[float, float]]:
    points = [_position(point_place, point) for point_place, point in _items(place, ring)]
    if points[0] != points[-1]:
        raise Bad(place, "is not closed: the last position must be the first one again")
    if len(points) < 4:
        raise Bad(place, f"has {len(points)} positions, a ring needs 4 at least")
    return points


def _position(place: str, point: Any) -> tuple[float, float]:
    if not isinstance(point, list) or not 2 <= len(point) <= 3 or not all(is_number(value) for value in point):
        raise Bad(place, "must be [longitude, latitude]")
    lng, lat = float(point[0]), float(point[1])
    if abs(lat) > 90 and abs(lng) <= 90 and abs(lat) <= 180:
        raise Bad(place, f"latitude {lat:g} is out of range; swapped? GeoJSON has the longitude first")
    if abs(lat) > 90 or abs(lng) > 180:
        raise Bad(place, f"[{lng:g}, {lat:g}] is out of range")
    return lng, lat


def _check_place(place: str, box: Sequence[float], bounds: Bounds) -> None:
    """A zone that does not touch its city is a slip, most often of the order of the coordinates."""
    south, west, north, east = bounds
    low_x, low_y, high_x, high_y = box
    if low_x <= east and high_x >= west and low_y <= north and high_y >= south:
        return
    if low_y <= east and high_y >= west and low_x <= north and high_x >= south:
        raise Bad(place, "the coordinates are swapped: GeoJSON has the longitude first")
    raise Bad(place, f"lies outside the city, which is from {west:.4f}, {south:.4f} to {east:.4f}, {north:.4f}")
