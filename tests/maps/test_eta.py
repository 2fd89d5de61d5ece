"""Travel times agree with a plain search that obeys the rules of the road one by one."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.geo import FloatArray, LatLng
from maps.eta import EtaIndex, Travel
from maps.roads import NO_EDGE, RoadGraph
from maps.snap import NotOnRoad, Snaps
from tests.maps.graphs import (
    ORIGIN,
    Rules,
    Street,
    graph_of,
    graphs,
    lattice_place,
    places_near,
    reference,
    rules,
)

LOOP = [
    Street(0, 1, False, 36.0, (0.1, 0.0)),
    Street(1, 6, False, 36.0, (0.0, 0.1)),
    Street(6, 0, False, 36.0, (0.1, 0.1)),
]


def on(edge: int, *shares: float) -> Snaps:
    count = len(shares)
    return Snaps(np.full(count, edge, dtype=np.int32), np.array(shares), np.zeros(count))


def one(points: Snaps, row: int) -> Snaps:
    return points.take(slice(row, row + 1))


@st.composite
def weights(draw: st.DrawFn, roads: RoadGraph) -> FloatArray:
    """Seconds of every edge, some closed."""
    times = st.sampled_from([0.0, 0.4, 3.0, 7.5, 12.0, 80.0, np.inf])
    return np.array(draw(st.lists(times, min_size=roads.edge_count, max_size=roads.edge_count)))


def check(found: Travel, roads: RoadGraph, law: Rules, seconds: FloatArray, snaps: Snaps) -> None:
    """A whole table is what the plain search finds, seconds and metres."""
    for row in range(len(snaps)):
        expected = np.array(reference(roads, law, seconds, one(snaps, row), snaps))
        np.testing.assert_allclose(found.seconds[row], expected[:, 0] / 1000, atol=1e-9)
        np.testing.assert_allclose(found.metres[row], expected[:, 1], atol=1e-6)


@settings(deadline=None, max_examples=200)
@given(st.data(), graphs(), places_near(5))
def test_times_and_lengths_are_those_of_the_fastest_allowed_way(
    data: st.DataObject, roads: RoadGraph, places: tuple[FloatArray, FloatArray]
) -> None:
    law = data.draw(rules(roads))
    index = EtaIndex.of(roads, law.turns(roads))
    snaps = index.snap(*places)
    check(index.table(snaps, snaps), roads, law, roads.seconds, snaps)


@settings(deadline=None, max_examples=100)
@given(st.data(), graphs(), places_near(4))
def test_new_weights_and_closures_take_effect_and_can_be_taken_back(
    data: st.DataObject, roads: RoadGraph, places: tuple[FloatArray, FloatArray]
) -> None:
    law = data.draw(rules(roads))
    index = EtaIndex.of(roads, law.turns(roads))
    snaps = index.snap(*places)
    before = index.table(snaps, snaps)
    for _ in range(2):
        seconds = data.draw(weights(roads))
        index.update(seconds)
        check(index.table(snaps, snaps), roads, law, seconds, snaps)
    index.update(roads.seconds)
    again = index.table(snaps, snaps)
    np.testing.assert_array_equal(again.seconds, before.seconds)
    np.testing.assert_array_equal(again.metres, before.metres)


@settings(deadline=None, max_examples=50)
@given(graphs(), places_near(6))
def test_all_ways_to_ask_give_the_same_answer(roads: RoadGraph, places: tuple[FloatArray, FloatArray]) -> None:
    index = EtaIndex.of(roads)
    snaps = index.snap(*places)
    table = index.table(snaps, snaps)
    np.testing.assert_array_equal(index.pairs(snaps, snaps).seconds, np.diagonal(table.seconds))
    for row in range(len(snaps)):
        np.testing.assert_array_equal(index.to_one_snapped(snaps, one(snaps, row)).seconds, table.seconds[:, row])
        np.testing.assert_array_equal(index.one_to_snapped(one(snaps, row), snaps).metres, table.metres[row])
        if snaps.edge[row] != NO_EDGE:
            here = LatLng(float(places[0][row]), float(places[1][row]))
            np.testing.assert_array_equal(index.to_one(*places, here).seconds, table.seconds[:, row])
            np.testing.assert_array_equal(index.one_to(here, *places).seconds, table.seconds[row])


@settings(deadline=None, max_examples=50)
@given(graphs(), places_near(6))
def test_a_limit_only_takes_away_what_is_beyond_it(roads: RoadGraph, places: tuple[FloatArray, FloatArray]) -> None:
    index = EtaIndex.of(roads)
    snaps = index.snap(*places)
    free, limited = index.to_one_snapped(snaps, one(snaps, 0)), index.to_one_snapped(snaps, one(snaps, 0), limit_s=20.0)
    within = free.seconds <= 20.0
    np.testing.assert_array_equal(limited.seconds[within], free.seconds[within])
    assert np.isinf(limited.seconds[~within]).all()
    assert np.isinf(limited.metres[~within]).all()


def test_a_one_way_street_is_driven_one_way_even_between_two_points_on_it() -> None:
    roads = graph_of(LOOP)
    index = EtaIndex.of(roads)
    ahead = index.to_one_snapped(on(0, 0.2), on(0, 0.7))
    back = index.to_one_snapped(on(0, 0.7), on(0, 0.2))
    assert ahead.metres[0] == pytest.approx(0.5 * roads.metres[0], abs=0.01)
    assert back.metres[0] == pytest.approx(roads.metres.sum() - 0.5 * roads.metres[0], abs=0.02)
    assert ahead.seconds[0] == pytest.approx(ahead.metres[0] / 10.0, abs=0.001)


def test_a_two_way_street_takes_each_direction_at_its_own_speed() -> None:
    roads = graph_of([Street(0, 1, True, 36.0, (0.1, 0.0), back_kph=18.0)])
    index = EtaIndex.of(roads)
    ahead = index.to_one_snapped(on(0, 0.25), on(0, 0.75)).seconds[0]
    back = index.to_one_snapped(on(0, 0.75), on(0, 0.25)).seconds[0]
    assert ahead == pytest.approx(0.5 * roads.metres[0] / 10.0, abs=0.001)
    assert back == pytest.approx(2 * ahead, abs=0.001)


def test_the_same_place_is_no_travel_at_all() -> None:
    index = EtaIndex.of(graph_of(LOOP))
    here = LatLng(*lattice_place(1))
    travel = index.to_one(np.array([here.lat]), np.array([here.lng]), here)
    assert (travel.seconds[0], travel.metres[0]) == (0.0, 0.0)


def test_a_car_at_a_junction_may_take_every_street_of_it() -> None:
    index = EtaIndex.of(graph_of(LOOP))
    at = [LatLng(*lattice_place(place)) for place in (0, 1, 6)]
    to_first = index.to_one(np.array([p.lat for p in at]), np.array([p.lng for p in at]), at[0])
    nodes = index.at_nodes(np.array([0, 1, 2]))
    np.testing.assert_allclose(to_first.seconds, index.to_one_snapped(nodes, one(nodes, 0)).seconds, atol=1e-9)


def test_points_off_the_road_and_out_of_reach_are_infinitely_far() -> None:
    roads = graph_of([Street(0, 1, False, 36.0, (0.1, 0.0)), Street(3, 4, False, 36.0, (0.1, 0.0))])
    index = EtaIndex.of(roads)
    lat, lng = (np.array(axis) for axis in zip(lattice_place(0), lattice_place(3), (0.0, 0.0), strict=True))
    travel = index.to_one(lat, lng, LatLng(*lattice_place(1)))
    assert np.isfinite(travel.seconds).tolist() == [True, False, False]
    with pytest.raises(NotOnRoad):
        index.one_to(LatLng(ORIGIN.lat + 1, ORIGIN.lng), lat, lng)


def test_nobody_asked_about_is_no_work() -> None:
    index = EtaIndex.of(graph_of(LOOP))
    assert len(index.to_one(np.empty(0), np.empty(0), LatLng(*lattice_place(0))).seconds) == 0
    assert index.table(on(0), on(0, 0.5)).seconds.shape == (0, 1)


def test_pairs_that_do_not_match_are_refused() -> None:
    with pytest.raises(InvalidInput, match="as many origins as ends"):
        EtaIndex.of(graph_of(LOOP)).pairs(on(0, 0.1, 0.2), on(0, 0.5))


@pytest.mark.parametrize(
    "wrong", [[1.0, 1.0], [1.0, 1.0, np.nan], [1.0, 1.0, -1.0], [1.0, 1.0, 1e6], [1.0, 1.0, -np.inf]]
)
def test_weights_that_are_none_are_refused_and_change_nothing(wrong: list[float]) -> None:
    roads = graph_of(LOOP)
    index = EtaIndex.of(roads)
    before = index.metric
    with pytest.raises(InvalidInput) as caught:
        index.update(np.array(wrong))
    assert caught.value.code == "bad_weights"
    assert index.metric is before


def test_readers_see_one_set_of_weights_or_the_other_while_they_change() -> None:
    roads = graph_of([Street(a, a + 1, True, 36.0, (0.1, 0.0)) for a in (0, 1, 2, 3, 5, 6, 7, 8)]
                     + [Street(a, a + 5, True, 36.0, (0.0, 0.1)) for a in range(5)])  # fmt: skip
    index = EtaIndex.of(roads)
    nodes = index.at_nodes(np.arange(roads.node_count))
    answers = set[bytes]()
    for factor in (1.0, 2.0, 3.0):
        index.update(factor * roads.seconds)
        answers.add(index.table(nodes, nodes).seconds.tobytes())
    stop, wrong = threading.Event(), list[bytes]()

    def read() -> None:
        while not stop.is_set():
            seen = index.table(nodes, nodes).seconds.tobytes()
            if seen not in answers:
                wrong.append(seen)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(300):
        index.update((1.0 + turn % 3) * roads.seconds)
    stop.set()
    for reader in readers:
        reader.join()
    assert len(answers) == 3
    assert not wrong


def test_weights_that_somebody_still_reads_are_not_written_over() -> None:
    roads = graph_of(LOOP)
    index = EtaIndex.of(roads)
    held = index.metric
    copies = [labels.copy() for labels in held.labels]
    for factor in (2.0, 3.0, 4.0):
        index.update(factor * roads.seconds)
    for labels, copy in zip(held.labels, copies, strict=True):
        np.testing.assert_array_equal(labels, copy)


def test_two_sets_of_labels_serve_any_number_of_updates() -> None:
    roads = graph_of(LOOP)
    index = EtaIndex.of(roads)
    places = set()
    for turn in range(6):
        index.update((1.0 + turn) * roads.seconds)
        places.add(index.metric.labels[0].ctypes.data)
    assert len(places) == 2


def test_an_index_that_nobody_holds_is_gone() -> None:
    index = EtaIndex.of(graph_of(LOOP))
    index.update(index.roads.seconds)
    gone = weakref.ref(index)
    del index
    gc.collect()
    assert gone() is None
