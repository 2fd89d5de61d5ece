"""The learner: one process turns drives into times, and another goes on from what it saved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import cast

import numpy as np
import pytest

from core.errors import Unavailable
from core.geo import FloatArray, LatLng
from maps.adapters.memory import MemoryTraffic
from maps.cities import City
from maps.learner import LearnerPorts, TrafficLearner
from maps.matching import Traced
from maps.ports import FinishedRide
from maps.published import PublishedTimes
from maps.trails import DrivenTrail
from runtime.clocks import ManualClock
from runtime.lease import Lease
from runtime.sql import Database
from runtime.traffic_settings import TrafficSettings
from tests.maps.graphs import lattice_place
from tests.maps.test_closures import Town, town

__all__ = ["town"]

SETTINGS = TrafficSettings(edge_strength_s=1.0, class_hour_strength_s=1.0, hour_strength_s=1.0, class_strength_s=1.0)


class Cars:
    """Cars that all drive the first street, in three times its free-flow time."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self.trails, self.rides = 0, list[FinishedRide]()
        self.away = False

    async def driving(self, now: float, most: int) -> tuple[list[DrivenTrail], list[FinishedRide]]:
        took = 3 * float(self._town.roads.seconds[0])
        trail = DrivenTrail(np.zeros(2), np.zeros(2), np.array([now - took, now]))
        return [trail] * min(most, self.trails), self.rides

    async def trace(self, lat: FloatArray, lng: FloatArray, at_s: FloatArray) -> Traced | None:
        if self.away:
            raise Unavailable("Valhalla is away")
        return Traced([int(self._town.roads.graph_id[0])], [(0, 0.0), (0, 1.0)])


@pytest.fixture
async def database(new_sql_url: Callable[[str], str]) -> AsyncIterator[Database]:
    database = Database(new_sql_url("sqlite"))
    await database.create_all()
    yield database
    await database.close()


@pytest.fixture
def cars(town: Town) -> Cars:
    return Cars(town)


@pytest.fixture
def store() -> MemoryTraffic:
    return MemoryTraffic()


@pytest.fixture
def learner_of(
    town: Town, cars: Cars, store: MemoryTraffic, database: Database, clock: ManualClock
) -> Callable[[str], TrafficLearner]:
    def make(owner: str) -> TrafficLearner:
        ports = LearnerPorts(cars.driving, cars.trace, store, Lease(database, "traffic", owner))
        return TrafficLearner(cast(City, town), ports, clock, SETTINGS)

    return make


async def slowdown(store: MemoryTraffic, town: Town) -> FloatArray:
    body = await store.published("town")
    assert body is not None
    return PublishedTimes.decode(body).slowdown_on(cast(City, town))


async def test_what_cars_drive_becomes_times_for_all(
    learner_of: Callable[[str], TrafficLearner], cars: Cars, store: MemoryTraffic, town: Town
) -> None:
    learner = learner_of("one")
    await learner.learn()
    assert await store.version("town") == 0  # nobody has said that it may
    await learner.lead()
    await learner.learn()
    assert await store.version("town") == 0  # nothing was driven
    cars.trails = 200
    await learner.learn()
    assert (await slowdown(store, town))[0] == pytest.approx(3.0, rel=0.1)
    assert learner.counts["drives"] == 200


async def test_one_learns_at_a_time_and_the_next_goes_on_from_what_was_saved(
    learner_of: Callable[[str], TrafficLearner], cars: Cars, store: MemoryTraffic, town: Town, clock: ManualClock
) -> None:
    first, second = learner_of("one"), learner_of("two")
    await first.lead()
    await second.lead()
    cars.trails = 200
    await second.learn()
    assert await store.version("town") == 0
    await first.learn()
    await first.close()
    await second.lead()
    assert second.traffic is not None
    cars.trails = 1
    await second.learn()
    assert (await slowdown(store, town))[0] == pytest.approx(3.0, rel=0.1)


async def test_what_was_learned_is_saved_now_and_then(
    learner_of: Callable[[str], TrafficLearner], cars: Cars, store: MemoryTraffic, clock: ManualClock
) -> None:
    learner = learner_of("one")
    await learner.lead()
    cars.trails = 5
    await learner.learn()
    assert dict(await store.learned("town")) == {}
    await clock.advance(SETTINGS.keep_every_s + 1)
    await learner.learn()
    assert set(await store.learned("town")) == {"core", f"hour-{int(clock.now() // 3600 - 96) % 168}"}


async def test_trails_wait_for_nobody_when_they_cannot_be_matched(
    learner_of: Callable[[str], TrafficLearner], cars: Cars, store: MemoryTraffic
) -> None:
    learner = learner_of("one")
    await learner.lead()
    cars.trails, cars.away = 5, True
    await learner.learn()
    assert await store.version("town") == 0


async def test_finished_rides_teach_and_those_off_the_road_do_not(
    learner_of: Callable[[str], TrafficLearner], cars: Cars, store: MemoryTraffic, town: Town, clock: ManualClock
) -> None:
    learner = learner_of("one")
    await learner.lead()
    here, there, lost = LatLng(*lattice_place(0)), LatLng(*lattice_place(7)), LatLng(57.6, 11.0)
    cars.rides = [FinishedRide(here, there, 60.0, clock.now()), FinishedRide(here, lost, 60.0, clock.now())]
    await learner.learn()
    assert learner.counts["rides"] == 1
    assert (await slowdown(store, town) > 1.0).all()


async def test_learning_begins_anew_on_what_cannot_be_read(
    learner_of: Callable[[str], TrafficLearner], cars: Cars, store: MemoryTraffic
) -> None:
    await store.keep("town", {"core": b"damaged"}, 1.0)
    learner = learner_of("one")
    await learner.lead()
    cars.trails = 5
    await learner.learn()
    assert await store.version("town") == 1
