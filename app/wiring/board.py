"""The board: which driver is on which trip right now, and the figures an operator watches."""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from core.events import AnyEvent, CabFound, NoCabFound
from trips.model import Trip

IDLE: Final = 1
TO_PICKUP: Final = 2
RIDING: Final = 3
_RECENT = 200  # pickups that the mean wait is taken of

Status = Literal[1, 2, 3]


class Board:
    """A view of the running trips kept in memory, fed by what happens; counts are since this engine started."""

    def __init__(self) -> None:
        self._trips: dict[str, Trip] = {}  # by driver
        self._matched_s: dict[str, float] = {}  # by trip: from the request to the cab
        self._waits_s: deque[float] = deque(maxlen=_RECENT)
        self.assigned = 0
        self.completed = 0
        self.cancelled = 0
        self.unserved = 0

    def note(self, trip: Trip) -> None:
        """A trip took a step; repeating is harmless."""
        known = self._trips.get(trip.driver_id)
        if trip.active:
            self._trips[trip.driver_id] = trip
            matched_s = self._matched_s.pop(trip.trip_id, None) if trip.arrived_at is not None else None
            if matched_s is not None and trip.arrived_at is not None:
                self._waits_s.append(matched_s + trip.arrived_at - trip.assigned_at)
        elif known is not None and known.trip_id == trip.trip_id:
            del self._trips[trip.driver_id]
            self._matched_s.pop(trip.trip_id, None)
            self.completed += trip.status == "completed"
            self.cancelled += trip.status == "cancelled"

    async def search_ended(self, event: AnyEvent) -> None:
        """A search ended."""
        if isinstance(event, CabFound):
            self.assigned += 1
            self._matched_s[event.trip_id] = event.waited_s
        elif isinstance(event, NoCabFound):
            self.unserved += event.reason != "cancelled"

    def trip_of(self, driver_id: str) -> Trip | None:
        """The trip that a driver is on."""
        return self._trips.get(driver_id)

    def status(self, driver_id: str) -> Status:
        """What a connected driver is doing."""
        trip = self._trips.get(driver_id)
        if trip is None:
            return IDLE
        return RIDING if trip.status == "riding" else TO_PICKUP

    @property
    def active(self) -> int:
        """Trips under way."""
        return len(self._trips)

    @property
    def pickup_wait_s(self) -> float | None:
        """Mean engine seconds from the request to the driver's arrival, of recent trips; None before the first."""
        return sum(self._waits_s) / len(self._waits_s) if self._waits_s else None
