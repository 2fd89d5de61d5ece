"""Segments follow the rule of the design, whatever the point."""

from __future__ import annotations

import h3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from maps import segments

latitudes = st.floats(-89.9, 89.9)
longitudes = st.floats(-180, 180)


@given(latitudes, longitudes)
def test_a_segment_is_the_ancestor_of_the_finest_cell(lat: float, lng: float) -> None:
    assert segments.name(segments.segment_of(lat, lng)) == h3.cell_to_parent(h3.latlng_to_cell(lat, lng, 10), 8)


@given(st.lists(st.tuples(latitudes, longitudes), max_size=20))
def test_many_points_get_the_segments_they_get_one_by_one(points: list[tuple[float, float]]) -> None:
    array = np.array(points, dtype=np.float64).reshape(len(points), 2)
    found = segments.segments_of(array[:, 0], array[:, 1])
    assert found.dtype == np.uint64
    assert found.tolist() == [segments.segment_of(lat, lng) for lat, lng in points]


def test_the_rule_differs_from_the_plain_cell_somewhere_so_it_matters() -> None:
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(57.6, 57.8, 4000), rng.uniform(11.8, 12.1, 4000)]).tolist()
    plain = [h3.str_to_int(h3.latlng_to_cell(lat, lng, 8)) for lat, lng in points]
    ours = [segments.segment_of(lat, lng) for lat, lng in points]
    assert 0 < sum(a != b for a, b in zip(plain, ours, strict=True)) < 400


@given(latitudes, longitudes, st.integers(0, 4))
def test_rings_are_the_segments_at_each_distance_and_leave_none_out(lat: float, lng: float, k: int) -> None:
    segment = segments.segment_of(lat, lng)
    found = segments.rings(segment, k)
    everything = [cell for ring in found for cell in ring]
    assert found[0] == [segment]
    assert len(everything) == len(set(everything))
    assert set(everything) == {h3.str_to_int(cell) for cell in h3.grid_disk(h3.int_to_str(segment), k)}
    assert all(ring == sorted(ring) for ring in found)


@given(latitudes, longitudes)
def test_a_name_leads_back_to_its_segment(lat: float, lng: float) -> None:
    segment = segments.segment_of(lat, lng)
    assert segments.parse(segments.name(segment)) == segment


@pytest.mark.parametrize("text", ["", "zz", "-1", "0", "8f2830828052d25", "ffffffffffffffffff", "8a2a1072b59ffff"])
def test_what_is_no_segment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a segment"):
        segments.parse(text)


def test_a_boundary_surrounds_the_centre() -> None:
    segment = segments.segment_of(57.7, 11.97)
    corners, centre = segments.boundary(segment), segments.centre(segment)
    assert len(corners) == 6
    assert min(c.lat for c in corners) < centre.lat < max(c.lat for c in corners)
    assert min(c.lng for c in corners) < centre.lng < max(c.lng for c in corners)


@given(latitudes, longitudes)
def test_a_region_holds_whole_segments(lat: float, lng: float) -> None:
    segment = segments.segment_of(lat, lng)
    region = segments.region_of(segments.name(segment))
    assert h3.get_resolution(region) == segments.REGION_RESOLUTION
    assert segments.name(segment) in h3.cell_to_children(region, segments.RESOLUTION)


def test_what_is_no_segment_has_no_region() -> None:
    with pytest.raises(InvalidInput):
        segments.region_of("851f25a7fffffff")
