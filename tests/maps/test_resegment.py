"""Segments are split and merged by a load that stays, never by one that flickers."""

from __future__ import annotations

import h3.api.basic_int as h3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.geo import LatLng
from maps import segments
from maps.adapters.memory import MemorySegments
from maps.knownsegments import KnownSegments
from maps.resegment import Pressure, resegment
from maps.segmentdesk import SegmentDesk
from maps.segmentkeeper import SegmentKeeper
from maps.segmenttable import SegmentTable
from runtime.clocks import ManualClock
from runtime.lease import Lease
from runtime.segment_settings import SegmentSettings
from runtime.sql import Database
from tests.maps.cuts import CENTRE, Step, cut, steps

SETTINGS = SegmentSettings(split_above=20, merge_below=10, split_looks=3, merge_looks=4)
HERE = SegmentTable().locate(*CENTRE)
AREA = frozenset({segments.ancestor(HERE, segments.COARSEST_RESOLUTION)})
NOWHERE: frozenset[int] = frozenset()


def looks(
    table: SegmentTable, loads: list[dict[int, int]], area: frozenset[int] = NOWHERE
) -> tuple[SegmentTable, Pressure]:
    pressure = Pressure()
    for load in loads:
        table, pressure = resegment(table, load, area, pressure, SETTINGS)
    return table, pressure


def test_a_full_segment_is_split_when_it_was_full_at_so_many_looks_in_a_row() -> None:
    full, fair = {HERE: 21}, {HERE: 20}
    assert looks(SegmentTable(), [full, full])[0] == SegmentTable()
    assert looks(SegmentTable(), [full, full, fair, full, full])[0] == SegmentTable()
    assert looks(SegmentTable(), [full, full, full])[0] == SegmentTable().splitting(HERE)


def test_seven_empty_segments_are_merged_when_they_were_empty_at_so_many_looks_in_a_row() -> None:
    split = SegmentTable().splitting(HERE)
    child = split.locate(*CENTRE)
    few, many = {child: 9}, {child: 10}
    assert looks(split, [few, few, few])[0] == split
    assert looks(split, [few, few, few, many, few, few, few])[0] == split
    assert looks(split, [few] * 4)[0] == SegmentTable()


def test_only_within_the_city_is_anything_merged_beyond_the_base() -> None:
    assert looks(SegmentTable(), [{}] * 9)[0] == SegmentTable()
    merged, _ = looks(SegmentTable(), [{}] * 9, AREA)
    assert merged.merged == AREA


def test_pins_are_left_alone() -> None:
    pinned = SegmentTable().pinning(HERE)
    assert looks(pinned, [{HERE: 99}] * 9, AREA)[0] == pinned
    split = SegmentTable().splitting(HERE)
    one = split.pinning(split.locate(*CENTRE))
    assert looks(one, [{}] * 9)[0] == one


def test_the_fullest_come_first_when_there_are_more_than_one_look_may_change() -> None:
    ring = sorted(h3.grid_disk(HERE, 2))
    load = {segment: 30 + place for place, segment in enumerate(ring)}
    settings = SegmentSettings(split_above=20, merge_below=10, split_looks=1, changes_max=5)
    table, pressure = resegment(SegmentTable(), load, NOWHERE, Pressure(), settings)
    assert table.split == set(ring[-5:])
    table, _ = resegment(table, {s: n for s, n in load.items() if table.manages(s)}, NOWHERE, pressure, settings)
    assert table.split == set(ring[-10:])


def test_limits_that_would_split_and_merge_in_turn_are_refused() -> None:
    with pytest.raises(ValueError, match="merge_below"):
        SegmentSettings(split_above=10, merge_below=11)


points = st.lists(st.tuples(st.floats(-0.02, 0.02), st.floats(-0.02, 0.02)), max_size=150)


def load_of(table: SegmentTable, places: list[tuple[float, float]]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for north, east in places:
        segment = table.locate(CENTRE[0] + north, CENTRE[1] + east)
        counts[segment] = counts.get(segment, 0) + 1
    return counts


@given(steps, points)
def test_a_load_that_stays_brings_the_table_to_rest_and_no_segment_is_too_full(
    changes: list[Step], places: list[tuple[float, float]]
) -> None:
    table, pressure, versions = cut(changes), Pressure(), []
    for _ in range(40):
        table, pressure = resegment(table, load_of(table, places), AREA, pressure, SETTINGS)
        versions.append(table)
    assert versions[-1] == versions[-12], "at rest: no look in a dozen has changed anything"
    for segment, count in load_of(table, places).items():
        assert table.manages(segment)
        assert count <= 20 or segments.resolution_of(segment) == segments.FINEST_RESOLUTION


@given(points, st.lists(st.booleans(), min_size=6, max_size=30))
def test_a_load_that_comes_and_goes_changes_nothing(places: list[tuple[float, float]], there: list[bool]) -> None:
    flickering = [at and place % 3 != 2 for place, at in enumerate(there)]  # never at three looks in a row
    table, pressure = SegmentTable(), Pressure()
    for at in flickering:
        table, pressure = resegment(table, load_of(table, places if at else []), NOWHERE, pressure, SETTINGS)
    assert table == SegmentTable()


async def test_of_two_keepers_one_works_and_the_other_goes_on_when_it_stops(database: Database) -> None:
    store, seconds = MemorySegments(), [0.0]
    full = {HERE: 99}

    async def load() -> dict[int, int]:
        return full

    def keeper(owner: str) -> tuple[SegmentKeeper, SegmentDesk, Lease]:
        desk = SegmentDesk(store, KnownSegments(SETTINGS, lambda: seconds[0]), ManualClock())
        lease = Lease(database, "segments", owner)
        return SegmentKeeper(desk, load, NOWHERE, lease, SETTINGS), desk, lease

    one, desk, lease = keeper("one")
    other, others_desk, _ = keeper("other")
    for each in (one, other):
        await each.lead()
    for _ in range(3):
        await other.look()
    assert await store.version() == 1, "the other holds no lease"
    for _ in range(3):
        await one.look()
    assert desk.newest.split == {HERE}
    full = {desk.at(LatLng(*CENTRE)): 99}
    for _ in range(9):
        await one.look()
    assert await store.version() == 2, "a table that rolls out is left to do so"
    await lease.release()
    seconds[0] += SETTINGS.switch_s + 1
    await other.lead()
    await others_desk.refresh()
    seconds[0] += SETTINGS.switch_s + 1
    await others_desk.refresh()
    for _ in range(2):
        await other.look()
    assert await store.version() == 2, "it begins to count anew"
    await other.look()
    assert await store.version() == 3
