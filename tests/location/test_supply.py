"""Who is shown as supply, and what the store is told, tick by tick."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core.errors import InvalidInput, Unavailable
from location.adapters.memory import MemoryPositions, MemorySupply
from location.live import LiveDrivers
from location.messages import Position
from location.model import BUSY, ONLINE, LastPosition, SupplyChange
from location.presence import OneHost
from location.supply import Supply
from runtime.clocks import ManualClock
from tests.location.moves import move

A, B = 0x881F25A001FFFFF, 0x881F25A003FFFFF


class Store(MemorySupply):
    """A memory store that shows what it was told, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[SupplyChange] = []
        self.away = False

    async def apply(self, changes: Sequence[SupplyChange]) -> list[SupplyChange]:
        if self.away:
            await super().apply(changes[: len(changes) // 2])  # the outage comes in the middle
            raise Unavailable("away")
        self.told.extend(changes)
        return await super().apply(changes)


class Town:
    """A supply with a store to look into."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.live = LiveDrivers()
        self.store = Store()
        self.positions = MemoryPositions(100)
        self.supply = Supply(self.live, self.store, clock, fresh_s=30.0, stream=self.positions)
        self._seq = 0
        self.hosts = OneHost(clock)
        self.hosts.listen(self)

    def ping(self, driver_id: str, segment: int = A, *, age_s: float = 0.0) -> None:
        self._seq += 1
        now = self.clock.now()
        at = Position(self._seq, int((now - age_s) * 1000), 57.7, 11.97)
        move(self.live, self.live.driver(driver_id), at, segment, now)

    def owns(self, driver_id: str, epoch: int) -> None:
        self.live.own(driver_id, epoch)

    def lost(self, driver_id: str, epoch: int) -> None: ...

    def gone(self, driver_id: str) -> None: ...

    def connect(self, driver_id: str) -> None:
        self.live.set_connected(driver_id, True)
        self.hosts.join(driver_id)

    def come(self, driver_id: str, segment: int = A) -> None:
        self.connect(driver_id)
        self.supply.set_online(driver_id, True)
        self.ping(driver_id, segment)

    async def shown(self) -> dict[str, tuple[int, int]]:
        await self.supply.flush()
        rows = await self.store.in_segments([A, B])
        return {
            driver_id: (int(segment), int(flags))
            for driver_id, segment, flags in zip(rows.driver_ids, rows.segment, rows.flags, strict=True)
        }


@pytest.fixture
def town(clock: ManualClock) -> Town:
    return Town(clock)


async def test_online_without_a_ping_is_not_supply(town: Town) -> None:
    town.connect("drv_1")
    town.supply.set_online("drv_1", True)
    assert await town.shown() == {}
    town.ping("drv_1")
    assert await town.shown() == {"drv_1": (A, ONLINE)}


async def test_pings_without_going_online_are_not_supply(town: Town) -> None:
    town.connect("drv_1")
    town.ping("drv_1")
    assert await town.shown() == {}


async def test_going_offline_leaves_at_the_next_tick(town: Town) -> None:
    town.come("drv_1")
    await town.shown()
    town.supply.set_online("drv_1", False)
    assert await town.shown() == {}


async def test_an_idle_driver_who_disconnects_leaves_and_is_shown_again_after_a_ping(town: Town) -> None:
    town.come("drv_1")
    await town.shown()
    town.live.set_connected("drv_1", False)
    assert await town.shown() == {}
    town.connect("drv_1")
    assert await town.shown() == {}
    town.ping("drv_1", B)
    assert await town.shown() == {"drv_1": (B, ONLINE)}


async def test_a_driver_on_a_trip_stays_shown_as_busy_while_disconnected(town: Town) -> None:
    town.come("drv_1")
    town.supply.set_busy("drv_1", "trip_1")
    town.live.set_connected("drv_1", False)
    assert await town.shown() == {"drv_1": (A, ONLINE | BUSY)}
    town.supply.set_free("drv_1")
    assert await town.shown() == {}


async def test_waiting_starts_when_coming_online_and_when_a_trip_ends(town: Town) -> None:
    town.come("drv_1")
    start = town.clock.now()
    await town.clock.advance(100, settle_s=0)
    town.supply.set_online("drv_1", True)  # said again: nothing new
    assert town.live.driver("drv_1").idle_since == start
    town.supply.set_busy("drv_1", "trip_1")
    await town.clock.advance(100, settle_s=0)
    town.supply.set_free("drv_1")
    await town.clock.advance(100, settle_s=0)
    town.supply.set_free("drv_1")  # told again: nothing new
    assert town.live.driver("drv_1").idle_since == start + 200


async def test_a_tick_tells_only_what_changed_and_names_the_segment_left(town: Town) -> None:
    town.come("drv_1")
    town.come("drv_2")
    await town.supply.flush()
    town.store.told.clear()
    assert await town.supply.flush() == 0
    town.ping("drv_2", B)
    town.ping("drv_1", A)
    await town.supply.flush()
    assert [(each.driver_id, each.segment, each.previous) for each in town.store.told] == [
        ("drv_2", B, A),
        ("drv_1", A, A),
    ]


async def test_many_pings_of_a_tick_are_one_change(town: Town) -> None:
    town.come("drv_1")
    for segment in (B, A, B):
        town.ping("drv_1", segment)
    assert await town.supply.flush() == 1
    assert await town.shown() == {"drv_1": (B, ONLINE)}


async def test_a_silent_driver_goes_stale_and_comes_back_with_a_ping(town: Town) -> None:
    town.come("drv_1")
    await town.shown()
    await town.clock.advance(30, settle_s=0)
    assert await town.supply.expire() == 0
    await town.clock.advance(0.1, settle_s=0)
    assert await town.supply.expire() == 1
    town.supply.set_vehicle("drv_1", "standard", 4)  # not a ping
    assert await town.shown() == {}
    town.ping("drv_1")
    assert await town.shown() == {"drv_1": (A, ONLINE)}


async def test_a_ping_from_the_buffer_is_as_old_as_it_says(town: Town) -> None:
    town.come("drv_1")
    town.ping("drv_1", B, age_s=600)
    assert await town.shown() == {}
    town.ping("drv_1", B, age_s=29)
    assert await town.shown() == {"drv_1": (B, ONLINE)}
    rows = await town.store.in_segments([B])
    assert rows.seen_at.tolist() == [town.clock.now() - 29]


async def test_a_phone_that_is_ahead_is_seen_now_and_no_later(town: Town) -> None:
    town.come("drv_1")
    town.ping("drv_1", age_s=-20)
    assert town.live.driver("drv_1").seen_at == town.clock.now()


async def test_a_driver_whose_pings_are_all_old_stays_out_of_the_store(town: Town) -> None:
    town.connect("drv_1")
    town.supply.set_online("drv_1", True)
    for _ in range(20):
        town.ping("drv_1", age_s=31)
        assert await town.supply.flush() == 0
        assert await town.supply.expire() == 0
        await town.clock.advance(5, settle_s=0)
    assert town.store.told == []


async def test_an_old_ping_takes_out_who_would_expire_and_expiry_does_not_repeat_it(town: Town) -> None:
    town.come("drv_1")
    await town.shown()
    await town.clock.advance(40, settle_s=0)
    town.ping("drv_1", age_s=35)
    assert await town.shown() == {}
    assert await town.supply.expire() == 0


@pytest.mark.parametrize("drivers", [1, 2, 5])
async def test_after_an_outage_of_the_store_everything_is_told_again(town: Town, drivers: int) -> None:
    for number in range(drivers):
        town.come(f"drv_{number}")
    await town.shown()
    town.store.away = True
    for number in range(drivers):
        town.ping(f"drv_{number}", B)
    assert await town.supply.flush() == 0
    assert await town.supply.flush() == 0
    town.live.set_connected("drv_0", False)
    town.store.away = False
    assert await town.shown() == {f"drv_{number}": (B, ONLINE) for number in range(1, drivers)}


async def test_followers_hear_of_who_moved_whether_the_store_takes_it_or_not(town: Town) -> None:
    town.come("drv_0")
    town.come("drv_1")
    await town.supply.flush()
    town.positions.latest.clear()
    town.store.away = True
    town.ping("drv_1", B)
    await town.supply.flush()
    assert {driver: change.segment for driver, change in town.positions.latest.items()} == {"drv_1": B}
    assert await Supply(town.live, MemorySupply(), town.clock, fresh_s=30.0).flush() == 1  # nobody has to follow


async def test_the_vehicle_reaches_the_store_and_what_does_not_fit_is_refused(town: Town) -> None:
    town.come("drv_1")
    town.supply.set_vehicle("drv_1", "premium", 6)
    await town.supply.flush()
    found = await town.store.in_segments([A])
    assert (found.vehicle, found.seats.tolist()) == (["premium"], [6])
    for seats in (-1, 256):
        with pytest.raises(InvalidInput, match="seats must be"):
            town.supply.set_vehicle("drv_1", "premium", seats)
    with pytest.raises(InvalidInput, match="longer than"):
        town.supply.set_vehicle("drv_1", "a class with a very long name", 4)


async def test_a_restarted_engine_goes_on_from_the_last_position_and_shows_nobody(town: Town) -> None:
    town.live.restore(LastPosition("drv_1", 17, 1_000, 57.7, 11.97, None, None, True, None))
    driver = town.live.driver("drv_1")
    assert (driver.safe_seq, driver.ts, driver.lat) == (17, 1_000, 57.7)
    town.connect("drv_1")
    assert await town.shown() == {}
    town.ping("drv_1")
    assert await town.shown() == {"drv_1": (A, ONLINE)}


async def test_a_driver_who_was_on_another_host_goes_on_from_there_and_an_older_position_changes_nothing(
    town: Town,
) -> None:
    town.come("drv_1")
    here = town.live.driver("drv_1").ts
    town.live.restore(LastPosition("drv_1", 90, here - 1, 1.0, 1.0, None, None, False, None))
    assert await town.shown() == {"drv_1": (A, ONLINE)}
    town.live.restore(LastPosition("drv_1", 90, here + 60_000, 57.8, 11.98, None, None, False, None))
    driver = town.live.driver("drv_1")
    assert (driver.seq, driver.ts, driver.lat, driver.online, driver.placed) == (90, here + 60_000, 57.8, False, False)
