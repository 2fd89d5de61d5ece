"""The lattice of cells: it says what H3 says, or nothing."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from location.cells import Cells
from location.intake import ALL_IN, IN_QUEUE, NONE_IN, find, lattice_key
from maps.cellrules import CellRules
from maps.segments import ancestor, children_of, finest_of, segment_of
from maps.segmenttable import SegmentTable
from maps.zones import Zone, Zones

CENTRE = 57.7, 11.95
SPLIT = segment_of(*CENTRE)
AREA = shapely.Polygon([(11.85, 57.66), (12.05, 57.64), (12.02, 57.76), (11.9, 57.77)])
QUEUE = shapely.Polygon([(11.93, 57.69), (11.96, 57.69), (11.96, 57.71)])

places = st.tuples(st.floats(57.6, 57.8), st.floats(11.8, 12.1))


def known(cells: Cells, lat: float, lng: float) -> tuple[int, int] | None:
    key = lattice_key(lat, lng, cells.plane)
    place = find(cells.keys, key)
    return (int(cells.segments[place]), int(cells.states[place])) if cells.keys[place] == key > 0 else None


class Town:
    """A town with an area, a queue and a segment that was split."""

    def __init__(self) -> None:
        self.table = SegmentTable(2, frozenset([SPLIT]))
        self.zones = Zones([Zone("a", "service_area", "a", AREA), Zone("q", "airport_queue", "q", QUEUE)])
        self.cells = Cells(CellRules(lambda: self.table, lambda: self.zones))
        self.cells.check()


TOWN = Town()


@settings(max_examples=300, deadline=None)  # the first example may compile
@given(places, st.floats(-0.0006, 0.0006), st.floats(-0.0012, 0.0012))
def test_what_is_known_of_a_cell_holds_at_every_place_in_it(
    place: tuple[float, float], north: float, east: float
) -> None:
    TOWN.cells.learn(*place)
    lat, lng = place[0] + north, place[1] + east
    answer = known(TOWN.cells, lat, lng)
    if answer is None:
        return
    segment, state = answer
    assert segment == TOWN.table.locate(lat, lng)
    if state & ALL_IN:
        assert TOWN.zones.contains(lat, lng)
    if state & NONE_IN:
        assert not TOWN.zones.contains(lat, lng)
    if not state & IN_QUEUE:
        assert TOWN.zones.at("airport_queue", lat, lng) is None


@pytest.mark.parametrize(
    "city", [(57.7, 11.95), (41.15, -8.61), (-33.86, 151.2), (1.3, 103.8), (35.6, 139.7), (64.1, -21.9)]
)
def test_two_places_have_one_key_exactly_where_they_have_one_cell(city: tuple[float, float]) -> None:
    cells = Cells(CellRules(SegmentTable, lambda: TOWN.zones))
    cells.check()
    cells.learn(*city)
    rng = np.random.default_rng(3)
    sent = rng.uniform((-0.3, -0.4), (0.3, 0.4), (4_000, 2)) + city
    by_key: dict[int, set[int]] = {}
    for lat, lng in sent.tolist():
        if (key := lattice_key(lat, lng, cells.plane)) > 0:
            by_key.setdefault(key, set()).add(finest_of(lat, lng))
    assert len(by_key) > 3_000
    assert all(len(found) == 1 for found in by_key.values())
    assert len({cell for found in by_key.values() for cell in found}) == len(by_key)


def test_nothing_is_known_near_a_pentagon_and_nothing_breaks() -> None:
    pentagon = 64.7, 10.53619907546767  # the middle of one of H3's twelve
    cells = Cells(CellRules(SegmentTable, lambda: TOWN.zones))
    cells.check()
    cells.learn(*pentagon)
    for lat, lng in np.random.default_rng(1).uniform(-0.02, 0.02, (200, 2)) + pentagon:
        cells.learn(lat, lng)
        answer = known(cells, lat, lng)
        assert answer is None or answer[0] == segment_of(lat, lng)


def test_new_segments_and_zones_make_everything_unknown() -> None:
    town = Town()
    town.cells.learn(*CENTRE)
    cut = known(town.cells, *CENTRE)
    assert cut is not None
    assert ancestor(cut[0], 8) == SPLIT
    assert cut[0] in children_of(SPLIT)
    town.table = SegmentTable(3)
    town.cells.check()
    assert known(town.cells, *CENTRE) is None
    town.cells.learn(*CENTRE)
    assert known(town.cells, *CENTRE) == (SPLIT, cut[1])
