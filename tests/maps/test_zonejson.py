"""Zones as GeoJSON: what cannot be used is refused with the feature and the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadFile, InvalidInput
from core.geo import LatLng
from maps.zonejson import collection_of, read_zone_file, read_zones
from runtime.settings import MapSettings

LIMITS = MapSettings(zone_vertices=50, zones_max=3, zone_pickup_points=2)
BOUNDS = (57.6, 11.8, 57.8, 12.1)
RING = [[11.9, 57.7], [11.95, 57.7], [11.95, 57.72], [11.9, 57.72], [11.9, 57.7]]
POINTS = [{"lat": 57.69, "lng": 11.9, "name": "South gate"}]


def feature(ring: Any = None, kind: str = "surge_floor", **properties: Any) -> dict[str, Any]:
    given = {"kind": kind, "name": "Square", "surge": 1.5, "pickup_points": POINTS} | properties
    given = {name: value for name, value in given.items() if value is not None}
    geometry = {"type": "Polygon", "coordinates": [RING if ring is None else ring]}
    return {"type": "Feature", "geometry": geometry, "properties": given}


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def test_zones_are_read_and_written_and_read_again() -> None:
    holed = feature()
    hole = [[11.91, 57.705], [11.92, 57.705], [11.92, 57.71], [11.91, 57.705]]
    holed["geometry"]["coordinates"].append(hole)
    parts = {"type": "MultiPolygon", "coordinates": [[RING], [[[x + 0.1, y] for x, y in RING]]]}
    several = feature(kind="no_pickup") | {"geometry": parts, "id": "old-town"}
    zones = read_zones(collection(holed, several, feature(kind="service_area")), LIMITS, BOUNDS)
    assert [(zone.zone_id, zone.kind, zone.surge) for zone in zones] == [
        ("zone-1", "surge_floor", 1.5),
        ("old-town", "no_pickup", 1.0),
        ("zone-3", "service_area", 1.0),
    ]
    assert len(zones[0].polygon.interiors) == 1
    assert zones[1].pickup_points[0].at == LatLng(57.69, 11.9)
    assert read_zones(json.loads(json.dumps(collection_of(zones))), LIMITS, BOUNDS) == zones


def test_a_feature_alone_is_a_zone_too() -> None:
    assert [zone.zone_id for zone in read_zones(feature() | {"id": 17}, LIMITS)] == ["17"]


def moved(ring: list[list[float]], place: int, to: Any) -> list[Any]:
    return [*ring[:place], to, *ring[place + 1 :]]


BOWTIE = [[11.9, 57.7], [11.95, 57.72], [11.95, 57.7], [11.9, 57.72], [11.9, 57.7]]
MANY = [[11.9 + n / 10_000, 57.7] for n in range(60)]
WRONG: dict[str, tuple[Any, str, str]] = {
    "unclosed ring": (feature(RING[:-1]), "geometry.coordinates[0]", "is not closed"),
    "too few positions": (feature([RING[0], RING[1], RING[0]]), "geometry.coordinates[0]", "4 at least"),
    "self-intersection": (feature(BOWTIE), "geometry.coordinates", "Self-intersection"),
    "no area": (feature([RING[0]] * 4), "geometry.coordinates", "no valid polygon"),
    "too many vertices": (feature([*MANY, [11.9, 57.8], MANY[0]]), "geometry.coordinates", "more than 50 vertices"),
    "swapped far away": (feature([[57.7, 100.0 + n] for n in range(4)]), "geometry.coordinates[0][0]", "swapped"),
    "swapped": (feature([[y, x] for x, y in RING]), "geometry.coordinates", "swapped"),
    "another city": (feature([[x + 1, y] for x, y in RING]), "geometry.coordinates", "outside the city"),
    "out of range": (feature(moved(RING, 1, [181, 57.7])), "geometry.coordinates[0][1]", "out of range"),
    "not a number": (feature(moved(RING, 2, [11.9, "57"])), "geometry.coordinates[0][2]", "[longitude, latitude]"),
    "one number": (feature(moved(RING, 2, [11.9])), "geometry.coordinates[0][2]", "[longitude, latitude]"),
    "true": (feature(moved(RING, 2, [True, 57.7])), "geometry.coordinates[0][2]", "[longitude, latitude]"),
    "no ring": (feature() | {"geometry": {"type": "Polygon", "coordinates": []}}, "geometry.coordinates", "not empty"),
    "a point": (feature() | {"geometry": {"type": "Point", "coordinates": [1, 2]}}, "geometry.type", "'Point'"),
    "no geometry": (feature() | {"geometry": None}, "geometry.type", "None"),
    "no properties": (feature() | {"properties": None}, "properties", "missing"),
    "no kind": (feature(kind=None), "properties.kind", "missing"),  # type: ignore[arg-type]
    "wrong kind": (feature(kind="lake"), "properties.kind", "'lake'"),
    "a kind that is a list": (feature(kind=["no_pickup"]), "properties.kind", "must be one of"),  # type: ignore[arg-type]
    "no name": (feature(name=None), "properties.name", "1 to 100"),
    "a bad id": (feature() | {"id": "ä b"}, "id", "1 to 40"),
    "no surge": (feature(surge=None), "properties.surge", "missing"),
    "surge of one": (feature(surge=1), "properties.surge", "above 1"),
    "surge too high": (feature(surge=99), "properties.surge", "at most 10"),
    "no pickup points": (feature(kind="no_pickup", pickup_points=None), "properties.pickup_points", "missing"),
    "too many points": (feature(kind="no_pickup", pickup_points=POINTS * 3), "properties.pickup_points", "1 to 2"),
    "a point without lat": (
        feature(kind="no_pickup", pickup_points=[{"lng": 11.9}]),
        "properties.pickup_points[0].lat",
        "must be a number",
    ),
    "a point in the zone": (
        feature(kind="no_pickup", pickup_points=[{"lat": 57.71, "lng": 11.91}]),
        "properties.pickup_points[0]",
        "in the zone itself",
    ),
    "no feature": ("feature", "type", "must be Feature"),
}


@pytest.mark.parametrize(("wrong", "field", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_feature_is_named_with_its_reason(wrong: Any, field: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_zones(collection(feature(), wrong), LIMITS, BOUNDS)
    assert [error.field for error in refused.value.errors] == [f"features[1].{field}"]
    assert reason in refused.value.errors[0].detail
    assert refused.value.code == "bad_zone"


def test_every_wrong_feature_is_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        read_zones(collection(feature(RING[:-1], name="Left"), feature(), feature(kind="lake")), LIMITS, BOUNDS)
    assert [error.field for error in refused.value.errors] == [
        "features[0].geometry.coordinates[0]",
        "features[2].properties.kind",
    ]
    assert "(in 'Left')" in refused.value.errors[0].detail


def test_an_id_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"features\[1\]\.id: 'a' is the id of another feature too"):
        read_zones(collection(feature() | {"id": "a"}, feature() | {"id": "a"}), LIMITS)


@pytest.mark.parametrize(
    ("geojson", "reason"),
    [
        ([], "type: must be FeatureCollection or Feature"),
        ({"type": "Polygon"}, "not 'Polygon'"),
        (collection(), "not empty"),
        (collection(*[feature()] * 4), "at most 3 are allowed"),
        (collection(feature()) | {"crs": {"properties": {"name": "urn:ogc:def:crs:EPSG::3006"}}}, "crs"),
    ],
)
def test_what_is_no_collection_of_features_is_refused(geojson: Any, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        read_zones(geojson, LIMITS)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b'{"type":"Lake"}', "must be FeatureCollection or Feature"),
        (json.dumps(feature(RING[:-1])).encode(), "feature.geometry.coordinates\\[0\\]: is not closed"),
        (b" " * 33_000_000 + json.dumps(feature()).encode() + b" " * 1_000_000, "bytes"),
    ],
    ids=["cut", "binary", "no collection", "bad feature", "too large"],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "zones.geojson"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=f"zones.geojson: .*{reason}"):
        read_zone_file(path, LIMITS)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"none.geojson: cannot be read: No such file"):
        read_zone_file(tmp_path / "none.geojson", LIMITS)
