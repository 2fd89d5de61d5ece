"""Every point has exactly one segment, whatever was split and merged."""

from __future__ import annotations

import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Conflict, NotFound
from maps import segments
from maps.segmenttable import SegmentTable
from tests.maps.cuts import CENTRE, Step, cut, steps

AREA = 6  # the resolution of the cell whose finest cells are all looked at
HERE = SegmentTable().locate(*CENTRE)
HERE_NEXT = h3.grid_ring(HERE, 3)[0]


@given(steps)
def test_segments_are_a_partition_of_the_finest_cells(changes: list[Step]) -> None:
    table = cut(changes)
    area = segments.ancestor(HERE, AREA)
    finest = h3.cell_to_children(area, segments.FINEST_RESOLUTION)
    coarse = h3.cell_to_children(area, segments.COARSEST_RESOLUTION)
    managed = {each for cell in coarse for each in table.covering(cell)}
    assert all(table.manages(segment) for segment in managed)
    within = [each for segment in managed for each in h3.cell_to_children(segment, segments.FINEST_RESOLUTION)]
    assert sorted(within) == sorted(finest), "none is left out, and none is in two"
    for segment in list(managed)[:50]:
        held = h3.cell_to_children(segment, segments.FINEST_RESOLUTION)
        assert {table.holding(cell) for cell in held} == {segment}


@given(steps, st.lists(st.tuples(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05)), min_size=1, max_size=30))
def test_many_points_get_the_segments_they_get_one_by_one(
    changes: list[Step], offsets: list[tuple[float, float]]
) -> None:
    table = cut(changes)
    points = np.array(offsets) + CENTRE
    found = table.locate_many(points[:, 0], points[:, 1])
    assert found.tolist() == [table.locate(lat, lng) for lat, lng in points.tolist()]
    assert all(table.manages(segment) for segment in found.tolist())


@given(st.floats(-89.9, 89.9), st.floats(-180, 180), st.lists(st.booleans(), max_size=8))
def test_segments_can_be_cut_anywhere_on_earth(lat: float, lng: float, splits: list[bool]) -> None:
    table = cut([(0.0, 0.0, split) for split in splits], lat, lng)
    segment = table.locate(lat, lng)
    assert table.manages(segment)
    assert table.locate_many(np.array([lat]), np.array([lng])).tolist() == [segment]


@given(steps)
def test_merging_undoes_splitting(changes: list[Step]) -> None:
    table = cut(changes)
    segment = table.locate(*CENTRE)
    if segments.resolution_of(segment) < segments.FINEST_RESOLUTION:
        split = table.splitting(segment)
        assert split.locate(*CENTRE) in segments.children_of(segment)
        assert split.merging(split.locate(*CENTRE)) == table


def test_merging_takes_all_that_is_within_the_parent_and_its_pins() -> None:
    split = SegmentTable().splitting(HERE)
    child = split.locate(*CENTRE)
    deeper = split.splitting(child).pinning(*segments.children_of(child), HERE_NEXT)
    sibling = next(each for each in segments.children_of(HERE) if each != child)
    merged = deeper.merging(sibling)
    assert merged.locate(*CENTRE) == HERE
    assert merged.pins == {HERE_NEXT}


def test_what_is_no_segment_now_cannot_be_cut_and_the_refusal_says_what_is_there() -> None:
    table = SegmentTable().splitting(HERE)
    with pytest.raises(NotFound, match=segments.name(table.locate(*segments.centre(HERE)))):
        table.splitting(HERE)
    for change in (table.merging, table.pinning, table.unpinning):
        with pytest.raises(NotFound):
            change(HERE)


def test_neither_finer_than_the_finest_nor_coarser_than_the_coarsest() -> None:
    table = SegmentTable().splitting(HERE)
    table = table.splitting(table.locate(*CENTRE))
    with pytest.raises(Conflict, match="finest"):
        table.splitting(table.locate(*CENTRE))
    merged = SegmentTable().merging(HERE)
    with pytest.raises(Conflict, match="coarsest"):
        merged.merging(merged.locate(*CENTRE))


@given(steps, steps)
def test_a_segment_of_an_earlier_version_has_one_at_its_middle(before: list[Step], after: list[Step]) -> None:
    old, new = cut(before), cut(after)
    segment = old.locate(*CENTRE)
    now = new.now_at(segment)
    assert new.manages(now)
    assert now == segment or not new.manages(segment)
