"""The live table: what this process knows of each driver right now. What every ping touches is in a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from core.errors import InvalidInput
from location.model import BUSY, MAX_SEATS, MAX_VEHICLE_BYTES, ONLINE, LastPosition, SupplyChange, SupplyRow
from location.ports import Placing
from location.table import Column, empty_slots

_UNKNOWN = -1  # where the store has a driver, after it failed
_FIRST_SLOTS = 1_024
_TALLIES = 16  # how many are dirty, then one for each fate of a ping (see intake.judge)


class Driver:
    """One driver: the last used ping, what they do, and what the store was last told of them.

    What every ping touches is in the table, in the row of the driver's slot (see table.py).
    """

    __slots__ = (
        "_queue", "_trip_id", "connected", "durable_seq", "epoch", "id", "idle_since", "online", "queue_misses",
        "seats", "slot", "table", "vehicle",
    )  # fmt: skip

    seq = Column("seq", int)
    ts = Column("ts", int)
    lat = Column("lat", float)
    lng = Column("lng", float)
    heading = Column("heading", float)
    speed = Column("speed", float)
    seen_at = Column("seen_at", float)
    segment = Column("segment", int)
    placed = Column("placed", bool)
    undurable = Column("undurable", int)
    written_segment = Column("told_segment", int)
    told_skew = Column("told_skew", bool)  # that the app's clock is wrong
    congested = Column("congested", bool)  # something waits to be written to the connection
    frames_left = Column("frames_left", int)  # of the flood guard

    def __init__(self, driver_id: str, table: LiveDrivers, slot: int) -> None:
        self.id = driver_id
        self.table = table
        self.slot = slot
        self.idle_since = 0.0
        self.online = False
        self.connected = False
        self.epoch = 0  # of the connection, among those of all hosts; while it is 0, the store is told nothing
        self._trip_id: str | None = None
        self.vehicle = b""
        self.seats = 0
        self.durable_seq = 0  # while there are such pings: how far it is durable
        self._queue: str | None = None
        self.queue_misses = 0  # pings in a row outside of it

    @property
    def trip_id(self) -> str | None:
        """The trip that the driver has."""
        return self._trip_id

    @trip_id.setter
    def trip_id(self, trip_id: str | None) -> None:
        self._trip_id = trip_id
        self.table.rows["on_trip"][self.slot] = trip_id is not None

    @property
    def queue(self) -> str | None:
        """The airport queue in which they wait; "" in none, None not known yet."""
        return self._queue

    @queue.setter
    def queue(self, queue: str | None) -> None:
        self._queue = queue
        self.table.rows["watched"][self.slot] = queue != ""

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
        here = (self.lat, self.lng, self.heading, self.speed, self.seen_at)
        return SupplyRow(*here, self.idle_since, self.flags, self.vehicle, self.seats)


class LiveDrivers:
    """Every driver this process has met, and which of them the store must be told about.

    `fresh_s`: a ping older than this places nobody; the Supply that the table belongs to says how much it is.
    `undurable`: by trip, how many of its pings are on their way to the durable log; trips without any are left out.
    """

    def __init__(self) -> None:
        self.fresh_s = math.inf
        self.undurable: dict[str, int] = {}
        self.rows = empty_slots(_FIRST_SLOTS)
        self.dirty = np.zeros(_FIRST_SLOTS, dtype=np.int64)  # slots of whom the store must be told, tallies[0] of them
        self.tallies = np.zeros(_TALLIES, dtype=np.int64)
        self._drivers: dict[str, Driver] = {}
        self._by_slot: list[Driver] = []

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
            slot = len(self._by_slot)
            if slot == len(self.rows):
                self.rows = np.concatenate([self.rows, empty_slots(slot)])
                self.dirty = np.concatenate([self.dirty, np.zeros(slot, dtype=np.int64)])
            driver = self._drivers[driver_id] = Driver(driver_id, self, slot)
            self._by_slot.append(driver)
        return driver

    def at(self, slot: int) -> Driver:
        """The driver of a slot."""
        return self._by_slot[slot]

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

    def set_vehicle(self, driver_id: str, vehicle: str, seats: int) -> None:
        """The vehicle class and its seats. Raises InvalidInput for what does not fit into the store's fields."""
        name = vehicle.encode()
        if len(name) > MAX_VEHICLE_BYTES or b"\0" in name:
            raise InvalidInput(f"vehicle class {vehicle!r} is longer than {MAX_VEHICLE_BYTES} bytes")
        if not 0 <= seats <= MAX_SEATS:
            raise InvalidInput(f"seats must be from 0 to {MAX_SEATS}, got {seats}")
        driver = self.driver(driver_id)
        driver.vehicle, driver.seats = name, seats
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
        count = int(self.tallies[0])
        taken = min(count, limit)
        slots = self.dirty[:taken].copy()
        self.dirty[: count - taken] = self.dirty[taken:count].copy()
        self.tallies[0] = count - taken
        rows = self.rows[slots]
        fresh = (rows["placed"] != 0) & (now - rows["seen_at"] <= self.fresh_s)
        told = rows["told_segment"].copy()
        shown: list[tuple[float, float, float, float, float]] = rows[
            ["lat", "lng", "heading", "speed", "seen_at"]
        ].tolist()
        by_row = zip(slots.tolist(), fresh.tolist(), rows["segment"].tolist(), told.tolist(), shown, strict=True)
        changes = []
        for at, (slot, is_fresh, segment, written, place) in enumerate(by_row):
            driver = self._by_slot[slot]
            if not driver.epoch:
                continue  # `own` brings the driver here again
            previous = 0 if written == _UNKNOWN else written
            if is_fresh and driver.online and (driver.connected or driver.trip_id is not None):
                row = SupplyRow._make((*place, driver.idle_since, driver.flags, driver.vehicle, driver.seats))
                changes.append(SupplyChange(driver.id, segment, previous, row, driver.epoch))
                told[at] = segment
            elif written:
                changes.append(SupplyChange(driver.id, 0, previous, None, driver.epoch))
                told[at] = 0
        self.rows["dirty"][slots] = 0
        self.rows["told_segment"][slots] = told
        self.rows["told_at"][slots] = rows["seen_at"]
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
        if not self.rows["dirty"][driver.slot]:
            self.rows["dirty"][driver.slot] = 1
            self.dirty[self.tallies[0]] = driver.slot
            self.tallies[0] += 1
