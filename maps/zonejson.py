"""Zones as GeoJSON (RFC 7946): read with the feature and the reason named where one cannot be used, and written.

A feature's properties: `kind` and `name`; a no_pickup zone has `pickup_points`, a list of {lat, lng, name}; a
surge_floor zone has `surge`. Other properties are ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import shapely

from core.errors import BadFile, FieldError, InvalidInput
from core.geo import LatLng
from maps.zones import ZONE_KINDS, PickupPoint, Zone
from runtime.settings import MapSettings

Bounds = tuple[float, float, float, float]  # south, west, north, east

_ID = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_MAX_NAME = 100
_WGS84 = ("CRS84", "4326")
_SHOWN_ERRORS = 20


@dataclass(frozen=True, slots=True)
class _Bad(Exception):
    field: str
    detail: str


def read_zones(geojson: Any, settings: MapSettings, bounds: Bounds | None = None) -> list[Zone]:
    """The zones of a FeatureCollection, or of one Feature. `bounds`: of the city, which every zone has to touch.

    A feature without an id gets its number as one. Raises InvalidInput that names each wrong feature and what is wrong.
    """
    features, errors = _features(geojson, settings), list[FieldError]()
    zones: dict[str, Zone] = {}
    for number, feature in enumerate(features):
        place = f"features[{number}]" if geojson.get("type") == "FeatureCollection" else "feature"
        try:
            zone = _zone(feature, f"zone-{number + 1}", settings, bounds)
            if zone.zone_id in zones:
                raise _Bad("id", f"{zone.zone_id!r} is the id of another feature too")
            zones[zone.zone_id] = zone
        except _Bad as bad:
            errors.append(FieldError(f"{place}.{bad.field}", bad.detail + _named(feature)))
    if errors:
        raise InvalidInput(
            f"{errors[0].field}: {errors[0].detail}", code="bad_zone", errors=tuple(errors[:_SHOWN_ERRORS])
        )
    return list(zones.values())


def read_zone_file(path: Path, settings: MapSettings, bounds: Bounds | None = None) -> list[Zone]:
    """The zones in a GeoJSON file. Raises BadFile naming the file, the feature and what is wrong with it."""
    try:
        if path.stat().st_size > settings.zone_file_bytes:
            raise BadFile(f"{path}: has more than {settings.zone_file_bytes} bytes")
        return read_zones(msgspec.json.decode(path.read_bytes()), settings, bounds)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise BadFile(f"{path}: is not JSON: {error}") from error
    except InvalidInput as error:
        reasons = "; ".join(f"{each.field}: {each.detail}" for each in error.errors) or error.detail
        raise BadFile(f"{path}: {reasons}") from error


def feature_of(zone: Zone) -> dict[str, Any]:
    """A zone as a GeoJSON Feature, which `read_zones` reads again."""
    properties: dict[str, Any] = {"kind": zone.kind, "name": zone.name}
    if zone.kind == "no_pickup":
        properties["pickup_points"] = [point_of(point) for point in zone.pickup_points]
    if zone.kind == "surge_floor":
        properties["surge"] = zone.surge
    geometry = msgspec.json.decode(shapely.to_geojson(zone.polygon))
    return {"type": "Feature", "id": zone.zone_id, "geometry": geometry, "properties": properties}


def collection_of(zones: Iterable[Zone]) -> dict[str, Any]:
    """Zones as a FeatureCollection."""
    return {"type": "FeatureCollection", "features": [feature_of(zone) for zone in zones]}


def point_of(point: PickupPoint) -> dict[str, Any]:
    """A pickup point as JSON."""
    return {"lat": point.at.lat, "lng": point.at.lng, "name": point.name}


def _features(geojson: Any, settings: MapSettings) -> list[Any]:
    kind = geojson.get("type") if isinstance(geojson, dict) else None
    if kind not in ("FeatureCollection", "Feature"):
        raise _refused("type", f"must be FeatureCollection or Feature, not {kind!r}")
    crs = geojson.get("crs")
    if crs is not None and not any(name in str(crs) for name in _WGS84):
        raise _refused("crs", "GeoJSON is in WGS84 degrees; leave crs out")
    features = [geojson] if kind == "Feature" else geojson.get("features")
    if not isinstance(features, list) or not features:
        raise _refused("features", "must be a list of features, and not empty")
    if len(features) > settings.zones_max:
        raise _refused("features", f"there are {len(features)}, at most {settings.zones_max} are allowed")
    return features


def _refused(field: str, detail: str) -> InvalidInput:
    return InvalidInput(f"{field}: {detail}", code="bad_zone", errors=(FieldError(field, detail),))


def _named(feature: Any) -> str:
    """The name of a feature in brackets, to find it by in the file."""
    properties = feature.get("properties") if isinstance(feature, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    return f" (in {name[:_MAX_NAME]!r})" if isinstance(name, str) else ""


def _zone(feature: Any, default_id: str, settings: MapSettings, bounds: Bounds | None) -> Zone:
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise _Bad("type", "must be Feature")
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        raise _Bad("properties", "are missing")
    kind: Any = properties.get("kind")
    if "kind" not in properties:
        raise _Bad("properties.kind", f"is missing; it is one of {', '.join(ZONE_KINDS)}")
    if kind not in ZONE_KINDS:
        raise _Bad("properties.kind", f"must be one of {', '.join(ZONE_KINDS)}, not {kind!r}")
    name = properties.get("name")
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= _MAX_NAME:
        raise _Bad("properties.name", f"must be a text of 1 to {_MAX_NAME} characters")
    zone_id = str(feature.get("id", default_id))
    if not _ID.fullmatch(zone_id):
        raise _Bad("id", "must be 1 to 40 of letters, digits, dot, hyphen and underscore")
    polygon = _polygon(feature.get("geometry"), settings, bounds)
    return Zone(
        zone_id=zone_id,
        kind=kind,
        name=name.strip(),
        polygon=polygon,
        pickup_points=_pickup_points(properties, polygon, settings) if kind == "no_pickup" else (),
        surge=_surge(properties, settings) if kind == "surge_floor" else 1.0,
    )


def _polygon(geometry: Any, settings: MapSettings, bounds: Bounds | None) -> Any:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise _Bad("geometry.type", f"must be Polygon or MultiPolygon, not {kind!r}")
    where, coordinates = "geometry.coordinates", geometry.get("coordinates")
    parts = [(where, coordinates)] if kind == "Polygon" else _items(where, coordinates)
    count, polygons = 0, []
    for place, rings in parts:
        read = [_ring(ring_place, ring) for ring_place, ring in _items(place, rings)]
        count += sum(len(ring) for ring in read)
        if count > settings.zone_vertices:
            raise _Bad(where, f"has more than {settings.zone_vertices} vertices; simplify it")
        polygons.append(shapely.Polygon(read[0], read[1:]))
    polygon = polygons[0] if kind == "Polygon" else shapely.MultiPolygon(polygons)
    if not polygon.is_valid:  # such as Self-intersection[11.97 57.7]
        raise _Bad(where, f"is no valid polygon: {shapely.is_valid_reason(polygon)}")
    if bounds is not None:
        _check_place(where, polygon.bounds, bounds)
    return polygon


def _items(place: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, list) or not value:
        raise _Bad(place, "must be a list, and not empty")
    return [(f"{place}[{number}]", item) for number, item in enumerate(value)]


def _ring(place: str, ring: Any) -> list[tuple[float, float]]:
    points = [_position(point_place, point) for point_place, point in _items(place, ring)]
    if points[0] != points[-1]:
        raise _Bad(place, "is not closed: the last position must be the first one again")
    if len(points) < 4:
        raise _Bad(place, f"has {len(points)} positions, a ring needs 4 at least")
    return points


def _position(place: str, point: Any) -> tuple[float, float]:
    if not isinstance(point, list) or not 2 <= len(point) <= 3 or not all(_is_number(value) for value in point):
        raise _Bad(place, "must be [longitude, latitude]")
    lng, lat = float(point[0]), float(point[1])
    if abs(lat) > 90 and abs(lng) <= 90 and abs(lat) <= 180:
        raise _Bad(place, f"latitude {lat:g} is out of range; swapped? GeoJSON has the longitude first")
    if abs(lat) > 90 or abs(lng) > 180:
        raise _Bad(place, f"[{lng:g}, {lat:g}] is out of range")
    return lng, lat


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_place(place: str, box: Sequence[float], bounds: Bounds) -> None:
    """A zone that does not touch its city is a slip, most often of the order of the coordinates."""
    south, west, north, east = bounds
    low_x, low_y, high_x, high_y = box
    if low_x <= east and high_x >= west and low_y <= north and high_y >= south:
        return
    if low_y <= east and high_y >= west and low_x <= north and high_x >= south:
        raise _Bad(place, "the coordinates are swapped: GeoJSON has the longitude first")
    raise _Bad(place, f"lies outside the city, which is from {west:.4f}, {south:.4f} to {east:.4f}, {north:.4f}")


def _pickup_points(properties: dict[str, Any], polygon: Any, settings: MapSettings) -> tuple[PickupPoint, ...]:
    field, most = "properties.pickup_points", settings.zone_pickup_points
    points = properties.get("pickup_points")
    if points is None:
        raise _Bad(field, "is missing: say where riders may be picked up instead")
    if not isinstance(points, list) or not 1 <= len(points) <= most:
        raise _Bad(field, f"must be a list of 1 to {most} of {{lat, lng, name}}")
    read = []
    for number, point in enumerate(points):
        place = f"{field}[{number}]"
        if not isinstance(point, dict) or not isinstance(point.get("name", ""), str):
            raise _Bad(place, "must be {lat, lng, name}")
        try:
            at = LatLng.checked(point.get("lat"), point.get("lng"), place)
        except InvalidInput as error:
            raise _Bad(error.errors[0].field, error.errors[0].detail) from error
        if shapely.intersects_xy(polygon, at.lng, at.lat):
            raise _Bad(place, "lies in the zone itself")
        read.append(PickupPoint(at, point.get("name", "").strip()[:_MAX_NAME]))
    return tuple(read)


def _surge(properties: dict[str, Any], settings: MapSettings) -> float:
    surge = properties.get("surge")
    if surge is None:
        raise _Bad("properties.surge", "is missing: the least multiple of the tariff that a pickup costs here")
    if not _is_number(surge) or not 1.0 < surge <= settings.zone_max_surge:
        raise _Bad("properties.surge", f"must be a number above 1, at most {settings.zone_max_surge:g}, not {surge!r}")
    return float(surge)
