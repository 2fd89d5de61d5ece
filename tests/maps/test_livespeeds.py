"""The route workers follow the times and closures in force."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from core.errors import InvalidInput, Unavailable
from core.geo import LatLng
from core.ids import Ids
from maps.adapters.memory import MemoryClosures, MemoryTraffic
from maps.cities import City
from maps.livespeeds import CLOSED_WORD, LiveSpeeds, slowest, speed_words
from maps.paths import NoRoute
from maps.published import PublishedTimes
from maps.roaddesk import RoadDesk
from maps.roads import RoadGraph
from maps.routes import RouteWorkers
from maps.tilefile import bits
from runtime.clocks import ManualClock
from runtime.settings import MapSettings, Settings
from tests.maps.graphs import Street, graph_of

_UNKNOWN = 127


def said_kph(roads: RoadGraph, seconds: np.ndarray) -> np.ndarray:
    """The speeds that Valhalla reads, as it blends live speeds of a part of an edge with the tile's own."""
    words = speed_words(roads, seconds)
    live, second, third = (bits(words, at, 7) for at in (0, 14, 21))
    first_end, second_end = bits(words, 28, 8), bits(words, 36, 8)
    covered = np.where(first_end == 255, 255, first_end + np.where(second == _UNKNOWN, 0, second_end - first_end))
    assert (third[first_end < 255] == _UNKNOWN).all()
    own = np.rint(roads.metres * 3.6 / roads.seconds)
    part = (covered / 255.0).astype(np.float32)
    return np.floor(2 * live * part + (1 - part) * own)


@pytest.fixture(scope="module")
def streets() -> RoadGraph:
    """Streets whose own speeds are all whole km/h from 2 to 120, several of each."""
    return graph_of([Street(i % 20, i % 20 + 1, True, 2 + i % 119, (0, 0)) for i in range(1_190)])


def test_every_whole_speed_is_said_whatever_the_tile_says(streets: RoadGraph) -> None:
    own = np.rint(streets.metres * 3.6 / streets.seconds)
    for kph in range(2, 200):
        found = said_kph(streets, streets.metres * 3.6 / kph)
        assert (found == kph).all(), (kph, own[found != kph])


def test_many_edges_take_as_long_as_they_should(streets: RoadGraph) -> None:
    for factor in (1.0, 1.13, 1.37, 2.9):
        seconds = np.minimum(streets.seconds * factor, slowest(streets))
        taken = streets.metres * 3.6 / said_kph(streets, seconds)
        assert taken.sum() == pytest.approx(seconds.sum(), rel=0.01)


def test_a_closed_edge_has_the_word_for_closed(streets: RoadGraph) -> None:
    seconds = streets.seconds.copy()
    seconds[5] = np.inf
    assert np.flatnonzero(speed_words(streets, seconds) == CLOSED_WORD).tolist() == [5]


@pytest.fixture
def speeds(gothenburg: City) -> Iterator[LiveSpeeds]:
    speeds = LiveSpeeds(gothenburg.pack_dir, gothenburg.roads)
    yield speeds
    speeds.close()


@pytest.fixture
async def workers(gothenburg: City, speeds: LiveSpeeds) -> AsyncIterator[RouteWorkers]:
    async with aclosing(RouteWorkers(gothenburg.valhalla_config, speeds=speeds)) as workers:
        yield workers


def ends(city: City, count: int, seed: int = 5) -> list[tuple[LatLng, LatLng]]:
    """Pairs of random junctions."""
    pairs = np.random.default_rng(seed).integers(0, city.roads.node_count, (count, 2)).tolist()
    return [(city.roads.node(a), city.roads.node(b)) for a, b in pairs]


@pytest.mark.slow
async def test_a_route_takes_as_long_as_the_index_says_when_times_change_under_the_worker(
    gothenburg: City, speeds: LiveSpeeds, workers: RouteWorkers
) -> None:
    roads, eta = gothenburg.roads, gothenburg.eta
    rng = np.random.default_rng(1)
    learned = np.minimum(roads.seconds * rng.uniform(1.5, 2.5, roads.edge_count), slowest(roads))
    pids: set[int] = set()
    try:
        for seconds in (roads.seconds, learned, roads.seconds):
            speeds.write(seconds)
            eta.update(seconds)
            apart = []
            for start, end in ends(gothenburg, 12):
                ours = eta.to_one(np.array([start.lat]), np.array([start.lng]), end).seconds[0]
                apart.append(abs((await workers.route(start, end)).duration_s / ours - 1))
            assert np.median(apart) < 0.03
            pids |= set(workers.pids())
    finally:
        eta.update(roads.seconds)
    assert len(pids) == 1


@pytest.mark.slow
async def test_no_route_leads_over_closed_streets(gothenburg: City, speeds: LiveSpeeds, workers: RouteWorkers) -> None:
    roads, eta, rng = gothenburg.roads, gothenburg.eta, np.random.default_rng(2)
    for start, end in ends(gothenburg, 8):
        way = eta.way(eta.snap_one(start), eta.snap_one(end))
        assert way is not None
        inner = way.edges[3:-3]
        if not len(inner):
            continue
        shut = rng.choice(inner, min(3, len(inner)), replace=False)
        seconds = roads.seconds.copy()
        seconds[shut] = np.inf
        speeds.write(seconds)
        try:
            route = await workers.route(start, end)
        except NoRoute:
            continue
        driven = {(round(p.lat, 6), round(p.lng, 6)) for p in route.shape}
        for edge in shut:
            points = slice(roads.point_at[edge], roads.point_at[edge + 1])
            shape = {
                (round(a, 6), round(b, 6))
                for a, b in zip(roads.point_lat[points].tolist(), roads.point_lng[points].tolist(), strict=True)
            }
            steps = list(zip(route.shape, route.shape[1:], strict=False))
            assert not (shape <= driven and _along(roads, int(edge), steps)), edge


def _along(roads: RoadGraph, edge: int, steps: list[tuple[LatLng, LatLng]]) -> bool:
    """Whether a route drives an edge in its own direction, from its first point to its second."""
    at = int(roads.point_at[edge])
    first, second = (
        (round(float(roads.point_lat[row]), 6), round(float(roads.point_lng[row]), 6)) for row in (at, at + 1)
    )
    return any(
        (round(a.lat, 6), round(a.lng, 6)) == first and (round(b.lat, 6), round(b.lng, 6)) == second for a, b in steps
    )


@pytest.mark.slow
async def test_routes_follow_published_times_and_closures_of_the_road_desk(
    gothenburg: City, speeds: LiveSpeeds, workers: RouteWorkers, ids: Ids, clock: ManualClock
) -> None:
    traffic = MemoryTraffic()
    desk = RoadDesk(gothenburg, (MemoryClosures(), traffic), ids, clock, Settings(), speeds)
    start, end = ends(gothenburg, 1)[0]
    usual = await workers.route(start, end)
    try:
        made = await desk.put(_line_over(usual.shape))
        around = await workers.route(start, end)
        assert around.shape != usual.shape
        assert around.duration_s > usual.duration_s
        await desk.remove(made["features"][0]["id"])
        assert await workers.route(start, end) == usual
        slow = PublishedTimes.of(gothenburg, np.full(gothenburg.roads.edge_count, 2.0), 1.0)
        await traffic.publish(gothenburg.name, slow.encode(), 1.0)
        await desk.refresh()
        assert (await workers.route(start, end)).duration_s > 1.7 * usual.duration_s
    finally:
        gothenburg.eta.update(gothenburg.roads.seconds)


def _line_over(shape: list[LatLng]) -> dict[str, Any]:
    """A closure of some streets in the middle of a route."""
    middle = shape[len(shape) // 2 - 3 : len(shape) // 2 + 4]
    geometry = {"type": "LineString", "coordinates": [[point.lng, point.lat] for point in middle]}
    return {"type": "Feature", "properties": {"name": "Works"}, "geometry": geometry}


@pytest.mark.slow
async def test_index_and_valhalla_agree_over_the_whole_city(
    gothenburg: City, speeds: LiveSpeeds, workers: RouteWorkers
) -> None:
    asked = ends(gothenburg, 120, seed=9)
    ours, theirs = [], []
    for start, end in asked:
        theirs.append((await workers.route(start, end)).duration_s)
        ours.append(gothenburg.eta.to_one(np.array([start.lat]), np.array([start.lng]), end).seconds[0])
    assert np.corrcoef(ours, theirs)[0, 1] >= 0.99
    assert np.median(np.abs(np.array(ours) / theirs - 1)) <= 0.05


@pytest.mark.slow
async def test_what_is_reached_in_time_shrinks_when_roads_are_slow(
    gothenburg: City, speeds: LiveSpeeds, workers: RouteWorkers
) -> None:
    centre = gothenburg.roads.node(1_000)
    areas = []
    for factor in (1.0, 2.0):
        speeds.write(np.minimum(gothenburg.roads.seconds * factor, slowest(gothenburg.roads)))
        area = shapely.MultiPolygon([(p[0], p[1:]) for p in (await workers.isochrone(centre, 5)).coordinates])
        assert area.contains(shapely.Point(centre.lng, centre.lat))
        areas.append(area.area)
    assert areas[1] < 0.6 * areas[0]


@pytest.mark.slow
async def test_manoeuvres_lead_along_the_route(gothenburg: City, workers: RouteWorkers) -> None:
    for start, end in ends(gothenburg, 3):
        route = await workers.route(start, end, manoeuvres=True)
        assert route.manoeuvres[0].at == 0
        assert route.manoeuvres[-1].at == len(route.shape) - 1
        assert all(each.instruction for each in route.manoeuvres)
        assert sum(each.distance_m for each in route.manoeuvres) == pytest.approx(route.distance_m, abs=30)
        assert sum(each.duration_s for each in route.manoeuvres) == pytest.approx(route.duration_s, abs=5)
        assert (await workers.route(start, end)).manoeuvres == []


async def test_a_city_without_tiles_has_no_isochrones() -> None:
    async with aclosing(RouteWorkers(None)) as workers:
        with pytest.raises(InvalidInput, match="CSV"):
            await workers.isochrone(LatLng(57.7, 11.9), 5)


@pytest.mark.slow
async def test_a_worker_that_starts_anew_reads_the_speeds_in_force(gothenburg: City, speeds: LiveSpeeds) -> None:
    start, end = ends(gothenburg, 1)[0]
    small = MapSettings(route_worker_rss_mb=1)  # replaced after every question
    async with aclosing(RouteWorkers(gothenburg.valhalla_config, small, speeds=speeds)) as workers:
        usual = await workers.route(start, end)
        speeds.write(np.minimum(3 * gothenburg.roads.seconds, slowest(gothenburg.roads)))
        assert (await workers.route(start, end)).duration_s > 2 * usual.duration_s


def test_an_archive_that_is_missing_is_unavailable(streets: RoadGraph, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        LiveSpeeds(tmp_path, streets)
