"""What the location room needs from outside: who a driver is, what their messages ask of other rooms, and stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core.geo import FloatArray
from location.model import DriverState, LastPosition, SupplyChange, SupplyRows, Trail, TrailPoint


class Identity(Protocol):
    """Who a token belongs to."""

    @property
    def scope(self) -> str: ...

    @property
    def subject(self) -> str: ...


class Authorize(Protocol):
    """Tells who calls, from a bearer token or a one-use ticket. Raises Unauthorized or Forbidden."""

    def __call__(self, token: str | None, ticket: str | None) -> Identity: ...


class UseTicket(Protocol):
    """Uses a ticket up, for all hosts. Raises Unauthorized when it was used before, Unavailable when nobody knows."""

    async def __call__(self, ticket: str, /) -> None: ...


class RollListener(Protocol):
    """Who hears what the roll has found out about a driver's connection here."""

    def owns(self, driver_id: str, epoch: int) -> None:
        """The driver's connection here is the newest of all hosts, and has this epoch."""
        ...

    def lost(self, driver_id: str, epoch: int) -> None:
        """The driver has a connection of this epoch on another host: one of a lower epoch here is over."""
        ...

    def gone(self, driver_id: str) -> None:
        """The driver has left this host, and is on no other."""
        ...


class Roll(Protocol):
    """The roll of all hosts: which driver hangs on which. Its calls wait for nothing; the listener hears the rest."""

    def listen(self, listener: RollListener) -> None:
        """Tell what is found out to this one."""
        ...

    def join(self, driver_id: str) -> None:
        """The driver has a new connection here."""
        ...

    def leave(self, driver_id: str) -> None:
        """The driver has no connection here any more."""
        ...

    async def known(self, driver_id: str) -> None:
        """Wait a moment until other hosts can find the driver here, so that they tell of what is read after this."""
        ...


class SegmentOf(Protocol):
    """The segment of a point, as an H3 cell."""

    def __call__(self, lat: float, lng: float, /) -> int: ...


class Placing(Protocol):
    """A table of segments."""

    def manages(self, cell: int, /) -> bool:
        """Whether an H3 cell is one of its segments."""
        ...

    def locate_many(self, lat: FloatArray, lng: FloatArray, /) -> npt.NDArray[np.uint64]:
        """The segments of points (n,) in degrees; shape (n,)."""
        ...


class Inside(Protocol):
    """Is a point in the service area?"""

    def __call__(self, lat: float, lng: float, /) -> bool: ...


class CellRules(Protocol):
    """What holds in all of a finest cell (maps.segments): with it, most pings need no look at their very place."""

    @property
    def version(self) -> object:
        """Differs from an earlier one when any answer may have changed."""
        ...

    def of_cell(self, cell: int, /) -> tuple[int, bool | None, bool]:
        """The cell's segment; whether all or none of it is in the service area, None where an edge runs through it;
        and whether an airport queue may reach into it.
        """
        ...


class QueueAt(Protocol):
    """The airport queue of a place."""

    def __call__(self, lat: float, lng: float, /) -> str | None:
        """The id of the zone in which drivers wait in line there; None where there is none."""
        ...


class QueueStore(Protocol):
    """Places in airport queues, for every host. Each call may raise Unavailable."""

    async def queues_of(self, driver_ids: Sequence[str]) -> Mapping[str, str]:
        """The queue in which each driver holds a place; those who hold none are left out."""
        ...

    async def move(self, joined: Mapping[str, tuple[str, float]], left: Sequence[str], now: float) -> None:
        """Give drivers a place in a queue since a time, whatever they held before; take it from those who left."""
        ...

    async def renew(self, driver_ids: Sequence[str], now: float) -> None:
        """These drivers still wait; who holds no place gets none by this."""
        ...

    async def first(self, zone_id: str, limit: int) -> list[str]:
        """The first drivers of a queue, who waits longest first; of those who came at once the lower id."""
        ...

    async def purge(self, before: float) -> int:
        """Take out who was not renewed since this time; returns how many."""
        ...


class DriverDesk(Protocol):
    """What driver messages ask of other rooms. Every call may raise core.errors, which the driver is told.

    Calls of one driver come one after the other, in the order of the messages; an app may repeat any of them.
    """

    async def state(self, driver_id: str) -> DriverState:
        """The active trip and the open offers of a driver who has just connected.

        The trip must be so at the moment of the answer: a driver is busy with it until its end is told.
        """
        ...

    async def status(self, driver_id: str, online: bool) -> None:
        """The driver wants to go online or offline. Raises Forbidden where that is not allowed."""
        ...

    async def disconnected(self, driver_id: str) -> None:
        """The driver's socket is gone and no other took its place: open offers go elsewhere."""
        ...

    async def accept(self, driver_id: str, offer_id: str) -> None: ...

    async def decline(self, driver_id: str, offer_id: str, reason: str | None) -> None: ...

    async def arrive(self, driver_id: str, trip_id: str) -> None: ...

    async def board(self, driver_id: str, trip_id: str, start_code: str) -> None: ...

    async def complete(self, driver_id: str, trip_id: str) -> None: ...

    async def cancel(self, driver_id: str, trip_id: str, reason: str) -> None: ...


class SupplyStore(Protocol):
    """Who is where, by segment, for every process that looks for drivers. Each call may raise Unavailable."""

    async def apply(self, changes: Sequence[SupplyChange]) -> list[SupplyChange]:
        """Write what changed; a driver stands in exactly one segment afterwards, or in none. Repeating is harmless.

        Returns the changes of drivers whom a writer of a higher epoch has written since: those change nothing.
        """
        ...

    async def in_segments(self, segments: Sequence[int]) -> SupplyRows:
        """The drivers of these segments, each once."""
        ...

    async def count(self, segments: Sequence[int]) -> list[int]:
        """The number of drivers of each segment."""
        ...

    async def occupied(self) -> list[int]:
        """The segments in which drivers stand."""
        ...

    async def of_drivers(self, driver_ids: Sequence[str]) -> SupplyRows:
        """The row of each of these drivers, once; none for one who is not in the supply."""
        ...

    async def expire(self, before: float) -> list[str]:
        """Take out drivers last seen before this engine time; returns their ids. Looks at those alone."""
        ...


class PositionStream(Protocol):
    """Where the drivers' positions go for whoever wants to follow them. Losing some is no harm, and is counted."""

    def offer(self, changes: Sequence[SupplyChange]) -> None:
        """Take what a tick has gathered. Never waits and never raises: the gateway must not feel who listens.

        Of several positions of a driver between two batches the latest is enough.
        """
        ...

    def counts(self) -> Mapping[str, int]:
        """How many positions were `sent` since the start, and how many were lost, by reason."""
        ...


class TrailLog(Protocol):
    """The durable log of pings. Each call may raise Unavailable."""

    async def append(self, points: Sequence[TrailPoint]) -> None:
        """Keep points; durable on return. A point of the same driver, seq and ts is kept once."""
        ...

    async def of_trip(self, trip_id: str) -> Trail:
        """The points of a trip by time."""
        ...

    async def track(self, driver_id: str, start_ms: int, end_ms: int) -> Trail:
        """The points of a driver with start_ms <= ts < end_ms by time, of trips or not, as far as still kept."""
        ...

    async def last_position(self, driver_id: str) -> LastPosition | None:
        """The newest point of a driver by its `ts`; every older point that was appended before is durable too."""
        ...

    async def purge(self, before_ms: int) -> int:
        """Remove points without a trip that are older than this `ts`; returns how many.

        Where the store lets them expire by itself there is nothing to remove.
        """
        ...
