"""Which zone a place is in: the raster answers as the polygons, for one place and for many."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from core.geo import LatLng
from maps.zones import NO_ZONE, Layer, PickupPoint, Zone, ZoneKind, Zones, in_force

corners = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=3, max_size=8)


def square(west: float, south: float, side: float = 1.0) -> shapely.Polygon:
    return shapely.box(west, south, west + side, south + side)


def zone(zone_id: str, kind: ZoneKind, polygon: shapely.Polygon, surge: float = 1.0) -> Zone:
    return Zone(zone_id, kind, zone_id, polygon, surge=surge)


@given(shapes=st.lists(corners, min_size=1, max_size=5), holed=st.booleans(), seed=st.integers(0, 1_000))
def test_a_layer_answers_as_its_polygons_do(shapes: list[list[tuple[float, float]]], holed: bool, seed: int) -> None:
    polygons = [shapely.convex_hull(shapely.MultiPoint(points)).buffer(0.1) for points in shapes]
    if holed:
        polygons[0] = polygons[0].difference(polygons[0].centroid.buffer(0.05))
    layer = Layer(polygons)
    rng = np.random.default_rng(seed)
    on_edges = np.vstack([shapely.get_coordinates(polygon)[:5] for polygon in polygons])
    lng = np.r_[rng.uniform(-1, 12, 300), on_edges[:, 0]]
    lat = np.r_[rng.uniform(-1, 12, 300), on_edges[:, 1]]
    inside = np.array([shapely.intersects_xy(polygon, lng, lat) for polygon in polygons])
    first = np.where(inside.any(axis=0), inside.argmax(axis=0), NO_ZONE)
    assert layer.which_many(lat, lng).tolist() == first.tolist()
    assert [layer.which(*at) for at in zip(lat.tolist(), lng.tolist(), strict=True)] == first.tolist()


def test_places_beyond_the_earth_and_not_a_number_are_in_no_zone() -> None:
    layer = Layer([square(0, 0)])
    assert layer.which(-91, 0) == layer.which(np.nan, 0.5) == NO_ZONE
    assert layer.which_many(np.array([np.nan, np.inf, -np.inf, 0.5]), np.full(4, 0.5)).tolist() == [-1, -1, -1, 0]


def test_a_city_without_zones_has_no_place_in_one() -> None:
    none = Zones([])
    assert not none.contains(0, 0)
    assert none.at("no_pickup", 0, 0) is None
    assert none.surge_floor(LatLng(0, 0)) == 1.0
    assert not none.inside(np.zeros(2), np.zeros(2)).any()


def test_of_zones_that_overlap_the_highest_surge_counts_then_the_smallest() -> None:
    zones = Zones(
        [
            zone("low", "surge_floor", square(0, 0), 1.2),
            zone("high", "surge_floor", square(0.5, 0), 1.5),
            zone("large", "airport_queue", square(0, 0, 3)),
            zone("small", "airport_queue", square(1, 1)),
        ]
    )
    assert [zones.surge_floor(LatLng(0.5, lng)) for lng in (0.2, 0.7, 1.2, 1.7)] == [1.2, 1.5, 1.5, 1.0]
    found = [zones.at("airport_queue", *at) for at in ((1.5, 1.5), (0.5, 0.5))]
    assert [each.zone_id for each in found if each is not None] == ["small", "large"]


def test_service_areas_add_up() -> None:
    zones = Zones([zone("west", "service_area", square(0, 0)), zone("east", "service_area", square(2, 0))])
    assert zones.inside(np.full(3, 0.5), np.array([0.5, 1.5, 2.5])).tolist() == [True, False, True]


def test_pickup_points_come_nearest_first_and_never_from_another_no_pickup_zone() -> None:
    points = tuple(
        PickupPoint(LatLng(*at), name) for at, name in (((0, 2), "far"), ((0, 1.1), "near"), ((5, 5), "in b"))
    )
    a = Zone("a", "no_pickup", "a", square(0, 0), points)
    zones = Zones([a, Zone("b", "no_pickup", "b", square(4.5, 4.5))])
    assert [point.name for point in zones.pickup_points(a, LatLng(0, 0.5))] == ["near", "far"]


@pytest.fixture
def around() -> Zone:
    return zone("roads", "service_area", square(0, 0, 10))


def test_changes_lie_over_the_pack(around: Zone) -> None:
    pack = [zone("a", "surge_floor", square(0, 0), 1.1), zone("b", "surge_floor", square(2, 0), 1.2)]
    changed = {"a": zone("a", "surge_floor", square(0, 0), 1.9), "b": None, "c": zone("c", "no_pickup", square(4, 0))}
    zones = in_force(pack, changed, around, 7)
    assert zones.version == 7
    assert {each.zone_id: each.surge for each in zones.all} == {"a": 1.9, "c": 1.0, "roads": 1.0}


def test_the_area_around_the_roads_is_the_service_area_until_a_zone_is_one(around: Zone) -> None:
    town = zone("town", "service_area", square(0, 0, 2))
    assert in_force([], {}, around).contains(5, 5)
    assert not in_force([town], {}, around).contains(5, 5)
    assert in_force([town], {"town": None}, around).contains(5, 5)
