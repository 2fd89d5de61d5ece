"""Paths are the ways that EtaIndex times, drawn along real streets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.geo import FloatArray, LatLng, haversine_m
from maps.cities import City
from maps.eta import EtaIndex
from maps.paths import NoRoute, Path, Paths
from maps.roads import NO_EDGE, RoadGraph
from maps.snap import NotOnRoad, Snaps
from tests.maps.graphs import ORIGIN, Street, graph_of, graphs, lattice_place, place_of, places_near, rules


def check(index: EtaIndex, start: Snaps, end: Snaps) -> tuple[int, ...]:
    """A path exists exactly where there is a time, agrees with it, joins its ends and stays on one line; its edges."""
    expected = index.to_one_snapped(start, end)
    paths = Paths(index)
    if np.isinf(expected.seconds[0]):
        with pytest.raises(NoRoute):
            paths.path_snapped(start, end)
        return ()
    path = paths.path_snapped(start, end)
    assert path.duration_s == pytest.approx(expected.seconds[0], abs=1e-6)
    assert path.at_s[0] == 0.0
    assert path.at_s[-1] == pytest.approx(path.duration_s, abs=1e-6)
    assert (np.diff(path.at_s) >= 0).all()
    assert len(path.lat) == len(path.lng) == len(path.at_s) >= 2
    assert haversine_m(path.point(0), place_of(index.roads, start)) < 0.01
    assert haversine_m(path.point(len(path.lat) - 1), place_of(index.roads, end)) < 0.01
    pieces = paths.pieces(start, end)
    for before, after in pairwise(pieces):
        assert index.roads.head[before.edge] == index.roads.tail[after.edge]
        assert (before.end, after.start) == (1.0, 0.0)
    assert sum(piece.seconds for piece in pieces) == pytest.approx(expected.seconds[0], abs=1e-6)
    assert path.distance_m == pytest.approx(expected.metres[0], abs=1e-6)
    drawn = sum(haversine_m(path.point(row), path.point(row + 1)) for row in range(len(path.lat) - 1))
    assert drawn == pytest.approx(path.distance_m, rel=0.02, abs=3 * len(pieces))
    return tuple(piece.edge for piece in pieces)


@settings(deadline=None, max_examples=150)
@given(st.data(), graphs(), places_near(2))
def test_a_path_takes_the_time_that_the_index_gives_and_no_forbidden_turn(
    data: st.DataObject, roads: RoadGraph, places: tuple[FloatArray, FloatArray]
) -> None:
    law = data.draw(rules(roads))
    index = EtaIndex.of(roads, law.turns(roads))
    snaps = index.snap(*places)
    if (snaps.edge != NO_EDGE).all():
        driven = check(index, snaps.take(slice(0, 1)), snaps.take(slice(1, 2)))
        assert all(turn in law.ms for turn in pairwise(driven))
        for way in law.ways:
            assert way not in {driven[at : at + len(way)] for at in range(len(driven))}


def test_no_way_and_no_road_are_told_apart() -> None:
    roads = graph_of([Street(0, 1, False, 36.0, (0.1, 0.0)), Street(3, 4, False, 36.0, (0.1, 0.0))])
    paths = Paths(EtaIndex.of(roads))
    with pytest.raises(NoRoute) as caught:
        paths.path(LatLng(*lattice_place(0)), LatLng(*lattice_place(4)))
    assert caught.value.code == "no_route"
    with pytest.raises(NotOnRoad):
        paths.path(LatLng(*lattice_place(0)), LatLng(ORIGIN.lat + 1, ORIGIN.lng))


def test_a_path_to_where_one_stands_is_a_stop() -> None:
    here = LatLng(*lattice_place(0))
    path = Paths(EtaIndex.of(graph_of([Street(0, 1, True, 36.0, (0.1, 0.0))]))).path(here, here)
    assert (path.duration_s, path.distance_m, len(path.lat)) == (0.0, 0.0, 2)
    assert path.at(0.0).position == here
    assert path.at(5.0).speed_mps == 0.0


@given(st.floats(-10, 100))
def test_a_car_is_between_the_points_around_its_time(seconds: float) -> None:
    path = Path(
        np.array([57.0, 57.001, 57.001]), np.array([12.0, 12.0, 12.002]), np.array([0.0, 10.0, 30.0]), 230.0, 30.0
    )
    place = path.at(seconds)
    share = min(max(seconds / 10.0, 0.0), 1.0)
    assert place.position.lat == pytest.approx(57.0 + 0.001 * share)
    assert place.heading == pytest.approx(0.0 if seconds < 10 else 90.0, abs=0.1)
    assert (place.speed_mps > 0) == (0 <= seconds < 30)


@pytest.mark.slow
def test_it_holds_on_a_real_city(gothenburg: City) -> None:
    rng = np.random.default_rng(6)
    south, west, north, east = gothenburg.bounds
    lat, lng = rng.uniform(south, north, 60), rng.uniform(west, east, 60)
    snaps = gothenburg.eta.snap(lat, lng)
    rows = np.flatnonzero(snaps.edge != NO_EDGE)
    assert len(rows) > 30
    for a, b in pairwise(rows.tolist()):
        check(gothenburg.eta, snaps.take(slice(a, a + 1)), snaps.take(slice(b, b + 1)))
