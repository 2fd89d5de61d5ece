"""Travel times learned from drives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadFile
from maps.conditions import judged
from maps.drives import DriveReader, Drives, together
from maps.matching import NO_ROAD, Traced, read_trace
from maps.roads import RoadGraph
from maps.traffic import HOURS, Conditions, Traffic, hour_of_week
from runtime.traffic_settings import TrafficSettings
from tests.maps.graphs import Street, graph_of

SETTINGS = TrafficSettings()
MONDAY = 4 * 86_400.0  # 5 January 1970
ROW = [Street(0, 1, True, 50.0, (0, 0)), Street(1, 2, True, 50.0, (0, 0)), Street(2, 3, True, 50.0, (0, 0))]


@pytest.fixture
def roads() -> RoadGraph:
    return graph_of(ROW)


def drives(edges: list[int], seconds: list[float], at: float = MONDAY, share: float = 1.0) -> Drives:
    """One interval for each edge."""
    count = len(edges)
    return Drives(
        seconds=np.array(seconds),
        ended_at=np.full(count, at),
        interval=np.arange(count),
        edge=np.array(edges, dtype=np.int32),
        share=np.full(count, share),
    )


def test_hours_begin_on_monday_at_midnight_utc() -> None:
    assert hour_of_week(MONDAY) == 0
    assert hour_of_week(MONDAY - 1) == HOURS - 1
    assert hour_of_week(MONDAY + 3600 * 25.5) == 25


def test_nothing_seen_means_free_flow(roads: RoadGraph) -> None:
    assert Traffic(roads, SETTINGS).weights(MONDAY) == pytest.approx(roads.seconds)


def test_much_seen_is_believed_and_little_is_not(roads: RoadGraph) -> None:
    slow = float(roads.seconds[0]) * 2
    for count, least, most in ((1, 1.0, 1.3), (5_000, 1.9, 2.1)):
        traffic = Traffic(roads, SETTINGS)
        traffic.observe(drives([0] * count, [slow] * count))
        assert least < traffic.slowdown(MONDAY)[0] < most


def test_what_is_seen_of_some_edges_is_expected_of_their_class(roads: RoadGraph) -> None:
    traffic = Traffic(roads, SETTINGS)
    traffic.observe(drives([0, 1] * 3_000, [2.0 * float(roads.seconds[0])] * 6_000))
    assert traffic.slowdown(MONDAY)[4] == pytest.approx(2.0, rel=0.1)


def test_an_edge_slower_than_its_class_is_known_as_such(roads: RoadGraph) -> None:
    traffic = Traffic(roads, SETTINGS)
    seconds = np.tile(roads.seconds[[0, 2]] * [1.0, 3.0], 3_000).tolist()
    traffic.observe(drives([0, 2] * 3_000, seconds))
    slowdown = traffic.slowdown(MONDAY)
    assert slowdown[2] / slowdown[0] == pytest.approx(3.0, rel=0.1)


def test_a_time_over_several_edges_is_shared_as_they_are_expected_to_take(roads: RoadGraph) -> None:
    traffic = Traffic(roads, SETTINGS)
    total = float(roads.seconds[[0, 2]].sum())
    pair = Drives(
        seconds=np.full(4_000, 2 * total),
        ended_at=np.full(4_000, MONDAY),
        interval=np.repeat(np.arange(4_000), 2),
        edge=np.tile(np.array([0, 2], dtype=np.int32), 4_000),
        share=np.ones(8_000),
    )
    traffic.observe(pair)
    assert traffic.weights(MONDAY)[[0, 2]].sum() == pytest.approx(2 * total, rel=0.05)


def test_a_jam_passes_and_comes_again_in_its_hour(roads: RoadGraph) -> None:
    traffic = Traffic(roads, SETTINGS)
    for day in range(5):
        for hour, slow in ((8, 3.0), (12, 1.0)):
            at = MONDAY + 86_400 * day + 3600 * hour
            count = 1_000
            traffic.observe(drives([0, 2, 4] * count, [float(roads.seconds[0]) * slow] * 3 * count, at))
    week = MONDAY + 7 * 86_400
    jam, calm = (float(traffic.slowdown(week + 3600 * hour)[0]) for hour in (8, 12))
    assert jam > 2.5
    assert calm < 1.5


def test_finished_rides_correct_all_roads(roads: RoadGraph) -> None:
    traffic = Traffic(roads, SETTINGS)
    for _ in range(20):
        expected = 600.0 * float(traffic.slowdown(MONDAY)[0])
        traffic.trip(expected, 720.0, MONDAY)
    assert traffic.slowdown(MONDAY)[0] == pytest.approx(1.2, rel=0.05)


def test_nothing_is_faster_than_cars_or_slower_than_the_limit(roads: RoadGraph) -> None:
    traffic = Traffic(roads, SETTINGS)
    traffic.observe(drives([0] * 5_000, [0.001] * 5_000))
    traffic.observe(drives([2] * 5_000, [1e6] * 5_000))
    weights = traffic.weights(MONDAY)
    assert (weights >= roads.metres / SETTINGS.top_speed_mps - 1e-9).all()
    assert (weights <= SETTINGS.max_slowdown * roads.seconds + 1e-9).all()


def test_conditions_tell_a_jam_from_a_bad_road(roads: RoadGraph) -> None:
    traffic = Traffic(roads, SETTINGS)
    free = roads.seconds
    for hour in range(48):  # edge 2 is slow and empty whenever somebody comes
        at = MONDAY + 3600 * hour
        traffic.observe(drives([0, 4, 2] * 100, [float(free[0]), float(free[4]), 3 * float(free[2])] * 100, at))
    at = MONDAY + 3600 * 48
    traffic.observe(drives([4] * 400, [4 * float(free[4])] * 400, at))
    seen = traffic.conditions(at)
    assert seen.usual[2] > 1.6 > 1.0 > seen.usual[0]
    assert seen.now[4] > 1.3
    assert seen.cars_per_km[4] > 10 * seen.cars_per_km[2]
    assert seen.evidence_s[5] == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.5, 120), st.integers(0, 40)), min_size=1, max_size=30))
def test_what_was_saved_goes_on_where_it_was(seen: list[tuple[int, float, int]]) -> None:
    roads = graph_of(ROW)
    first, at = Traffic(roads, SETTINGS), MONDAY
    for edge, seconds, hours in sorted(seen, key=lambda each: each[2]):
        at = MONDAY + 3600 * hours
        first.observe(drives([edge], [seconds], at))
    parts = first.save("pack")
    first.saved(parts)
    second = Traffic(roads, SETTINGS)
    second.restore(parts, "pack")
    for later in (at, at + 3600 * 5, at + 86_400 * 7):
        assert second.weights(later) == pytest.approx(first.weights(later), rel=1e-5)
    assert set(first.save("pack")) == {"core"}  # no hour has changed since


def test_what_was_learned_on_another_pack_is_refused(roads: RoadGraph) -> None:
    traffic = Traffic(roads, SETTINGS)
    with pytest.raises(BadFile, match="another city pack"):
        traffic.restore(Traffic(roads, SETTINGS).save("other"), "pack")
    with pytest.raises(BadFile):
        traffic.restore({"core": b"no archive"}, "pack")


def test_drives_are_read_from_places_on_edges(roads: RoadGraph) -> None:
    reader = DriveReader(roads, SETTINGS)
    ids = roads.graph_id[[0, 2]].tolist()
    found = reader.read(Traced(ids, [(0, 0.25), None, (1, 0.5)]), np.array([0.0, 5.0, 10.0]))
    assert found.seconds.tolist() == [10.0]  # the ping without a place counts to the next one
    assert found.edge.tolist() == [0, 2]
    assert found.share.tolist() == [0.75, 0.5]


@pytest.mark.parametrize(
    ("edges", "places", "at_s"),
    [
        ([0], [(0, 0.9), (0, 0.1)], [0.0, 5.0]),  # backwards
        ([0, 2], [(0, 0.0), (1, 1.0)], [0.0, 0.5]),  # faster than cars
        ([0, 2], [(0, 0.0), (1, 1.0)], [0.0, 1e4]),  # a gap in time
        ([0, None, 2], [(0, 0.5), (2, 0.5)], [0.0, 30.0]),  # a gap in the road
        ([0, 10**12, 2], [(0, 0.5), (2, 0.5)], [0.0, 30.0]),  # a road that the city does not have
    ],
)
def test_what_is_no_driving_is_left_out(
    roads: RoadGraph, edges: list[int | None], places: list[tuple[int, float]], at_s: list[float]
) -> None:
    ids = [NO_ROAD if edge is None else int(roads.graph_id[edge]) if edge < 10 else edge for edge in edges]
    assert len(DriveReader(roads, SETTINGS).read(Traced(ids, list(places)), np.array(at_s))) == 0


def test_drives_are_joined_and_taken_apart(roads: RoadGraph) -> None:
    both = together([drives([0], [1.0]), drives([], []), drives([2, 4], [2.0, 3.0])])
    assert both.interval.tolist() == [0, 1, 2]
    swapped = both.take(np.array([2, 0]))
    assert (swapped.seconds.tolist(), swapped.edge.tolist(), swapped.interval.tolist()) == ([3.0, 1.0], [4, 0], [0, 1])


def test_a_trace_with_a_break_has_a_gap_between_its_roads() -> None:
    point = {"type": "matched", "distance_along_edge": 0.5}
    answer = {
        "edges": [{"id": 7}, {"id": 8}],
        "matched_points": [
            {**point, "edge_index": 0, "begin_route_discontinuity": True},
            {**point, "edge_index": 1},
            {**point, "type": "interpolated", "edge_index": 1},
            {"type": "unmatched"},
        ],
    }
    assert read_trace(answer) == Traced([7, NO_ROAD, 8], [(0, 0.5), (2, 0.5), None, None])


def test_states_need_evidence_and_tell_crowded_streets_from_bad_ones() -> None:
    seen = Conditions(
        evidence_s=np.array([100.0, 100.0, 100.0, 100.0, 1.0]),
        usual=np.array([0.5, 2.0, 2.0, 1.0, 3.0]),
        now=np.array([1.0, 1.0, 2.0, 1.0, 1.0]),
        cars_per_km=np.array([0.1, 0.1, 9.0, 9.0, 0.0]),
    )
    found = {state: np.flatnonzero(strength).tolist() for state, strength in judged(seen, SETTINGS).items()}
    assert found == {"congested": [2], "good": [0], "poor": [1]}
