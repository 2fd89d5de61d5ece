"""Neighbourhoods over mixed resolutions: symmetric, complete, and with bounds that hold."""

from __future__ import annotations

import math

import h3.api.basic_int as h3
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.geo import LatLng, haversine_m
from maps import segments
from maps.neighbours import Neighbours, Shapes, surroundings
from maps.segmenttable import SegmentTable
from tests.maps.cuts import CENTRE, Step, cut, steps

offsets = st.floats(-0.03, 0.03)


@given(st.floats(-89.9, 89.9), st.floats(-180, 180), st.integers(7, 10))
def test_all_points_of_a_segment_lie_within_its_radius(lat: float, lng: float, resolution: int) -> None:
    segment = segments.ancestor(segments.finest_of(lat, lng), resolution)
    middle_lat, middle_lng, radius_m = Shapes().of(segment)
    assert haversine_m(LatLng(middle_lat, middle_lng), LatLng(lat, lng)) <= radius_m


@given(steps, offsets, offsets)
def test_who_touches_a_segment_is_touched_by_it(changes: list[Step], north: float, east: float) -> None:
    near = Neighbours(cut(changes), Shapes())
    segment = near.table.locate(CENTRE[0] + north, CENTRE[1] + east)
    touching = near.touching(segment)
    assert segment not in touching
    assert len(touching) >= 3
    for other in touching:
        assert near.table.manages(other)
        assert segment in near.touching(other)


def test_where_nothing_was_cut_the_neighbours_are_the_ring_around() -> None:
    segment = SegmentTable().locate(*CENTRE)
    assert Neighbours(SegmentTable(), Shapes()).touching(segment) == tuple(sorted(h3.grid_ring(segment, 1)))


@given(steps, offsets, offsets, st.floats(100, 6_000), st.integers(0, 2**32 - 1))
def test_rings_hold_everybody_within_reach_and_their_bounds_hold(
    changes: list[Step], north: float, east: float, most_m: float, seed: int
) -> None:
    table, shapes = cut(changes), Shapes()
    at = LatLng(CENTRE[0] + north, CENTRE[1] + east)
    segment = table.locate(*at)
    around = surroundings(segment, Neighbours(table, shapes).within(segment, most_m), shapes, most_m)
    rings = list(around.rings(at, 500.0, most_m))
    read = [cell for ring in rings for cell in ring.cells]
    assert len(read) == len(set(read))
    rng = np.random.default_rng(seed)
    lat, lng = at.lat + rng.uniform(-0.08, 0.08, 300), at.lng + rng.uniform(-0.14, 0.14, 300)
    for cell, y, x in zip(table.locate_many(lat, lng).tolist(), lat.tolist(), lng.tolist(), strict=True):
        away_m = haversine_m(at, LatLng(y, x))
        if away_m <= most_m:
            assert cell in read
        for ring in rings:
            if cell in ring.cells:
                break
            assert away_m >= ring.outside_m, "what a ring leaves out is as far as it says"


def test_the_first_ring_has_all_who_may_be_near_and_the_last_one_ends_the_search() -> None:
    table, shapes = SegmentTable(), Shapes()
    segment, at = table.locate(*CENTRE), LatLng(*CENTRE)
    around = surroundings(segment, Neighbours(table, shapes).within(segment, 5_000), shapes, 5_000)
    rings = list(around.rings(at, 1_000, 5_000))
    assert [ring.outside_m > 1_000 for ring in rings] == [True] * len(rings)
    assert rings[-1].outside_m == 5_000
    assert not math.isinf(rings[0].outside_m)
