"""The odometer: every kind of trail gets a distance, a line and a grade that says how far to trust them."""

from __future__ import annotations

import numpy as np
import pytest

from core.geo import FloatArray, LatLng, haversine_m
from maps.driven import Odometer, Ride, WayDriven
from maps.matching import Matched, Part
from maps.paths import NoRoute, Path, Paths
from maps.trails import DrivenTrail
from runtime.driven_settings import DrivenSettings
from tests.maps.test_trails import DEGREE_M, moved, northward, steady

START, SECONDS = LatLng(57.7, 11.97), 295.0
END = LatLng(57.7 + 2_950 / DEGREE_M, 11.97)
RIDE = Ride(START, 0.0, END, SECONDS)


class StraightRoads(Paths):
    """Roads that lead straight from any place to any other, at so many metres per second; or nowhere."""

    def __init__(self, mps: float = 15.0, *, anywhere: bool = True) -> None:
        self.mps, self.anywhere = mps, anywhere

    def path(self, start: LatLng, end: LatLng) -> Path:
        if not self.anywhere:
            raise NoRoute("no road")
        metres = haversine_m(start, end)
        lat, lng = np.array([start.lat, end.lat]), np.array([start.lng, end.lng])
        return Path(lat, lng, np.array([0.0, metres / self.mps]), metres, metres / self.mps)


class Roads:
    """A matcher whose road lies under the pings, without those numbered in `broken`; it is so many times as long."""

    def __init__(self, broken: set[int] | None = None, *, longer: float = 1.0) -> None:
        self.broken, self.longer = broken or set(), longer
        self.asked = 0

    async def __call__(self, lat: FloatArray, lng: FloatArray, at_s: FloatArray) -> Matched:
        self.asked = len(lat)
        trail, parts, first = DrivenTrail(lat, lng, at_s), list[Part](), 0
        for row in range(len(lat) + 1):
            if row == len(lat) or row in self.broken or (row and haversine_m(*trail.points(row - 1, row)) > 400):
                last = row - 1
                if last >= first:
                    line = trail.points(first, last)
                    metres = haversine_m(line[0], line[-1])
                    parts.append(Part(metres * self.longer, line, first, last))
                first = row + (row in self.broken)
        return Matched(parts)


async def read(
    pings: DrivenTrail, ride: Ride = RIDE, roads: Roads | None = None, paths: Paths | None = None
) -> WayDriven:
    return await Odometer(roads or Roads(), paths or StraightRoads(), DrivenSettings()).read(pings, ride)


async def test_a_whole_trail_is_as_long_as_its_road() -> None:
    way = await read(steady(), roads=Roads(longer=1.1))
    assert (way.grade, len(way.lines)) == ("matched", 1)
    assert way.distance_m == pytest.approx(1.1 * 2_950, rel=1e-3)


async def test_a_hole_that_the_car_had_time_for_is_bridged_by_road() -> None:
    way = await read(steady().take(np.r_[0:20, 40:60]))
    assert (way.grade, len(way.lines)) == ("bridged", 1)
    assert way.distance_m == pytest.approx(2_950, rel=1e-3)


async def test_a_hole_that_no_road_leads_through_is_as_the_crow_flies() -> None:
    way = await read(steady().take(np.r_[0:20, 40:60]), paths=StraightRoads(anywhere=False))
    assert way.grade == "partial"
    assert way.distance_m == pytest.approx(2_950, rel=1e-3)


async def test_a_hole_whose_road_the_car_had_no_time_for_is_not_bridged() -> None:
    assert (await read(steady().take(np.r_[0:20, 40:60]), paths=StraightRoads(mps=5.0))).grade == "partial"


async def test_a_ride_that_was_mostly_unseen_is_not_trusted() -> None:
    way = await read(steady().take(np.r_[0:10, 50:60]))
    assert way.grade == "partial"
    assert way.distance_m == pytest.approx(2_950, rel=1e-3)


@pytest.mark.parametrize("rows", [slice(20, 60), slice(0, 40)])
async def test_an_end_that_was_not_seen_is_bridged(rows: slice) -> None:
    way = await read(steady().take(rows))
    assert way.grade == "bridged"
    assert way.distance_m == pytest.approx(2_950, rel=1e-3)


async def test_a_rider_who_gets_out_early_does_not_pay_for_the_rest() -> None:
    pings = steady().take(slice(0, 40))
    way = await read(pings, Ride(START, 0.0, END, float(pings.at_s[-1]) + 4))
    assert way.grade == "matched"
    assert way.distance_m == pytest.approx(1_950, rel=1e-3)


async def test_pings_beside_the_roads_are_counted_and_not_trusted() -> None:
    pings = steady()
    lng = pings.lng.copy()
    lng[25:35] += 400 / DEGREE_M * np.abs(np.tile([1, -1], 5))  # aside from the road, and 400 m in all
    way = await read(DrivenTrail(pings.lat, lng, pings.at_s), roads=Roads(set(range(25, 35))), paths=StraightRoads(0.1))
    assert way.grade == "partial"
    assert way.distance_m > 2_950


async def test_poor_pings_between_two_stretches_of_one_road_count_as_the_road() -> None:
    way = await read(steady(), roads=Roads({30, 31}))
    assert way.grade == "bridged"
    assert way.distance_m == pytest.approx(2_950, rel=1e-3)


async def test_jumps_and_another_town_change_nothing() -> None:
    jumping = moved(moved(steady(), slice(0, 3), -16.0), slice(30, 31), 0.5)
    way = await read(jumping)
    assert way.grade in {"matched", "bridged"}
    assert way.distance_m == pytest.approx(2_950, rel=0.06)


async def test_a_car_that_stands_drives_nothing() -> None:
    rng = np.random.default_rng(2)
    pings = northward(rng.normal(0, 12, 200), 5.0 * np.arange(200))
    roads = Roads()
    way = await read(pings, Ride(START, 0.0), roads)
    assert (way.grade, roads.asked) == ("none", 0)
    assert way.distance_m < 30


async def test_a_trail_that_fits_no_road_is_as_long_as_its_pings() -> None:
    way = await read(steady(), roads=Roads(set(range(60))))
    assert way.grade == "raw"
    assert way.distance_m == pytest.approx(2_950, rel=1e-3)
    assert [len(line) for line in way.lines] == [60]


@pytest.mark.parametrize("pings", [0, 1])
async def test_without_a_trail_the_way_by_road_is_given_and_said_to_be_unseen(pings: int) -> None:
    way = await read(steady().take(slice(0, pings)))
    assert way.grade == "none"
    assert way.distance_m == pytest.approx(2_950, rel=1e-3)


async def test_a_ride_under_way_ends_at_its_last_ping() -> None:
    way = await read(steady().take(slice(0, 30)), Ride(START, 0.0))
    assert way.grade == "matched"
    assert way.distance_m == pytest.approx(1_450, rel=1e-3)
