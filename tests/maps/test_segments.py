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
resolutions = st.integers(segments.COARSEST_RESOLUTION, segments.FINEST_RESOLUTION)


@given(latitudes, longitudes)
def test_a_segment_is_the_ancestor_of_the_finest_cell(lat: float, lng: float) -> None:
    assert segments.name(segments.segment_of(lat, lng)) == h3.cell_to_parent(h3.latlng_to_cell(lat, lng, 10), 8)


@given(latitudes, longitudes, st.integers(0, 10))
def test_ancestors_are_those_of_h3(lat: float, lng: float, resolution: int) -> None:
    finest = segments.finest_of(lat, lng)
    above = segments.ancestor(finest, resolution)
    assert segments.name(above) == h3.cell_to_parent(h3.latlng_to_cell(lat, lng, 10), resolution)
    assert segments.resolution_of(above) == resolution
    assert segments.ancestors(np.array([finest], dtype=np.uint64), resolution).tolist() == [above]


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


@given(latitudes, longitudes, resolutions)
def test_a_name_leads_back_to_its_segment_however_coarse(lat: float, lng: float, resolution: int) -> None:
    segment = segments.ancestor(segments.finest_of(lat, lng), resolution)
    assert segments.parse(segments.name(segment)) == segment


@pytest.mark.parametrize(
    "text", ["", "zz", "-1", "0", "8f2830828052d25", "ffffffffffffffffff", "861f25a77ffffff", "8b1f25a9a200fff"]
)
def test_what_is_no_segment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a segment"):
        segments.parse(text)


def test_a_boundary_surrounds_the_centre() -> None:
    segment = segments.segment_of(57.7, 11.97)
    corners, centre = segments.boundary(segment), segments.centre(segment)
    assert len(corners) == 6
    assert min(c.lat for c in corners) < centre.lat < max(c.lat for c in corners)
    assert min(c.lng for c in corners) < centre.lng < max(c.lng for c in corners)


@given(latitudes, longitudes, resolutions)
def test_a_place_has_one_region_however_segments_are_cut(lat: float, lng: float, resolution: int) -> None:
    finest = segments.finest_of(lat, lng)
    region = segments.region_of(segments.name(segments.ancestor(finest, resolution)))
    assert region == segments.region_of(segments.name(finest))
    assert h3.get_resolution(region) == segments.REGION_RESOLUTION


def test_what_is_no_segment_has_no_region() -> None:
    with pytest.raises(InvalidInput):
        segments.region_of("851f25a7fffffff")
