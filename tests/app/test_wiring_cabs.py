"""What riders see of cabs: the free ones near, the nearest by road first, and the one that comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from app.wiring.cabs import Cabs
from app.wiring.supply import SupplyReads
from core.geo import FloatArray, LatLng, haversine_many_m
from location.adapters.memory import MemorySupply
from location.live import LiveDrivers
from location.messages import Position as Ping
from location.model import BUSY, ONLINE, SupplyChange, SupplyRow, SupplyRows
from maps.adapters.memory import MemorySegments
from maps.cities import City
from maps.knownsegments import KnownSegments
from maps.segmentdesk import SegmentDesk
from maps.segments import segment_of
from runtime.clocks import ManualClock
from runtime.settings import Settings
from tests.location.moves import move

HERE = LatLng(57.7041, 11.9697)


class Counting(MemorySupply):
    """Notes who asks."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []

    async def of_drivers(self, driver_ids: Sequence[str]) -> SupplyRows:
        self.asked.append(list(driver_ids))
        await asyncio.sleep(0)
        return await super().of_drivers(driver_ids)


class Streets:
    """Straight ones, at 10 m/s; the island north of 57.8 cannot be left."""

    def to_one(self, lat: FloatArray, lng: FloatArray, to: LatLng) -> Any:
        return SimpleNamespace(seconds=np.where(lat > 57.8, np.inf, haversine_many_m(lat, lng, to) / 10))


@pytest.fixture
def store() -> Counting:
    return Counting()


@pytest.fixture
def live() -> LiveDrivers:
    return LiveDrivers()


@pytest.fixture
def cabs(store: Counting, live: LiveDrivers, clock: ManualClock) -> Cabs:
    city = cast(City, SimpleNamespace(eta=Streets()))
    live.fresh_s = Settings().location.fresh_s
    segments = SegmentDesk(MemorySegments(), KnownSegments(Settings().segments, lambda: 0.0), clock)
    return Cabs(SupplyReads(store, Settings()), segments, live, city, clock)


async def put(store: Counting, driver_id: str, lat: float, seen_at: float, flags: int = ONLINE) -> None:
    row = SupplyRow(lat, HERE.lng, float("nan"), 8.0, seen_at, 1.0, flags, b"standard")
    await store.apply([SupplyChange(driver_id, segment_of(lat, HERE.lng), 0, row, 1)])


async def test_free_cabs_near_are_shown_the_nearest_first(store: Counting, cabs: Cabs, clock: ManualClock) -> None:
    now = clock.now()
    await put(store, "second", HERE.lat + 0.004, now - 3)
    await put(store, "first", HERE.lat + 0.001, now - 7)
    await put(store, "third", HERE.lat - 0.009, now)
    await put(store, "busy", HERE.lat, now, ONLINE | BUSY)
    await put(store, "silent", HERE.lat, now - 31)
    await put(store, "far", HERE.lat + 0.09, now)
    shown = await cabs.near(HERE, 2)
    assert [(each["driver_id"], each["age_s"], each["heading"]) for each in shown] == [
        ("first", 7.0, None),
        ("second", 3.0, None),
    ]
    assert await cabs(HERE) == shown[0]["eta_s"]
    assert len(await cabs.near(HERE, 10)) == 3


async def test_nobody_near_is_an_empty_list(store: Counting, cabs: Cabs, clock: ManualClock) -> None:
    await put(store, "busy", HERE.lat, clock.now(), BUSY)
    assert await cabs.near(HERE, 5) == []
    assert await cabs(HERE) is None


async def test_riders_who_look_at_one_time_share_a_reading(store: Counting, cabs: Cabs, clock: ManualClock) -> None:
    for number in range(4):
        await put(store, f"drv_{number}", HERE.lat + 0.001 * number, clock.now() - 2)
    wanted = ["drv_0", "drv_3", "nobody", "drv_0"]
    seen = await asyncio.gather(*map(cabs.position, wanted))
    assert [None if each is None else (each.at.lat, each.heading, each.age_s) for each in seen] == [
        (HERE.lat, 0.0, 2.0),
        (HERE.lat + 0.003, 0.0, 2.0),
        None,
        (HERE.lat, 0.0, 2.0),
    ]
    assert store.asked == [["drv_0", "drv_3", "nobody"]]


async def test_a_driver_of_this_host_is_shown_without_asking_anybody(
    store: Counting, live: LiveDrivers, cabs: Cabs, clock: ManualClock
) -> None:
    now = clock.now()
    live.set_online("drv_1", True, now)
    driver = live.set_connected("drv_1", True)
    ping = Ping(seq=1, ts=int(now * 1000) - 4_000, lat=HERE.lat, lng=HERE.lng, heading=90.0)
    move(live, driver, ping, segment_of(*HERE), now)
    seen = await cabs.position("drv_1")
    assert seen is not None
    assert (seen.at, seen.heading, round(seen.age_s, 1)) == (HERE, 90.0, 4.0)
    assert store.asked == []
    live.set_connected("drv_1", False)
    assert await cabs.position("drv_1") is None
    assert store.asked == [["drv_1"]], "who has gone to another host is asked for"
