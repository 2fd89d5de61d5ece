"""Airport queues: who stands where in line, ping by ping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Unavailable
from location.adapters.memory import MemoryQueues
from location.live import LiveDrivers
from location.messages import Position
from location.queues import QueueKeeper, QueueParts, next_place
from runtime.clocks import ManualClock
from runtime.settings import LocationSettings
from tests.location.moves import move

AIR, RAIL, TOWN = 1.0, 2.0, 3.0  # latitudes of places


def zone_of(lat: float, _lng: float) -> str | None:
    return {AIR: "air", RAIL: "rail"}.get(lat)


class Store(MemoryQueues):
    """A store that can be away."""

    away = False

    async def move(self, joined: Mapping[str, tuple[str, float]], left: Sequence[str], now: float) -> None:
        if self.away:
            raise Unavailable("away")
        await super().move(joined, left, now)


class Host:
    """A gateway's part in the queues."""

    def __init__(self, clock: ManualClock, store: Store) -> None:
        self.clock, self.store, self.live = clock, store, LiveDrivers()
        self.told: list[tuple[str, dict[str, Any]]] = []
        settings = LocationSettings(queue_keep_s=100.0)
        self.keeper = QueueKeeper(QueueParts(zone_of, store), self.live, clock, settings, self._deliver)

    def _deliver(self, driver_id: str, message: dict[str, Any]) -> bool:
        self.told.append((driver_id, message))
        return True

    def come(self, *driver_ids: str) -> None:
        for driver_id in driver_ids:
            self.live.set_connected(driver_id, True)
            self.live.set_online(driver_id, True, self.clock.now())

    async def ping(self, driver_id: str, *places: float) -> None:
        """Pings a second apart, the first of a new connection unheeded until the store was asked."""
        driver, watch = self.live.driver(driver_id), self.keeper.watch
        assert watch is not None
        for lat in places:
            for _ in range(2 if driver.queue is None else 1):
                await self.clock.advance(1.0, settle_s=0)
                now = self.clock.now()
                move(self.live, driver, Position(1, int(now * 1000), lat, 0.0), 1, now)
                watch(driver, lat, 0.0, now)
                await self.keeper.flush()

    async def line(self, zone_id: str = "air") -> list[str]:
        await self.keeper.flush()
        return await self.store.first(zone_id, 100)

    def positions(self, driver_id: str) -> list[tuple[int | None, int | None]]:
        return [(message["position"], message["length"]) for driver, message in self.told if driver == driver_id]


@pytest.fixture
def host(clock: ManualClock) -> Host:
    return Host(clock, Store())


async def test_drivers_stand_in_the_order_in_which_they_came(host: Host) -> None:
    host.come("a", "b", "c")
    for driver_id in ("b", "c", "a"):
        await host.ping(driver_id, AIR)
    await host.ping("b", AIR, AIR)
    assert await host.line() == ["b", "c", "a"]
    assert host.positions("a") == [(3, 3)]
    assert host.positions("b") == [(1, 1), (1, 2), (1, 3)]


async def test_leaving_takes_three_pings_outside_in_a_row(host: Host) -> None:
    host.come("a", "b")
    await host.ping("a", AIR)
    await host.ping("b", AIR)
    await host.ping("a", TOWN, TOWN, AIR, TOWN, TOWN)
    assert await host.line() == ["a", "b"]
    await host.ping("a", TOWN)
    assert await host.line() == ["b"]
    assert host.positions("a")[-1] == (None, None)
    assert host.positions("b")[-1] == (1, 1)
    await host.ping("a", AIR)
    assert await host.line() == ["b", "a"]


async def test_another_queues_zone_is_outside_too(host: Host) -> None:
    host.come("a")
    await host.ping("a", AIR, RAIL, RAIL)
    assert await host.line("air") == ["a"]
    await host.ping("a", RAIL)
    assert await host.line("air") == []
    assert await host.line("rail") == ["a"]


async def test_going_offline_or_getting_a_trip_gives_the_place_up_at_once(host: Host) -> None:
    host.come("a", "b", "c")
    for driver_id in ("a", "b", "c"):
        await host.ping(driver_id, AIR)
    host.live.set_online("a", False, host.clock.now())
    host.live.set_busy("b", "trp_1")
    assert await host.line() == ["c"]
    await host.ping("b", AIR)
    host.live.set_free("b", host.clock.now())
    assert await host.line() == ["c"], "not before a ping without the trip"
    await host.ping("b", AIR)
    assert await host.line() == ["c", "b"]


async def test_a_place_outlives_the_process_and_the_connection(host: Host) -> None:
    host.come("a", "b")
    await host.ping("a", AIR)
    await host.ping("b", AIR)
    again = Host(host.clock, host.store)
    again.come("b", "a")
    await again.ping("b", AIR)
    await again.ping("a", TOWN, TOWN, AIR)
    assert await again.line() == ["a", "b"]
    assert again.positions("b") == [(2, 2)]
    await again.ping("a", TOWN, TOWN, TOWN)
    assert await again.line() == ["b"], "the place from before is known, and lost like any other"


async def test_who_reconnects_hears_the_place_again(host: Host) -> None:
    host.come("a")
    await host.ping("a", AIR)
    host.live.set_connected("a", False)
    host.live.set_connected("a", True)
    await host.ping("a", AIR)
    assert host.positions("a") == [(1, 1), (1, 1)]


async def test_a_place_taken_on_another_host_is_respected(host: Host) -> None:
    other = Host(host.clock, host.store)
    host.come("a", "b")
    await host.ping("a", AIR)
    await host.ping("b", AIR)
    host.live.set_connected("a", False)
    other.come("a")
    await other.ping("a", AIR)
    assert await other.line() == ["a", "b"]
    other.live.set_online("a", False, host.clock.now())
    assert await other.line() == ["b"]
    host.come("a")
    await host.ping("a", AIR)
    assert await host.line() == ["b", "a"], "this host does not go on from what it knew before"


async def test_who_is_silent_for_long_loses_the_place_and_starts_anew(host: Host) -> None:
    host.come("a", "b")
    await host.ping("a", AIR)
    await host.ping("b", AIR)
    for seconds in range(0, 180, 30):
        await host.clock.advance(30.0, settle_s=0)
        await host.ping("b", AIR)
        assert "a" in await host.line() or seconds >= 90, "not before queue_keep_s"
    assert await host.line() == ["b"]
    await host.ping("a", AIR)
    assert await host.line() == ["b", "a"]


async def test_while_the_store_is_away_nothing_is_lost(host: Host) -> None:
    host.come("a", "b")
    await host.ping("a", AIR)
    await host.ping("b", TOWN)
    host.store.away = True
    for driver_id, lat in (("b", AIR), ("a", TOWN), ("a", TOWN), ("a", TOWN)):
        with pytest.raises(Unavailable):
            await host.ping(driver_id, lat)
            await host.keeper.flush()
    host.store.away = False
    assert await host.line() == ["b"]


def test_without_queues_nobody_is_watched(clock: ManualClock) -> None:
    keeper = QueueKeeper(None, LiveDrivers(), clock, LocationSettings(), lambda _driver, _message: True)
    assert keeper.watch is None


@given(st.lists(st.sampled_from([None, "air", "rail"]), max_size=40), st.integers(1, 4))
def test_a_place_is_lost_only_after_so_many_pings_elsewhere(zones: list[str | None], exit_pings: int) -> None:
    queue, misses, elsewhere = "", 0, 0
    for zone in zones:
        before = queue
        queue, misses = next_place(queue, misses, zone, exit_pings)
        elsewhere = 0 if zone == before else elsewhere + 1
        if before and queue != before:
            assert elsewhere == exit_pings
        if before and queue == before:
            assert elsewhere < exit_pings
        if queue != before:
            assert queue == (zone or "")
            elsewhere = 0
