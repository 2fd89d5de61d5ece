"""Zones as GeoJSON (RFC 7946): read with the feature and the reason named where one cannot be used, and written.

A feature's properties: `kind` and `name`; a no_pickup zone has `pickup_points`, a list of {lat, lng, name}; a
surge_floor zone has `surge`. Other properties are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import shapely

from core.errors import BadFile, InvalidInput
from core.geo import LatLng
from maps.geojson import (
    MAX_NAME,
    Bad,
    Bounds,
    is_number,
    read_features,
    read_id,
    read_name,
    read_polygon,
    read_properties,
)
from maps.zones import ZONE_KINDS, PickupPoint, Zone
from runtime.settings import MapSettings


def read_zones(geojson: Any, settings: MapSettings, bounds: Bounds | None = None) -> list[Zone]:
    """The zones of a FeatureCollection, or of one Feature. `bounds`: of the city, which every zone has to touch.

    A feature without an id gets its number as one. Raises InvalidInput that names each wrong feature and what is wrong.
    """
    zones: dict[str, Zone] = {}

    def read(feature: Any, number: str) -> None:
        zone = _zone(feature, f"zone-{number}", settings, bounds)
        if zone.zone_id in zones:
            raise Bad("id", f"{zone.zone_id!r} is the id of another feature too")
        zones[zone.zone_id] = zone

    read_features(geojson, settings.zones_max, "bad_zone", read)
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


def _zone(feature: dict[str, Any], default_id: str, settings: MapSettings, bounds: Bounds | None) -> Zone:
    properties = read_properties(feature)
    kind: Any = properties.get("kind")
    if "kind" not in properties:
        raise Bad("properties.kind", f"is missing; it is one of {', '.join(ZONE_KINDS)}")
    if kind not in ZONE_KINDS:
        raise Bad("properties.kind", f"must be one of {', '.join(ZONE_KINDS)}, not {kind!r}")
    name, zone_id = read_name(properties), read_id(feature, default_id)
    polygon = read_polygon(feature.get("geometry"), settings.zone_vertices, bounds)
    return Zone(
        zone_id=zone_id,
        kind=kind,
        name=name,
        polygon=polygon,
        pickup_points=_pickup_points(properties, polygon, settings) if kind == "no_pickup" else (),
        surge=_surge(properties, settings) if kind == "surge_floor" else 1.0,
    )


def _pickup_points(properties: dict[str, Any], polygon: Any, settings: MapSettings) -> tuple[PickupPoint, ...]:
    field, most = "properties.pickup_points", settings.zone_pickup_points
    points = properties.get("pickup_points")
    if points is None:
        raise Bad(field, "is missing: say where riders may be picked up instead")
    if not isinstance(points, list) or not 1 <= len(points) <= most:
        raise Bad(field, f"must be a list of 1 to {most} of {{lat, lng, name}}")
    read = []
    for number, point in enumerate(points):
        place = f"{field}[{number}]"
        if not isinstance(point, dict) or not isinstance(point.get("name", ""), str):
            raise Bad(place, "must be {lat, lng, name}")
        try:
            at = LatLng.checked(point.get("lat"), point.get("lng"), place)
        except InvalidInput as error:
            raise Bad(error.errors[0].field, error.errors[0].detail) from error
        if shapely.intersects_xy(polygon, at.lng, at.lat):
            raise Bad(place, "lies in the zone itself")
        read.append(PickupPoint(at, point.get("name", "").strip()[:MAX_NAME]))
    return tuple(read)


def _surge(properties: dict[str, Any], settings: MapSettings) -> float:
    surge = properties.get("surge")
    if surge is None:
        raise Bad("properties.surge", "is missing: the least multiple of the tariff that a pickup costs here")
    if not is_number(surge) or not 1.0 < surge <= settings.zone_max_surge:
        raise Bad("properties.surge", f"must be a number above 1, at most {settings.zone_max_surge:g}, not {surge!r}")
    return float(surge)
