"""Airport queues: first in, first out. Drivers who wait in such a zone hold a place, which outlives this process.

A ping in the zone gives a place, at the end of the line. Going offline or getting a trip gives it up at once; leaving
the zone takes `queue_exit_pings` pings outside in a row, as GPS strays near buildings. Who is silent loses it
`queue_keep_s` later or at half of that again; so a restart, a tunnel or another host costs nobody their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.clock import Clock
from location.live import Driver, LiveDrivers
from location.ports import QueueAt, QueueStore
from runtime.settings import LocationSettings

Deliver = Callable[[str, dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class QueueParts:
    """Where the queues are, and where the places in them are kept."""

    zone_of: QueueAt
    store: QueueStore


def nowhere(_lat: float, _lng: float, /) -> str | None:
    """The airport queue of a place where there are none."""
    return None


def next_place(queue: str, misses: int, zone: str | None, exit_pings: int) -> tuple[str, int]:
    """The queue that a driver waits in after a ping, and how many pings in a row were outside of it.

    `queue` is where they waited before ("" nowhere), `zone` where the ping is. Another queue's zone is outside, too.
    """
    if zone == queue or not queue:
        return zone or "", 0
    if misses + 1 < exit_pings:
        return queue, misses + 1
    return zone or "", 0


class QueueKeeper:
    """The places of this host's drivers: kept in step with their pings, written and told tick by tick."""

    def __init__(
        self, parts: QueueParts | None, live: LiveDrivers, clock: Clock, settings: LocationSettings, deliver: Deliver
    ) -> None:
        self._zone_of = nowhere if parts is None else parts.zone_of
        self._store = None if parts is None else parts.store
        self._live = live
        self._clock = clock
        self._settings = settings
        self._deliver = deliver
        self._unknown: set[str] = set()  # drivers of whom the store has not been asked yet
        self._waiting: dict[str, Driver] = {}  # in a queue, as far as this host knows
        self._joined: dict[str, tuple[str, float]] = {}  # not written yet: the queue, and since when they wait
        self._left: set[str] = set()  # not written yet
        self._told: dict[str, tuple[str, int, int]] = {}
        self._renewed_at = clock.now()

    @property
    def watch(self) -> Callable[[Driver, float, float, float], None] | None:
        """`seen`, where there are queues at all."""
        return None if self._store is None else self.seen

    def seen(self, driver: Driver, lat: float, lng: float, now: float) -> None:
        """A used ping of the driver, on the hot path."""
        if (queue := driver.queue) is None:
            self._unknown.add(driver.id)
            return
        zone = self._zone_of(lat, lng) if driver.online and driver.trip_id is None else None
        if zone is not None or queue:
            place, driver.queue_misses = next_place(queue, driver.queue_misses, zone, self._settings.queue_exit_pings)
            if place != queue:
                self._move(driver, place, now)

    async def flush(self) -> None:
        """Find places held from before, write what changed, and tell drivers where they are in line.

        Raises Unavailable; what could not be written is written the next time.
        """
        if (store := self._store) is None:
            return
        now = self._clock.now()
        await self._recall(store)
        for driver in list(self._waiting.values()):
            if not driver.online or driver.trip_id is not None:
                self._move(driver, "", now)
        await self._write(store, now)
        await self._tell(store)

    def _move(self, driver: Driver, queue: str, now: float) -> None:
        driver.queue, driver.queue_misses = queue, 0
        if queue:
            self._waiting[driver.id] = driver
            self._joined[driver.id] = queue, now
            self._left.discard(driver.id)
        else:
            self._waiting.pop(driver.id, None)
            self._joined.pop(driver.id, None)
            self._left.add(driver.id)

    async def _recall(self, store: QueueStore) -> None:
        asked = list(self._unknown)[: self._settings.queue_batch]
        if not asked:
            return
        held = await store.queues_of(asked)
        for driver_id in asked:
            self._unknown.discard(driver_id)
            self._told.pop(driver_id, None)
            driver = self._live.driver(driver_id)
            driver.queue, driver.queue_misses = held.get(driver_id, ""), 0
            if driver.queue:
                self._waiting[driver_id] = driver
            else:
                self._waiting.pop(driver_id, None)

    async def _write(self, store: QueueStore, now: float) -> None:
        keep_s = self._settings.queue_keep_s
        joined, left = dict(self._joined), set(self._left)
        if joined or left:
            await store.move(joined, sorted(left), now)
            self._joined = {each: place for each, place in self._joined.items() if joined.get(each) != place}
            self._left -= left
        if now - self._renewed_at >= keep_s / 4:
            await store.renew([each.id for each in self._waiting.values() if each.seen_at >= self._renewed_at], now)
            self._renewed_at = now
            await store.purge(now - keep_s)  # also of other hosts, which may be dead
        for driver in [each for each in self._waiting.values() if now - each.seen_at >= keep_s]:
            del self._waiting[driver.id]  # the purge takes them out, unless another host has them now
            driver.queue = None

    async def _tell(self, store: QueueStore) -> None:
        here = {driver_id: driver for driver_id, driver in self._waiting.items() if driver.connected}
        lines: dict[str, Mapping[str, int]] = {}
        for zone_id in {driver.queue for driver in here.values() if driver.queue}:
            line = await store.first(zone_id, self._settings.queue_batch)
            lines[zone_id] = {driver_id: place for place, driver_id in enumerate(line, 1)}
        for driver_id, driver in here.items():
            line_here = lines.get(driver.queue or "", {})
            position = line_here.get(driver_id)
            if position is not None:
                self._say(driver_id, (driver.queue or "", position, len(line_here)))
        for driver_id in self._told.keys() - self._waiting.keys():
            zone_id, _, _ = self._told.pop(driver_id)
            self._deliver(driver_id, {"type": "queue", "zone_id": zone_id, "position": None, "length": None})

    def _say(self, driver_id: str, place: tuple[str, int, int]) -> None:
        if self._told.get(driver_id) == place:
            return
        zone_id, position, length = place
        message = {"type": "queue", "zone_id": zone_id, "position": position, "length": length}
        if self._deliver(driver_id, message):
            self._told[driver_id] = place
