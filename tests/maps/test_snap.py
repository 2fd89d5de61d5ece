"""Snapping agrees with measuring the distance to every street."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from core.geo import FloatArray, LatLng
from maps.cities import City
from maps.roads import NO_EDGE, RoadGraph
from maps.snap import METRES_PER_DEGREE, NotOnRoad, SnapIndex, build_grid
from tests.maps.graphs import ORIGIN, Street, graph_of, graphs, lattice_place, places_near


def snap_index(roads: RoadGraph) -> SnapIndex:
    return SnapIndex(roads, build_grid(roads), 250.0)


def brute_force(roads: RoadGraph, point: LatLng) -> FloatArray:
    """Distance in metres from a point to every edge, on the plane that touches the point."""
    scale = METRES_PER_DEGREE * np.array([np.cos(np.radians(point.lat)), 1.0])
    points = np.column_stack([roads.point_lng - point.lng, roads.point_lat - point.lat]) * scale
    lines = shapely.linestrings(points, indices=np.repeat(np.arange(roads.edge_count), np.diff(roads.point_at)))
    return np.asarray(shapely.distance(lines, shapely.Point(0, 0)))


@settings(deadline=None)
@given(graphs(), places_near(6))
def test_the_nearest_street_is_found_within_the_limit_and_nothing_beyond(
    roads: RoadGraph, places: tuple[FloatArray, FloatArray]
) -> None:
    found = snap_index(roads).snap(*places)
    for row, point in enumerate(zip(*places, strict=True)):
        distances = brute_force(roads, LatLng(*point))
        if found.edge[row] == NO_EDGE:
            assert distances.min() > 250.0 - 1e-6
            assert found.distance_m[row] == np.inf
        else:
            assert found.distance_m[row] == pytest.approx(distances.min(), abs=1e-6)
            assert distances[found.edge[row]] == pytest.approx(distances.min(), abs=1e-6)
            assert 0.0 <= found.fraction[row] <= 1.0
            partner = roads.opposite[found.edge[row]]
            assert partner == NO_EDGE or found.edge[row] <= partner


@given(graphs(), st.integers(0, 10_000), st.floats(0, 1))
@settings(deadline=None)
def test_a_point_on_a_street_stays_where_it_is(roads: RoadGraph, edge: int, share: float) -> None:
    edge %= roads.edge_count
    begin = int(roads.point_at[edge])
    a, b = (LatLng(float(roads.point_lat[at]), float(roads.point_lng[at])) for at in (begin, begin + 1))
    point = LatLng(a.lat + (b.lat - a.lat) * share, a.lng + (b.lng - a.lng) * share)
    assert snap_index(roads).snap_one(point).distance_m[0] < 1e-3


def test_the_fraction_is_the_share_of_the_length_before_the_point() -> None:
    roads = graph_of([Street(0, 2, False, 30.0, (1.0, 0.0))])
    start, end = lattice_place(0), lattice_place(2)
    middle = LatLng(float(roads.point_lat[1]), float(roads.point_lng[1]))
    index = snap_index(roads)
    assert index.snap_one(LatLng(*start)).fraction[0] == 0.0
    assert index.snap_one(LatLng(*end)).fraction[0] == 1.0
    assert index.snap_one(middle).fraction[0] == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(
    "point", [(0.0, 0.0), (90.0, 0.0), (-90.0, 180.0), (1e300, 0.0), (np.nan, 11.97), (57.7, np.inf)]
)
def test_points_anywhere_else_are_off_the_road(point: tuple[float, float]) -> None:
    roads = graph_of([Street(0, 1, True, 30.0, (0.1, 0.0))])
    found = snap_index(roads).snap(np.array([point[0]]), np.array([point[1]]))
    assert found.edge[0] == NO_EDGE


def test_a_single_point_off_the_road_is_refused_with_its_place() -> None:
    roads = graph_of([Street(0, 1, True, 30.0, (0.1, 0.0))])
    with pytest.raises(NotOnRoad, match=r"57\.800000,11\.970000 is more than 250 m") as caught:
        snap_index(roads).snap_one(LatLng(ORIGIN.lat + 0.1, ORIGIN.lng))
    assert caught.value.code == "not_on_road"


@pytest.mark.slow
def test_it_holds_on_a_real_city(gothenburg: City) -> None:
    rng = np.random.default_rng(4)
    south, west, north, east = gothenburg.bounds
    lat, lng = rng.uniform(south - 0.01, north + 0.01, 30), rng.uniform(west - 0.01, east + 0.01, 30)
    found = gothenburg.eta.snap(lat, lng)
    for row in range(len(lat)):
        nearest = brute_force(gothenburg.roads, LatLng(lat[row], lng[row])).min()
        assert found.distance_m[row] == (pytest.approx(nearest, abs=1e-6) if nearest <= 250 else np.inf)
