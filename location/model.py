"""What the location room knows: trail points, supply rows and changes, and what a driver is told on connecting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from core.geo import FloatArray, IntArray
from location.messages import Position

ONLINE = 1  # open to work, or on a trip
BUSY = 2  # on a trip

MAX_VEHICLE_BYTES = 14
MAX_SEATS = 255

# how a driver's row is kept and moved: one fixed record, so that a reader makes arrays of thousands at once
ROW = np.dtype(
    [
        ("lat", "<f8"),
        ("lng", "<f8"),
        ("heading", "<f4"),
        ("speed", "<f4"),
        ("seen_at", "<f8"),
        ("idle_since", "<f8"),
        ("flags", "u1"),
        ("vehicle", f"S{MAX_VEHICLE_BYTES}"),
        ("seats", "u1"),
    ]
)


class SupplyRow(NamedTuple):
    """A driver as the supply shows them; in the order of ROW. `heading` and `speed` are NaN where unknown."""

    lat: float
    lng: float
    heading: float
    speed: float
    seen_at: float  # engine time of the last ping, by its own time
    idle_since: float  # engine time of coming online or of the last trip's end
    flags: int  # ONLINE, BUSY
    vehicle: bytes  # vehicle class
    seats: int = 0  # for passengers; 0 where unknown


class SupplyChange(NamedTuple):
    """What a tick tells the store about one driver.

    `segment` 0 takes the driver out; `previous` is the segment they are in, 0 where the writer does not know. `epoch`
    says which connection of the driver the writer speaks for: the newest has the highest, over all hosts.
    """

    driver_id: str
    segment: int
    previous: int
    row: SupplyRow | None
    epoch: int


@dataclass(frozen=True, slots=True)
class SupplyRows:
    """Drivers of some segments, one row each, all arrays of shape (n,); nobody stands in it twice."""

    driver_ids: list[str]
    segment: npt.NDArray[np.uint64]
    lat: FloatArray
    lng: FloatArray
    heading: FloatArray
    speed: FloatArray
    seen_at: FloatArray
    idle_since: FloatArray
    flags: npt.NDArray[np.uint8]
    vehicle: list[str]
    seats: npt.NDArray[np.uint8]

    def take(self, places: Sequence[int]) -> SupplyRows:
        """The rows at these places, in this order."""
        index = np.array(places, dtype=np.int64)
        return SupplyRows(
            [self.driver_ids[place] for place in places],
            self.segment[index],
            lat=self.lat[index],
            lng=self.lng[index],
            heading=self.heading[index],
            speed=self.speed[index],
            seen_at=self.seen_at[index],
            idle_since=self.idle_since[index],
            flags=self.flags[index],
            vehicle=[self.vehicle[place] for place in places],
            seats=self.seats[index],
        )

    @staticmethod
    def of(driver_ids: list[str], segments: list[int], records: npt.NDArray[np.void]) -> SupplyRows:
        """From records of ROW (n,); a driver found twice (seen while moving) keeps the latest row."""
        if len(set(driver_ids)) < len(driver_ids):
            latest: dict[str, int] = {}
            for index in np.argsort(records["seen_at"], kind="stable").tolist():
                latest[driver_ids[index]] = index
            keep = sorted(latest.values())
            driver_ids, segments = [driver_ids[i] for i in keep], [segments[i] for i in keep]
            records = records[keep]
        return SupplyRows(
            driver_ids,
            np.array(segments, dtype=np.uint64),
            lat=records["lat"].astype(np.float64),
            lng=records["lng"].astype(np.float64),
            heading=records["heading"].astype(np.float64),
            speed=records["speed"].astype(np.float64),
            seen_at=records["seen_at"].astype(np.float64),
            idle_since=records["idle_since"].astype(np.float64),
            flags=records["flags"].astype(np.uint8),
            vehicle=[vehicle.decode() for vehicle in records["vehicle"].tolist()],
            seats=records["seats"].astype(np.uint8),
        )


class TrailPoint(NamedTuple):
    """An accepted ping on its way to the durable log; `trip_id` is None while the driver is idle."""

    driver_id: str
    trip_id: str | None
    online: bool
    ping: Position


@dataclass(frozen=True, slots=True)
class Trail:
    """Points in the order of their time, all arrays of shape (n,); `ts` in epoch milliseconds, NaN where unknown."""

    seq: IntArray
    ts: IntArray
    lat: FloatArray
    lng: FloatArray
    heading: FloatArray
    speed: FloatArray
    accuracy: FloatArray
    trip_ids: list[str | None]

    def __len__(self) -> int:
        return len(self.trip_ids)

    @staticmethod
    def of(rows: Sequence[Sequence[Any]]) -> Trail:
        """From rows of (seq, ts, lat, lng, heading, speed, accuracy, trip_id) in the order of their time."""
        seq, ts, lat, lng, heading, speed, accuracy, trip_ids = zip(*rows, strict=True) if rows else ((),) * 8
        return Trail(
            seq=np.array(seq, dtype=np.int64),
            ts=np.array(ts, dtype=np.int64),
            lat=np.array(lat, dtype=np.float64),
            lng=np.array(lng, dtype=np.float64),
            heading=np.array(heading, dtype=np.float64),
            speed=np.array(speed, dtype=np.float64),
            accuracy=np.array(accuracy, dtype=np.float64),
            trip_ids=list(trip_ids),
        )


class LastPosition(msgspec.Struct, frozen=True):
    """The newest logged ping of a driver, from which a restarted engine goes on."""

    driver_id: str
    seq: int
    ts: int
    lat: float
    lng: float
    heading: float | None
    speed: float | None
    online: bool
    trip_id: str | None


@dataclass(frozen=True, slots=True)
class DriverState:
    """What a driver is told after connecting: the active trip and the open offers, as contract messages.

    `online` overrides what the live table remembers of the driver's status, where the desk knows better.
    """

    trip: dict[str, Any] | None = None
    offers: list[dict[str, Any]] = field(default_factory=list)
    online: bool | None = None
