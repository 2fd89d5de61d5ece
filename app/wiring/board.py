"""The board: which driver is on which trip right now, and the figures an operator watches."""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from core.events import AnyEvent, CabFound, NoCabFound
from core.recent import Recent
from trips.model import Trip

IDLE: Final = 1
TO_PICKUP: Final = 2
RIDING: Final = 3
_RECENT_WAITS = 200  # pickups that the mean wait is taken of
_RECENT_ENDS = 20_000  # ended trips and searches that late news and repeated events are told apart by

Status = Literal[1, 2, 3]


class Board:
    """A view of the running trips kept in memory, fed by what happens; counts are since this engine started.

    News may come late and twice: whoever reads a trip and then has to wait holds a trip that may have gone on since.
    """

    def __init__(self) -> None:
        self._trips: dict[str, Trip] = {}  # by driver
        self._ended: Recent[str] = Recent(_RECENT_ENDS)  # trips
        self._searches: Recent[str] = Recent(_RECENT_ENDS)  # events of their ends
        self._matched_s: dict[str, float] = {}  # by trip that is not at its pickup: from the request to the cab
        self._waits_s: deque[float] = deque(maxlen=_RECENT_WAITS)
        self.assigned = 0
        self.completed = 0
        self.cancelled = 0
        self.unserved = 0

    def note(self, trip: Trip) -> bool:
        """A trip took a step; repeating is harmless. False when later news were noted before: it is not so any more."""
        if not trip.active:
            self._end(trip)
            return True
        known = self._trips.get(trip.driver_id)
        if trip.trip_id in self._ended or (known is not None and _is_older(trip, known)):
            return False
        self._trips[trip.driver_id] = trip
        matched_s = self._matched_s.pop(trip.trip_id, None) if trip.arrived_at is not None else None
        if matched_s is not None and trip.arrived_at is not None:
            self._waits_s.append(matched_s + trip.arrived_at - trip.assigned_at)
        return True

    def no_trip(self, driver_id: str, trip_id: str) -> None:
        """The driver turned out not to be on this trip any more; how it ended is not known here."""
        known = self._trips.get(driver_id)
        if known is not None and known.trip_id == trip_id:
            del self._trips[driver_id]
        self._matched_s.pop(trip_id, None)

    async def search_ended(self, event: AnyEvent) -> None:
        """A search ended."""
        if not isinstance(event, CabFound | NoCabFound) or not self._searches.add(event.id):
            return
        if isinstance(event, NoCabFound):
            self.unserved += event.reason != "cancelled"
            return
        self.assigned += 1
        if event.trip_id not in self._ended:
            self._matched_s[event.trip_id] = event.waited_s

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

    def _end(self, trip: Trip) -> None:
        self.no_trip(trip.driver_id, trip.trip_id)
        if self._ended.add(trip.trip_id):
            self.completed += trip.status == "completed"
            self.cancelled += trip.status == "cancelled"


def _is_older(trip: Trip, known: Trip) -> bool:
    """A driver's earlier trip, or an earlier step of the same one."""
    if trip.trip_id != known.trip_id:
        return trip.assigned_at < known.assigned_at
    return len(trip.steps) < len(known.steps)
