"""The board: what each driver on a trip is doing right now, and the figures an operator watches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from core.events import (
    AnyEvent,
    CabFound,
    NoCabFound,
    TripArrived,
    TripAssigned,
    TripCancelled,
    TripCompleted,
    TripStarted,
)
from core.recent import Recent
from trips.model import Trip

IDLE: Final = 1
TO_PICKUP: Final = 2
RIDING: Final = 3
_RECENT_WAITS = 200  # pickups that the mean wait is taken of
_RECENT_EVENTS = 50_000  # that repeated ones are told apart by
_RECENT_ENDS = 20_000  # ended trips, which late news must not bring back

EVENTS = (CabFound, NoCabFound, TripAssigned, TripArrived, TripStarted, TripCompleted, TripCancelled)
Status = Literal[1, 2, 3]


class _Run(NamedTuple):
    trip_id: str
    status: Status
    assigned_at: float


class Board:
    """A view of the running trips kept in memory, fed by events; counts are since this host started."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}  # by driver
        self._ended: Recent[str] = Recent(_RECENT_ENDS)
        self._heard: Recent[str] = Recent(_RECENT_EVENTS)
        self._matched_s: dict[str, float] = {}  # by trip that is not at its pickup: from the request to the cab
        self._waits_s: deque[float] = deque(maxlen=_RECENT_WAITS)
        self.assigned = 0
        self.completed = 0
        self.cancelled = 0
        self.unserved = 0

    def begin(self, trips: Iterable[Trip]) -> None:
        """The trips that were under way when this host started."""
        for trip in trips:
            status: Status = RIDING if trip.status == "riding" else TO_PICKUP
            self._runs[trip.driver_id] = _Run(trip.trip_id, status, trip.assigned_at)

    async def heard(self, event: AnyEvent) -> None:
        """Something happened; an event that comes again changes nothing."""
        if not self._heard.add(event.id):
            return
        match event:
            case CabFound():
                self.assigned += 1
                if event.trip_id not in self._ended:
                    self._matched_s[event.trip_id] = event.waited_s
            case NoCabFound():
                self.unserved += event.reason != "cancelled"
            case TripAssigned():
                self._go_on(event.driver_id, _Run(event.trip_id, TO_PICKUP, event.at))
            case TripArrived():
                self._arrived(event)
            case TripStarted():
                known = self._runs.get(event.driver_id)
                self._go_on(event.driver_id, _Run(event.trip_id, RIDING, known.assigned_at if known else event.at))
            case TripCompleted() | TripCancelled():
                self._end(event)
            case _:
                pass

    def status(self, driver_id: str) -> Status:
        """What a connected driver is doing."""
        run = self._runs.get(driver_id)
        return IDLE if run is None else run.status

    @property
    def active(self) -> int:
        """Trips under way."""
        return len(self._runs)

    @property
    def pickup_wait_s(self) -> float | None:
        """Mean engine seconds from the request to the driver's arrival, of recent trips; None before the first."""
        return sum(self._waits_s) / len(self._waits_s) if self._waits_s else None

    def _go_on(self, driver_id: str, run: _Run) -> None:
        """Take over where a driver is, unless that is older than what is known. Trip ids sort by time."""
        known = self._runs.get(driver_id)
        late = known is not None and (known.trip_id, known.status) > (run.trip_id, run.status)
        if run.trip_id not in self._ended and not late:
            self._runs[driver_id] = run

    def _arrived(self, event: TripArrived) -> None:
        matched_s, run = self._matched_s.pop(event.trip_id, None), self._runs.get(event.driver_id)
        if matched_s is not None and run is not None and run.trip_id == event.trip_id:
            self._waits_s.append(matched_s + event.at - run.assigned_at)

    def _end(self, event: TripCompleted | TripCancelled) -> None:
        run = self._runs.get(event.driver_id)
        if run is not None and run.trip_id == event.trip_id:
            del self._runs[event.driver_id]
        self._matched_s.pop(event.trip_id, None)
        self._ended.add(event.trip_id)
        if isinstance(event, TripCompleted):
            self.completed += 1
        else:
            self.cancelled += 1
