"""Messages find drivers and riders on whichever host they hang, also when what was remembered is wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from core.errors import Unavailable
from runtime.host_calls import HostCalls
from runtime.host_settings import HostSettings
from runtime.hosts import HostServer
from runtime.presence import Arrival, Departure, Host, MemoryPresence, Subject
from runtime.roll import Roll
from runtime.router import Router, answer_calls

TOKEN = "t" * 64
SETTINGS = HostSettings(call_timeout_s=0.5, presence_cache_s=5.0, presence_cache_max=2)
OFFER = {"type": "offer", "offer_id": "off_1"}


class Wall:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class World(MemoryPresence):
    """A presence that counts its look-ups, and can be away."""

    def __init__(self, wall: Wall) -> None:
        super().__init__(wall)
        self.looks = 0
        self.away = False

    async def hosts_of(self, subjects: Any) -> list[list[Host]]:
        self.looks += 1
        if self.away:
            raise Unavailable("away")
        return await super().hosts_of(subjects)


class Place:
    """A host with sockets, its server, and its router to the others."""

    def __init__(self, name: str, world: World, wall: Wall) -> None:
        self.world = world
        self.drivers: dict[str, list[Any]] = {}
        self.riders: dict[str, list[Any]] = {}
        self.epochs: dict[str, int] = {}
        self.told_lost: list[str] = []
        self.server = HostServer(SETTINGS, TOKEN, {}, CollectorRegistry())
        answer_calls(self.server, self)
        self.server.register("trip", self._trip)
        self.trips: list[Any] = []
        self.server.start()
        self.host = Host(name, self.server.address)
        self.calls = HostCalls(TOKEN, SETTINGS)
        self.router = Router(self.host, world, self.calls, SETTINGS, wall)
        self.roll = Roll(world, self.host, self.router.lost, SETTINGS, random.Random(1))
        self.roll.listen("driver", self)
        self.telling = asyncio.create_task(self.roll.run())

    def deliver(self, driver_id: str, message: dict[str, Any]) -> bool:
        if driver_id not in self.drivers:
            return False
        self.drivers[driver_id].append(message)
        return True

    def tell_rider(self, rider_id: str, message: dict[str, Any]) -> bool:
        if rider_id not in self.riders:
            return False
        self.riders[rider_id].append(message)
        return True

    def owns(self, driver_id: str, epoch: int) -> None:
        self.epochs[driver_id] = epoch

    def lost(self, driver_id: str, epoch: int) -> None:
        if self.epochs.get(driver_id, 0) < epoch:
            self.told_lost.append(driver_id)
            self.drivers.pop(driver_id, None)

    def gone(self, driver_id: str) -> None: ...

    async def _trip(self, body: Any) -> None:
        self.trips.append(body)

    async def come(self, driver_id: str) -> None:
        """A driver connects; presence knows it already."""
        self.drivers[driver_id] = []
        await self.world.arrive(self.host.id, [Arrival(Subject("driver", driver_id), 0)])

    async def join(self, rider_id: str) -> None:
        self.riders[rider_id] = []
        await self.world.arrive(self.host.id, [Arrival(Subject("rider", rider_id), 0)])

    async def stop(self) -> None:
        self.telling.cancel()
        await asyncio.gather(self.telling, return_exceptions=True)
        await self.calls.close()
        await self.server.close()


class Town(dict[str, Place]):
    wall: Wall
    world: World


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    town = Town()
    town.wall = Wall()
    town.world = World(town.wall)
    for name in ("a", "b", "c"):
        town[name] = Place(name, town.world, town.wall)
        await town.world.beat(town[name].host, 1_000.0)
    yield town
    for place in town.values():
        await place.stop()


async def test_a_message_reaches_a_driver_on_another_host(town: Town) -> None:
    await town["b"].come("drv_1")
    assert await town["a"].router.deliver("drv_1", OFFER)
    assert town["b"].drivers["drv_1"] == [OFFER]


async def test_a_driver_who_is_nowhere_is_not_reached_and_is_found_as_soon_as_they_come(town: Town) -> None:
    assert not await town["a"].router.deliver("drv_1", OFFER)
    await town["b"].come("drv_1")
    assert await town["a"].router.deliver("drv_1", OFFER)


async def test_the_own_host_is_not_called(town: Town) -> None:
    await town["a"].come("drv_1")
    assert not await town["a"].router.deliver("drv_1", OFFER)
    assert town["a"].drivers["drv_1"] == []


async def test_a_host_is_remembered_for_a_while(town: Town) -> None:
    await town["b"].come("drv_1")
    for _ in range(3):
        assert await town["a"].router.deliver("drv_1", OFFER)
    assert town.world.looks == 1
    town.wall.now += 6.0
    assert await town["a"].router.deliver("drv_1", OFFER)
    assert town.world.looks == 2


async def test_no_more_drivers_are_remembered_than_may_be(town: Town) -> None:
    for number in range(3):
        await town["b"].come(f"drv_{number}")
        await town["a"].router.deliver(f"drv_{number}", OFFER)
    looks = town.world.looks
    assert await town["a"].router.deliver("drv_2", OFFER)
    assert town.world.looks == looks
    assert await town["a"].router.deliver("drv_0", OFFER)
    assert town.world.looks == looks + 1


async def test_a_driver_who_went_on_to_another_host_is_found_there_at_once(town: Town) -> None:
    await town["b"].come("drv_1")
    assert await town["a"].router.deliver("drv_1", OFFER)
    del town["b"].drivers["drv_1"]
    await town["c"].come("drv_1")
    assert await town["a"].router.deliver("drv_1", OFFER)
    assert town["c"].drivers["drv_1"] == [OFFER]


async def test_a_driver_whose_host_died_is_found_on_the_next_one(town: Town) -> None:
    await town["b"].come("drv_1")
    assert await town["a"].router.deliver("drv_1", OFFER)
    await town["b"].stop()
    assert not await town["a"].router.deliver("drv_1", OFFER), "the next driver is asked"
    await town["c"].come("drv_1")
    assert await town["a"].router.deliver("drv_1", OFFER)


async def test_while_presence_is_away_only_who_is_remembered_is_reached(town: Town) -> None:
    await town["b"].come("drv_1")
    await town["b"].come("drv_2")
    assert await town["a"].router.deliver("drv_1", OFFER)
    town.world.away = True
    assert await town["a"].router.deliver("drv_1", OFFER)
    assert not await town["a"].router.deliver("drv_2", OFFER)


async def test_a_rider_hears_on_every_other_host_also_on_one_opened_just_now(town: Town) -> None:
    await town["a"].join("rdr_1")
    await town["b"].join("rdr_1")
    await town["a"].router.tell_rider("rdr_1", {"type": "request"})
    await town["c"].join("rdr_1")
    await town["a"].router.tell_rider("rdr_1", {"type": "trip"})
    assert [len(town[name].riders["rdr_1"]) for name in "abc"] == [0, 2, 1]


async def test_telling_a_rider_never_fails(town: Town) -> None:
    await town["b"].join("rdr_1")
    await town["b"].stop()
    await town["a"].router.tell_rider("rdr_1", {"type": "request"})
    town.world.away = True
    await town["a"].router.tell_rider("rdr_1", {"type": "request"})


async def test_news_goes_once_to_each_host_and_says_when_one_may_not_have_heard(town: Town) -> None:
    await town["b"].come("drv_1")
    await town["b"].join("rdr_1")
    await town["c"].join("rdr_1")
    concerned = [Subject("driver", "drv_1"), Subject("rider", "rdr_1")]
    await town["a"].router.everyone(concerned, "trip", {"trip_id": "trip_1"})
    assert [len(town[name].trips) for name in "abc"] == [0, 1, 1]
    await town["b"].stop()
    with pytest.raises(Unavailable):
        await town["a"].router.everyone(concerned, "trip", {"trip_id": "trip_1"})
    assert len(town["c"].trips) == 2, "the other one has heard"


async def test_a_driver_who_comes_to_another_host_is_lost_to_the_first_at_once(town: Town) -> None:
    driver = Subject("driver", "drv_1")
    for place in town.values():
        await place.roll.beat()
        await place.roll.beat()
    town["a"].drivers["drv_1"] = []
    town["a"].roll.join(driver)
    async with asyncio.timeout(5):
        while "drv_1" not in town["a"].epochs:
            await asyncio.sleep(0.001)
        town["b"].drivers["drv_1"] = []
        town["b"].roll.join(driver)
        while not town["a"].told_lost:
            await asyncio.sleep(0.001)
    assert "drv_1" not in town["a"].drivers
    assert await town["c"].router.deliver("drv_1", OFFER)
    assert town["b"].drivers["drv_1"] == [OFFER]
    assert await town.world.leave(town["a"].host.id, [Departure(driver, town["a"].epochs["drv_1"])]) == [False]
