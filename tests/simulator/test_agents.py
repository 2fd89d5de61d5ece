"""Drivers and riders against a tiny engine that speaks the contract."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInput
from core.geo import FloatArray, LatLng, haversine_m
from runtime.clocks import ScaledClock
from simulator.agents.api import Api
from simulator.agents.codes import StartCodes
from simulator.agents.driver import DriverAgent
from simulator.agents.fleet import Fleet, FleetPlan
from simulator.agents.motion import Motion
from simulator.agents.recorder import Tally
from simulator.agents.rider import Ride, RiderAgent
from simulator.agents.world import DriverHabits, Person, RiderHabits, World
from tests.simulator.fake_engine import FakeEngine

SPEED = 200.0
MPS = 10.0
HERE = LatLng(57.70, 11.97)
RIDE = Ride(LatLng(57.702, 11.97), LatLng(57.708, 11.97))
WILLING = DriverHabits(decline=0, ignore=0, drop_out_every_s=1e9, rest_s=30)
STEADY = RiderHabits(cancel=0, rate=1)


@dataclass(frozen=True)
class Line:
    """A straight drive."""

    lat: FloatArray
    lng: FloatArray
    at_s: FloatArray


def straight(a: LatLng, b: LatLng) -> Line:
    if b.lat > 80:
        raise InvalidInput("no road there")
    at_s = np.array([0.0, 0.5, 1.0]) * haversine_m(a, b) / MPS
    return Line(np.linspace(a.lat, b.lat, 3), np.linspace(a.lng, b.lng, 3), at_s)


def around(rng: random.Random) -> LatLng:
    return LatLng(HERE.lat + rng.uniform(-0.01, 0.01), HERE.lng + rng.uniform(-0.01, 0.01))


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    engine = FakeEngine()
    await engine.start()
    yield engine
    if not engine.down:
        await engine.stop()


@pytest.fixture
def world(engine: FakeEngine) -> World:
    clock = ScaledClock(SPEED)
    return World(
        clock=clock,
        base_url=f"http://127.0.0.1:{engine.port}",
        gateway_url=f"ws://127.0.0.1:{engine.port}",
        mint=lambda scope, subject: f"{scope}:{subject}",
        path=straight,
        place=around,
        recorder=Tally(clock),
        codes=StartCodes(),
        driver_habits=WILLING,
        rider_habits=STEADY,
    )


async def eventually(holds: Callable[[], Any], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


class Running:
    """A driver who drives as long as the block lasts."""

    def __init__(self, world: World, seed: int = 1) -> None:
        self.agent = DriverAgent(Person("drv1", "driver:drv1"), HERE, world, random.Random(seed))

    async def __aenter__(self) -> DriverAgent:
        self._task = asyncio.create_task(self.agent.run())
        return self.agent

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        assert self._task.cancelled()


def rider(engine: FakeEngine, world: World, seed: int = 1) -> RiderAgent:
    api = Api(Api.client(world.base_url, engine.transport()), world.clock, random.Random(seed))
    return RiderAgent(Person("rid1", "rider:rid1"), api, world, random.Random(seed))


def said(engine: FakeEngine, kind: str) -> list[dict[str, Any]]:
    return [message for _, message in engine.said if message["type"] == kind]


# motion


def test_a_car_moves_continuously_and_at_the_speed_of_its_road() -> None:
    drive = Line(np.array([57.70, 57.71, 57.71]), np.array([11.97, 11.97, 11.99]), np.array([0.0, 100.0, 220.0]))
    motion = Motion(drive, 1000.0)
    seen = [motion.seen(1000 + second) for second in range(221)]
    steps = [haversine_m(a.at, b.at) for a, b in pairwise(seen)]
    for second, step_m in enumerate(steps):
        assert step_m == pytest.approx(seen[second].speed_mps, rel=0.01)
    assert seen[0].at == (57.70, 11.97)
    assert motion.seen(1500.0).at == (57.71, 11.99)
    assert (seen[10].heading, round(seen[150].heading)) == (0.0, 90)
    assert motion.seen(1500.0).speed_mps == 0
    assert motion.seen(1500.0).heading == pytest.approx(90, abs=0.1)
    assert motion.seen(900.0).at == (57.70, 11.97)
    assert motion.ends_at == 1220.0


def test_a_car_waits_where_its_road_says_so() -> None:
    drive = Line(np.array([57.70, 57.71, 57.71, 57.72]), np.full(4, 11.97), np.array([0.0, 100.0, 160.0, 260.0]))
    motion = Motion(drive, 0.0)
    assert motion.seen(50).speed_mps > 0
    assert motion.seen(130) == ((57.71, 11.97), 0.0, 0.0)


# a driver


async def test_a_driver_comes_online_and_pings_along_the_road(engine: FakeEngine, world: World) -> None:
    async with Running(world):
        await eventually(lambda: len(engine.pings.get("drv1", [])) >= 40)
    pings = engine.pings["drv1"]
    assert said(engine, "status")[0]["online"] is True
    assert [ping["seq"] for ping in pings] == list(range(1, len(pings) + 1))
    assert len({(ping["lat"], ping["lng"]) for ping in pings}) > 5
    for a, b in pairwise(pings):
        moved_m = haversine_m(LatLng(a["lat"], a["lng"]), LatLng(b["lat"], b["lng"]))
        assert moved_m <= MPS * (b["ts"] - a["ts"]) / 1000 + 1.0
        assert b["ts"] - a["ts"] >= 5000 - 1


async def test_a_driver_goes_on_from_the_engines_sequence_number(engine: FakeEngine, world: World) -> None:
    engine.last_seq["drv1"] = 500
    async with Running(world):
        await eventually(lambda: engine.pings.get("drv1"))
    assert engine.pings["drv1"][0]["seq"] in (501, 502)  # the first may have been made, and dropped, before the welcome


async def test_pings_of_an_outage_come_late_but_all_of_them(engine: FakeEngine, world: World) -> None:
    async with Running(world):
        await eventually(lambda: len(engine.pings.get("drv1", [])) >= 5)
        await engine.stop()
        await asyncio.sleep(0.5)  # 100 engine seconds, so about 20 pings
        before = len(engine.pings["drv1"])
        await engine.start()
        await eventually(lambda: len(engine.pings["drv1"]) >= before + 25)
    seqs = [ping["seq"] for ping in engine.pings["drv1"]]
    assert sorted(set(seqs)) == list(range(1, max(seqs) + 1))


async def test_a_driver_drops_out_and_comes_back(engine: FakeEngine, world: World) -> None:
    tally = world.recorder
    assert isinstance(tally, Tally)
    restless = replace(world, driver_habits=replace(WILLING, drop_out_every_s=60, away_s=(20, 30)))
    async with Running(restless):
        await eventually(lambda: len(said(engine, "status")) >= 3)
    seqs = {ping["seq"] for ping in engine.pings["drv1"]}
    assert seqs == set(range(1, max(seqs) + 1))
    assert tally.drivers_online == set()


async def test_a_driver_who_declines_says_so_and_one_who_ignores_is_silent(engine: FakeEngine, world: World) -> None:
    request = engine._book("rid1", {"pickup": RIDE.pickup._asdict(), "dropoff": RIDE.dropoff._asdict()}, "key")
    async with Running(replace(world, driver_habits=replace(WILLING, decline=1))):
        await eventually(lambda: said(engine, "status"))
        await engine.offer(request["request_id"])
        await eventually(lambda: len(said(engine, "decline")) >= 2)
    async with Running(replace(world, driver_habits=replace(WILLING, ignore=1))):
        await eventually(lambda: len(said(engine, "status")) >= 2)
        engine.said.clear()
        await engine.offer(request["request_id"])
        await asyncio.sleep(10 / SPEED * 3)
    assert not said(engine, "accept")
    assert not said(engine, "decline")


async def test_a_driver_whose_rider_never_comes_gives_the_trip_up(engine: FakeEngine, world: World) -> None:
    impatient = replace(world, driver_habits=replace(WILLING, patience_at_pickup_s=60))
    request = engine._book("somebody", {"pickup": RIDE.pickup._asdict(), "dropoff": RIDE.dropoff._asdict()}, "key")
    async with Running(impatient):
        await eventually(lambda: engine.drivers)
        await engine.offer(request["request_id"])
        await eventually(lambda: said(engine, "cancel"))
        await eventually(lambda: engine.trips["trip1"]["status"] == "cancelled")
    assert not said(engine, "board")


# a ride


@pytest.mark.parametrize("by_socket", [0.0, 1.0])
async def test_a_ride_from_booking_to_stars(engine: FakeEngine, world: World, by_socket: float) -> None:
    world = replace(world, rider_habits=replace(STEADY, by_socket=by_socket))
    async with Running(world):
        await eventually(lambda: engine.drivers)
        ended = await rider(engine, world).ride(RIDE)
    assert ended == "completed"
    kinds = [message["type"] for who, message in engine.said if who == "drv1" and message["type"] != "status"]
    assert kinds == ["accept", "arrive", "board", "complete"]
    assert said(engine, "watch")[0]["lat"] == RIDE.pickup.lat
    assert ("POST", "/v1/trips/trip1/rate") in engine.calls
    last = engine.pings["drv1"][-1]
    assert haversine_m(LatLng(last["lat"], last["lng"]), RIDE.dropoff) < 100
    tally = world.recorder
    assert isinstance(tally, Tally)
    assert (tally.requests, tally.offers, tally.accepts, tally.assigned, tally.completed) == (1, 1, 1, 1, 1)
    assert len(tally.wait_s) == 1
    assert tally.refusals == {}


async def test_a_booking_whose_answer_is_lost_is_made_once(engine: FakeEngine, world: World) -> None:
    world = replace(world, rider_habits=replace(STEADY, by_socket=0))
    async with Running(world):
        await eventually(lambda: engine.drivers)
        engine.lose_answers = 3
        assert await rider(engine, world).ride(RIDE) == "completed"
    assert engine.calls.count(("POST", "/v1/quotes")) + engine.calls.count(("POST", "/v1/ride-requests")) >= 5
    assert list(engine.requests) == ["req1"]


async def test_a_ride_survives_an_engine_that_goes_away_and_comes_back(engine: FakeEngine, world: World) -> None:
    async with Running(world):
        await eventually(lambda: engine.drivers)
        ride = asyncio.create_task(rider(engine, world).ride(RIDE))
        for status in ("assigned", "riding"):
            await eventually(lambda status=status: engine.trips and engine.trips["trip1"]["status"] == status)
            await engine.stop()
            await asyncio.sleep(0.4)
            await engine.start()
        assert await ride == "completed"
    assert len(engine.trips) == len(engine.requests) == 1


async def test_a_rider_who_changes_their_mind_cancels(engine: FakeEngine, world: World) -> None:
    fickle = replace(world, rider_habits=replace(STEADY, cancel=1, cancel_after_s=(1, 2)))
    assert await rider(engine, fickle).ride(RIDE) == "cancelled"  # nobody to offer it to: the request is cancelled
    async with Running(fickle):
        await eventually(lambda: engine.drivers)
        later = replace(fickle, rider_habits=replace(fickle.rider_habits, cancel_after_s=(10, 12)))
        assert await rider(engine, later, seed=2).ride(RIDE) == "cancelled"
        await eventually(lambda: engine.trips["trip1"]["status"] == "cancelled")


@pytest.mark.parametrize("by_socket", [0.0, 1.0])
async def test_a_rider_does_not_take_an_earlier_request_that_failed_for_the_new_one(
    engine: FakeEngine, world: World, by_socket: float
) -> None:
    fickle = replace(world, rider_habits=replace(STEADY, cancel=1, cancel_after_s=(1, 2)))
    assert await rider(engine, fickle).ride(RIDE) == "cancelled"
    steady = replace(world, rider_habits=replace(STEADY, by_socket=by_socket))
    async with Running(steady):
        await eventually(lambda: engine.drivers)
        assert await rider(engine, steady, seed=2).ride(RIDE) == "completed"
    assert [request["status"] for request in engine.requests.values()] == ["cancelled", "assigned"]


# a fleet


async def test_a_fleet_serves_riders_and_stops_clean(engine: FakeEngine, world: World) -> None:
    fleet = Fleet(FleetPlan(drivers=10, requests_per_h=360, seed=3), world, engine.transport())
    fleet.start()
    tally = world.recorder
    assert isinstance(tally, Tally)
    await eventually(lambda: fleet.endings.get("completed", 0) >= 3)
    assert len(tally.drivers_online) == 10
    await fleet.stop()
    assert [task for task in asyncio.all_tasks() if "simulator/agents" in repr(task)] == []
    assert tally.completed >= 3
    assert tally.drivers_online == set()


async def test_a_fleet_waits_for_an_engine_that_is_not_there_yet(engine: FakeEngine, world: World) -> None:
    await engine.stop()
    fleet = Fleet(FleetPlan(drivers=2, requests_per_h=0), world, engine.transport())
    fleet.start()
    await asyncio.sleep(0.1)
    await engine.start()
    await eventually(lambda: len(engine.drivers) == 2)
    await fleet.stop()


async def test_riders_on_the_way_are_bounded(engine: FakeEngine, world: World) -> None:
    fleet = Fleet(FleetPlan(drivers=0, requests_per_h=20_000, max_riders=5), world, engine.transport())
    fleet.start()
    await eventually(lambda: fleet.turned_away > 20)
    assert fleet.riding == 5
    assert fleet.riders == 5
    await fleet.stop()


async def test_the_same_seed_draws_the_same_rides(engine: FakeEngine, world: World) -> None:
    fleets = [Fleet(FleetPlan(seed=seed), world) for seed in (4, 4, 5)]
    draws = [fleet._draw(random.Random(f"{fleet._plan.seed} ride 1")) for fleet in fleets]
    assert draws[0] == draws[1] != draws[2]
