"""The live table: what this process knows of each driver right now. Plain attributes, as every ping touches them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from core.errors import InvalidInput
from location.messages import Position
from location.model import BUSY, MAX_VEHICLE_BYTES, ONLINE, LastPosition, SupplyChange, SupplyRow
from location.ports import Placing

_NO_PING = -1
_UNKNOWN = -1  # where the store has a driver, after it failed


class Driver:
    """One driver: the last used ping, what they do, and what the store was last told of them."""

    __slots__ = (
        "connected", "dirty", "durable_seq", "epoch", "heading", "id", "idle_since", "lat", "lng", "online", "placed",
        "queue", "queue_misses", "seen_at", "segment", "seq", "speed", "trip_id", "ts", "undurable", "vehicle",
        "written_segment",
    )  # fmt: skip

    def __init__(self, driver_id: str) -> None:
        self.id = driver_id
        self.seq = 0  # highest number met, used or not
        self.ts = _NO_PING  # of the last used ping, epoch milliseconds
        self.lat = math.nan
        self.lng = math.nan
        self.heading = math.nan
        self.speed = math.nan
        self.segment = 0
        self.placed = False  # a ping was used since the driver connected, and it is not stale
        self.seen_at = -math.inf  # engine time at which the driver was there
        self.idle_since = 0.0
        self.online = False
        self.connected = False
        self.epoch = 0  # of the connection, among those of all hosts; while it is 0, the store is told nothing
        self.trip_id: str | None = None
        self.vehicle = b""
        self.undurable = 0  # on-trip pings on their way to the durable log
        self.durable_seq = 0  # while there are such pings: how far it is durable
        self.dirty = False  # the store does not know the present state yet
        self.written_segment = 0  # where the store has the driver; 0 when nowhere
        self.queue: str | None = None  # the airport queue in which they wait; "" in none, None not known yet
        self.queue_misses = 0  # pings in a row outside of it

    @property
    def flags(self) -> int:
        """ONLINE and BUSY as bits."""
        return (ONLINE if self.online else 0) | (BUSY if self.trip_id is not None else 0)

    @property
    def in_supply(self) -> bool:
        """Online at a known place; while idle, also within reach of an offer."""
        return self.online and self.placed and (self.connected or self.trip_id is not None)

    @property
    def safe_seq(self) -> int:
        """Every ping up to here is processed, and durable where it belongs to a trip."""
        return self.durable_seq if self.undurable else self.seq

    def row(self) -> SupplyRow:
        """The driver as the supply shows them."""
        return SupplyRow(
            self.lat, self.lng, self.heading, self.speed, self.seen_at, self.idle_since, self.flags, self.vehicle
        )


class LiveDrivers:
    """Every driver this process has met, and which of them the store must be told about.

    `fresh_s`: a ping older than this places nobody; the Supply that the table belongs to says how much it is.
    `undurable`: by trip, how many of its pings are on their way to the durable log; trips without any are left out.
    """

    def __init__(self) -> None:
        self.fresh_s = math.inf
        self.undurable: dict[str, int] = {}
        self._drivers: dict[str, Driver] = {}
        self._dirty: list[Driver] = []

    def __len__(self) -> int:
        return len(self._drivers)

    def __iter__(self) -> Iterator[Driver]:
        return iter(self._drivers.values())

    def get(self, driver_id: str) -> Driver | None:
        """The driver, or None when never met."""
        return self._drivers.get(driver_id)

    def driver(self, driver_id: str) -> Driver:
        """The driver, made on the first meeting."""
        driver = self._drivers.get(driver_id)
        if driver is None:
            driver = self._drivers[driver_id] = Driver(driver_id)
        return driver

    def move(self, driver: Driver, ping: Position, segment: int, now: float) -> None:
        """Take over a used ping. One that waited in the app's buffer is as old as it says, and may place nobody."""
        driver.ts = ping.ts
        driver.lat = ping.lat
        driver.lng = ping.lng
        driver.heading = math.nan if ping.heading is None else ping.heading
        driver.speed = math.nan if ping.speed is None else ping.speed
        driver.segment = segment
        at = ping.ts / 1000.0
        driver.seen_at = at if at < now else now  # a phone may be ahead
        driver.placed = now - at <= self.fresh_s
        if not driver.dirty:
            driver.dirty = True
            self._dirty.append(driver)

    def set_connected(self, driver_id: str, connected: bool) -> Driver:
        """The driver's socket came or went. Who was away is shown again from the next ping on."""
        driver = self.driver(driver_id)
        if connected and not driver.connected:
            driver.queue = None  # another host may have had the driver meanwhile
            driver.placed = driver.placed and driver.trip_id is not None
        driver.connected = connected
        self._touch(driver)
        return driver

    def place_again(self, table: Placing) -> None:
        """Segments were cut anew: put every driver into the segment of the last used ping, as this table has it."""
        left = {segment for segment in {driver.segment for driver in self} if segment and not table.manages(segment)}
        if not left:
            return
        moved = [driver for driver in self if driver.segment in left]
        lat, lng = np.array([driver.lat for driver in moved]), np.array([driver.lng for driver in moved])
        for driver, segment in zip(moved, table.locate_many(lat, lng).tolist(), strict=True):
            driver.segment = segment
            self._touch(driver)

    def own(self, driver_id: str, epoch: int) -> None:
        """The newest connection of the driver is here, and has this epoch; 0: that is not known yet."""
        driver = self.driver(driver_id)
        driver.epoch = epoch
        self._touch(driver)

    def superseded(self, changes: Iterable[SupplyChange]) -> list[str]:
        """The store knows newer writers than these changes; returns the drivers who are not ours any more."""
        lost = []
        for change in changes:
            driver = self._drivers.get(change.driver_id)
            if driver is not None and driver.epoch == change.epoch:
                driver.epoch = driver.written_segment = 0
                driver.placed = False
                lost.append(driver.id)
        return lost

    def set_online(self, driver_id: str, online: bool, now: float) -> None:
        """The driver opens or closes for work; opening starts the waiting, and needs a ping to be shown."""
        driver = self.driver(driver_id)
        if online and not driver.online:
            driver.idle_since = now
        driver.online = online
        self._touch(driver)

    def set_busy(self, driver_id: str, trip_id: str) -> None:
        """The driver has a trip: pings belong to it from now on."""
        driver = self.driver(driver_id)
        driver.trip_id = trip_id
        self._touch(driver)

    def set_free(self, driver_id: str, now: float) -> None:
        """The driver's trip has ended: waiting starts anew. Does nothing for a driver without a trip."""
        driver = self.driver(driver_id)
        if driver.trip_id is not None:
            driver.trip_id = None
            driver.idle_since = now
            self._touch(driver)

    def set_vehicle(self, driver_id: str, vehicle: str) -> None:
        """The vehicle class. Raises InvalidInput when its name is longer than the store's field."""
        name = vehicle.encode()
        if len(name) > MAX_VEHICLE_BYTES or b"\0" in name:
            raise InvalidInput(f"vehicle class {vehicle!r} is longer than {MAX_VEHICLE_BYTES} bytes")
        driver = self.driver(driver_id)
        driver.vehicle = name
        self._touch(driver)

    def went_stale(self, driver_ids: Iterable[str]) -> None:
        """The store took these silent drivers out: their next ping brings them back."""
        for driver_id in driver_ids:
            if (driver := self._drivers.get(driver_id)) is not None:
                driver.written_segment = 0
                driver.placed = False

    def restore(self, last: LastPosition) -> None:
        """Go on from the durable log, where it knows more of a driver: after a restart, or after time on another host.

        The driver is not shown before they have sent a ping again.
        """
        driver = self.driver(last.driver_id)
        if last.ts <= driver.ts:
            return
        driver.seq, driver.ts = last.seq, last.ts
        driver.lat, driver.lng = last.lat, last.lng
        driver.placed = False
        if last.online and not driver.online:
            driver.idle_since = last.ts / 1000.0  # waiting since then at least
        driver.online = last.online

    def take_changes(self, now: float, limit: int) -> list[SupplyChange]:
        """What the store must be told since the last time, of so many drivers at most; the others follow."""
        dirty, self._dirty = self._dirty[:limit], self._dirty[limit:]
        changes = []
        for driver in dirty:
            driver.dirty = False
            written = driver.written_segment
            previous = 0 if written == _UNKNOWN else written
            if not driver.epoch:
                continue  # `own` brings the driver here again
            if driver.in_supply and now - driver.seen_at <= self.fresh_s:
                changes.append(SupplyChange(driver.id, driver.segment, previous, driver.row(), driver.epoch))
                driver.written_segment = driver.segment
            elif written:
                changes.append(SupplyChange(driver.id, 0, previous, None, driver.epoch))
                driver.written_segment = 0
        return changes

    def retry(self, changes: Iterable[SupplyChange]) -> None:
        """The store failed in the middle of these changes: tell them again, and rely on nothing it held before."""
        for driver in self:
            if driver.written_segment:
                driver.written_segment = _UNKNOWN
        for change in changes:
            driver = self.driver(change.driver_id)
            driver.written_segment = _UNKNOWN
            self._touch(driver)

    def tell_again(self) -> None:
        """The store was started anew and may have lost anything: tell it of every driver, also of who is not shown."""
        for driver in self:
            driver.written_segment = _UNKNOWN
            self._touch(driver)

    def _touch(self, driver: Driver) -> None:
        if not driver.dirty:
            driver.dirty = True
            self._dirty.append(driver)
