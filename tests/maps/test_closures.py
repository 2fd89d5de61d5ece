"""Closures: which streets a line or a polygon closes, and the roads as they are driven now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

from core.errors import Conflict, InvalidInput, NotFound
from core.events import ClosuresChanged
from core.geo import LatLng
from core.ids import Ids
from maps.adapters.memory import MemoryClosures, MemoryTraffic
from maps.cities import City
from maps.closures import closed_edges, read_closures
from maps.drives import Drives
from maps.eta import EtaIndex
from maps.published import PublishedTimes
from maps.roaddesk import RoadDesk
from maps.roads import RoadGraph
from maps.traffic import Traffic
from runtime.clocks import ManualClock
from runtime.settings import MapSettings, Settings
from runtime.traffic_settings import TrafficSettings
from tests.maps.graphs import Street, graph_of, lattice_place

SETTINGS = MapSettings()
STREETS = [  # a square of two-way streets, 0 1 / 5 6, a spur from 1 to 2, a one-way street from 6 to 7
    Street(0, 1, True, 50.0, (0, 0)),
    Street(1, 6, True, 50.0, (0, 0)),
    Street(0, 5, True, 50.0, (0, 0)),
    Street(5, 6, True, 50.0, (0, 0)),
    Street(1, 2, True, 50.0, (0, 0)),
    Street(6, 7, False, 50.0, (0, 0)),
]


@dataclass(frozen=True)
class Town:
    """What a desk needs of a city."""

    roads: RoadGraph
    eta: EtaIndex
    name: str = "town"
    fingerprint: str = "abc"
    bounds: tuple[float, float, float, float] = (57.69, 11.96, 57.71, 11.99)


@pytest.fixture
def town() -> Town:
    roads = graph_of(STREETS)
    return Town(roads, EtaIndex.of(roads))


@pytest.fixture
def traffic() -> MemoryTraffic:
    return MemoryTraffic()


@pytest.fixture
def closures() -> MemoryClosures:
    return MemoryClosures()


@pytest.fixture
def desk(town: Town, closures: MemoryClosures, traffic: MemoryTraffic, ids: Ids, clock: ManualClock) -> RoadDesk:
    return RoadDesk(cast(City, town), (closures, traffic), ids, clock, Settings())


def line(*places: int, **properties: Any) -> dict[str, Any]:
    """A line over lattice places, a metre beside the streets."""
    points = [[lng + 1e-5, lat + 1e-5] for lat, lng in map(lattice_place, places)]
    geometry = {"type": "LineString", "coordinates": points}
    return {"type": "Feature", "geometry": geometry, "properties": {"name": "works", **properties}}


def box(south: float, west: float, north: float, east: float) -> dict[str, Any]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"name": "fair"}}


def closed(town: Town, feature: dict[str, Any]) -> list[int]:
    (closure,) = read_closures(feature, SETTINGS, town.bounds)
    return closed_edges(closure, town.roads, town.eta.snaps, SETTINGS).tolist()


def test_a_line_closes_the_streets_along_it_and_none_that_it_crosses(town: Town) -> None:
    assert closed(town, line(0, 1)) == [0, 1]
    assert closed(town, line(0, 1, 2)) == [0, 1, 8, 9]
    assert closed(town, line(2, 1)) == [8, 9]


def test_a_line_with_a_direction_closes_that_one_alone(town: Town) -> None:
    assert closed(town, line(0, 1, direction="forward")) == [0]
    assert closed(town, line(1, 0, direction="forward")) == [1]
    assert closed(town, line(6, 7, direction="forward")) == [10]


def test_a_polygon_closes_all_streets_that_touch_it(town: Town) -> None:
    lat, lng = lattice_place(6)
    assert closed(town, box(lat - 1e-4, lng - 1e-4, lat + 1e-4, lng + 1e-4)) == [2, 3, 6, 7, 10]
    middle = lat - 0.0005
    assert closed(town, box(middle, lng - 1e-4, middle + 1e-4, lng + 1e-4)) == [2, 3]


@pytest.mark.parametrize(
    ("feature", "code", "reason"),
    [
        (line(0), "bad_closure", "2 different positions"),
        (line(0, 1, direction="west"), "bad_closure", "must be one of both, forward"),
        (box(57.7, 11.97, 57.701, 11.971) | {"geometry": {"type": "Point"}}, "bad_closure", "must be Polygon"),
        (line(0, 1) | {"properties": {}}, "bad_closure", "properties.name"),
        (line(0, 1) | {"properties": None}, "bad_closure", "properties"),
        (
            box(57.7, 11.97, 57.701, 11.971) | {"properties": {"name": "x", "direction": "forward"}},
            "bad_closure",
            "line",
        ),
        (box(57.705, 11.985, 57.7051, 11.9851), "nothing_closed", "no street is in it"),
        (line(22, 23), "nothing_closed", "no street is along it"),
    ],
)
def test_what_closes_nothing_is_refused_with_the_reason(
    town: Town, feature: dict[str, Any], code: str, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        closed(town, feature)
    assert refused.value.code == code


def seconds(town: Town, start: int, end: int) -> float:
    (lat, lng), to = lattice_place(start), LatLng(*lattice_place(end))
    return float(town.eta.to_one(np.array([lat]), np.array([lng]), to).seconds[0])


async def test_a_closure_reroutes_at_once_and_is_undone(town: Town, desk: RoadDesk) -> None:
    direct = seconds(town, 0, 1)
    made = await desk.put(line(0, 1))
    (feature,) = made["features"]
    assert feature["properties"]["edges"] == 2
    assert desk.shown()["features"] == [feature]
    assert seconds(town, 0, 1) > 2 * direct
    await desk.remove(feature["id"])
    assert seconds(town, 0, 1) == direct
    with pytest.raises(NotFound):
        await desk.remove(feature["id"])


async def test_closures_of_another_process_are_taken_over(town: Town, desk: RoadDesk, closures: MemoryClosures) -> None:
    direct = seconds(town, 0, 1)
    await closures.change({"c": line(0, 1)}, 1.0)
    await desk.heard(ClosuresChanged(id="closures:1", at=1.0, version=1))
    assert seconds(town, 0, 1) > 2 * direct


async def test_a_closure_without_a_street_in_this_pack_closes_nothing(
    town: Town, desk: RoadDesk, closures: MemoryClosures
) -> None:
    await closures.change({"gone": line(22, 23)}, 1.0)
    await desk.refresh()
    assert desk.shown()["features"][0]["properties"]["edges"] == 0


async def test_too_many_are_refused_and_the_same_id_replaces(
    town: Town, closures: MemoryClosures, traffic: MemoryTraffic, ids: Ids, clock: ManualClock
) -> None:
    desk = RoadDesk(cast(City, town), (closures, traffic), ids, clock, Settings(maps=MapSettings(zones_max=1)))
    await desk.put(line(0, 1) | {"id": "a"})
    await desk.put(line(1, 2) | {"id": "a"})
    assert desk.shown()["features"][0]["properties"]["edges"] == 2
    with pytest.raises(Conflict) as refused:
        await desk.put(line(0, 1))
    assert refused.value.code == "too_many_closures"


async def test_learned_times_and_closures_hold_together(town: Town, desk: RoadDesk, traffic: MemoryTraffic) -> None:
    direct = seconds(town, 1, 2)
    slow = PublishedTimes.of(cast(City, town), np.full(town.roads.edge_count, 3.0), 1.0)
    await traffic.publish("town", slow.encode(), 1.0)
    await desk.put(line(0, 1))
    assert seconds(town, 1, 2) == pytest.approx(3 * direct, rel=0.01)
    assert desk.versions == (1, 1)


@pytest.mark.parametrize(
    "body", [b"no times", PublishedTimes("other", 0.0, b"").encode(), PublishedTimes("abc", 0.0, b"x").encode()]
)
async def test_times_that_cannot_be_used_leave_free_flow(
    town: Town, desk: RoadDesk, traffic: MemoryTraffic, body: bytes
) -> None:
    direct = seconds(town, 0, 1)
    await traffic.publish("town", body, 1.0)
    await desk.refresh()
    assert seconds(town, 0, 1) == direct


async def test_streets_are_reported_by_what_cars_tell_of_them(
    town: Town, desk: RoadDesk, traffic: MemoryTraffic, clock: ManualClock
) -> None:
    assert (await desk.conditions(None))["features"] == []
    learned, free = Traffic(town.roads, TrafficSettings()), town.roads.seconds
    edges, now = np.repeat(np.array([0, 2, 4], dtype=np.int32), [5_000, 200, 5_000]), clock.now()
    for days, slow in ((3, 2.0), (2, 2.0), (1, 2.0), (0, 12.0)):
        took, at = free[edges] * np.where(edges == 2, slow, 0.5), np.full(len(edges), now - 86_400 * days)
        learned.observe(Drives(took, at, np.arange(len(edges)), edges, np.ones(len(edges))))
    await traffic.keep("town", learned.save("abc"), 1.0)
    (worst,) = (await desk.conditions("congested"))["features"]
    assert worst["id"] == "2"
    assert worst["properties"]["state"] == "congested"
    assert worst["properties"]["now"] > 1.5
    await traffic.keep("town", {"core": b"damaged"}, 2.0)
    assert (await desk.conditions(None))["features"] == []
