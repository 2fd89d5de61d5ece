"""Travel times agree with scipy's Dijkstra on the graph with every point put into it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from core.geo import FloatArray, LatLng
from maps.cities import City
from maps.eta import EtaIndex
from maps.roads import NO_EDGE, RoadGraph
from maps.snap import NotOnRoad, Snaps
from tests.maps.graphs import ORIGIN, Street, graph_of, graphs, lattice_place, place_of, places_near, reference_seconds

LOOP = [
    Street(0, 1, False, 36.0, (0.1, 0.0)),
    Street(1, 6, False, 36.0, (0.0, 0.1)),
    Street(6, 0, False, 36.0, (0.1, 0.1)),
]


def on(edge: int, *shares: float) -> Snaps:
    count = len(shares)
    return Snaps(np.full(count, edge, dtype=np.int32), np.array(shares), np.zeros(count))


@settings(deadline=None, max_examples=200)
@given(graphs(), places_near(7))
def test_times_to_one_point_are_the_shortest(roads: RoadGraph, places: tuple[FloatArray, FloatArray]) -> None:
    index = EtaIndex(roads)
    snaps = index.snap(*places)
    end = snaps.take(slice(0, 1))
    if end.edge[0] == NO_EDGE:
        return
    found = index.to_one_snapped(snaps.take(slice(1, None)), end)
    np.testing.assert_allclose(found.seconds, reference_seconds(roads, snaps.take(slice(1, None)), end), atol=1e-6)
    assert (np.isfinite(found.seconds) == np.isfinite(found.metres)).all()


@settings(deadline=None, max_examples=100)
@given(graphs(), places_near(6))
def test_both_directions_agree_pair_by_pair(roads: RoadGraph, places: tuple[FloatArray, FloatArray]) -> None:
    index = EtaIndex(roads)
    snaps = index.snap(*places)
    end = snaps.take(slice(0, 1))
    if end.edge[0] == NO_EDGE:
        return
    together = index.to_one_snapped(snaps, end)
    for row in range(len(snaps)):
        if snaps.edge[row] != NO_EDGE:
            one = index.one_to_snapped(snaps.take(slice(row, row + 1)), end)
            assert one.seconds[0] == pytest.approx(together.seconds[row], abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(graphs(), places_near(6))
def test_a_limit_only_takes_away_what_is_beyond_it(roads: RoadGraph, places: tuple[FloatArray, FloatArray]) -> None:
    index = EtaIndex(roads)
    snaps = index.snap(*places)
    end = snaps.take(slice(0, 1))
    if end.edge[0] == NO_EDGE:
        return
    free, limited = index.to_one_snapped(snaps, end), index.to_one_snapped(snaps, end, limit_s=20.0)
    within = free.seconds <= 20.0
    np.testing.assert_allclose(limited.seconds[within], free.seconds[within])
    assert np.isinf(limited.seconds[~within]).all()
    assert np.isinf(limited.metres[~within]).all()


def test_a_one_way_street_is_driven_one_way_even_between_two_points_on_it() -> None:
    roads = graph_of(LOOP)
    index = EtaIndex(roads)
    ahead = index.to_one_snapped(on(0, 0.2), on(0, 0.7))
    back = index.to_one_snapped(on(0, 0.7), on(0, 0.2))
    assert ahead.metres[0] == pytest.approx(0.5 * roads.metres[0])
    assert back.metres[0] == pytest.approx(roads.metres.sum() - 0.5 * roads.metres[0])
    assert ahead.seconds[0] == pytest.approx(ahead.metres[0] / 10.0)


def test_a_two_way_street_takes_each_direction_at_its_own_speed() -> None:
    roads = graph_of([Street(0, 1, True, 36.0, (0.1, 0.0), back_kph=18.0)])
    index = EtaIndex(roads)
    ahead = index.to_one_snapped(on(0, 0.25), on(0, 0.75)).seconds[0]
    back = index.to_one_snapped(on(0, 0.75), on(0, 0.25)).seconds[0]
    assert ahead == pytest.approx(0.5 * roads.metres[0] / 10.0)
    assert back == pytest.approx(2 * ahead)


def test_the_same_place_is_no_travel_at_all() -> None:
    index = EtaIndex(graph_of(LOOP))
    here = LatLng(*lattice_place(1))
    travel = index.to_one(np.array([here.lat]), np.array([here.lng]), here)
    assert (travel.seconds[0], travel.metres[0]) == (0.0, 0.0)


def test_a_car_at_a_junction_may_take_every_street_of_it() -> None:
    index = EtaIndex(graph_of(LOOP))
    at = [LatLng(*lattice_place(place)) for place in (0, 1, 6)]
    to_first = index.to_one(np.array([p.lat for p in at]), np.array([p.lng for p in at]), at[0])
    nodes = index.nodes_to_one(np.array([0, 1, 2]), 0)
    np.testing.assert_allclose(to_first.seconds, nodes.seconds, atol=1e-9)


def test_points_off_the_road_and_out_of_reach_are_infinitely_far() -> None:
    roads = graph_of([Street(0, 1, False, 36.0, (0.1, 0.0)), Street(3, 4, False, 36.0, (0.1, 0.0))])
    index = EtaIndex(roads)
    lat, lng = (np.array(axis) for axis in zip(lattice_place(0), lattice_place(3), (0.0, 0.0), strict=True))
    travel = index.to_one(lat, lng, LatLng(*lattice_place(1)))
    assert np.isfinite(travel.seconds).tolist() == [True, False, False]
    with pytest.raises(NotOnRoad):
        index.one_to(LatLng(ORIGIN.lat + 1, ORIGIN.lng), lat, lng)


def test_nobody_asked_about_is_no_work() -> None:
    index = EtaIndex(graph_of(LOOP))
    assert len(index.to_one(np.empty(0), np.empty(0), LatLng(*lattice_place(0))).seconds) == 0


@pytest.mark.slow
def test_it_holds_on_a_real_city(gothenburg: City) -> None:
    roads, index = gothenburg.roads, gothenburg.eta
    rng = np.random.default_rng(5)
    for _ in range(2):
        node = rng.integers(0, roads.node_count, 61)
        lat = roads.node_lat[node] + rng.normal(0, 2e-4, 61)
        lng = roads.node_lng[node] + rng.normal(0, 4e-4, 61)
        snaps = index.snap(lat, lng)
        found = index.to_one_snapped(snaps.take(slice(1, None)), snaps.take(slice(0, 1)))
        expected = reference_seconds(roads, snaps.take(slice(1, None)), snaps.take(slice(0, 1)))
        np.testing.assert_allclose(found.seconds, expected, atol=1e-6)
        assert np.isfinite(found.seconds).all()
        crow = np.array([_crow_m(place_of(roads, snaps, row), place_of(roads, snaps)) for row in range(1, 61)])
        assert (found.metres > crow * 0.98 - 5).all()  # no road is shorter than the straight line


def _crow_m(a: LatLng, b: LatLng) -> float:
    from core.geo import haversine_m

    return haversine_m(a, b)
