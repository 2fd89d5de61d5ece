"""Where a driver's car is, and its pings: numbered, kept until they are acked, sent again after each reconnection."""

from __future__ import annotations

import time
from collections import deque

from core.geo import LatLng, haversine_m
from tests.simulation.history import Body, History
from tests.simulation.scene import towards
from tests.simulation.wire import Wire

_BUFFER = 3_000  # pings without an ack; the oldest are given up
_BATCH = 200
_GAP_MS = 600  # the engine drops pings closer than 500 ms
_THERE_M = 1.0


class Pinger:
    """One car. Pings made on a trip are written into the history, and the acks that cover them."""

    def __init__(self, driver_id: str, at: LatLng, wire: Wire, history: History) -> None:
        self._driver_id = driver_id
        self._wire = wire
        self._history = history
        self.at = self.goal = at
        self._moved_at = time.monotonic()
        self._seq = 0
        self._last_ts = 0
        self._unacked: deque[Body] = deque(maxlen=_BUFFER)
        self._on_trip: deque[int] = deque()  # numbers of those of trips, of which no ack was heard
        self.acked_at = time.monotonic()

    @property
    def left_m(self) -> float:
        """How far the goal is."""
        return haversine_m(self.at, self.goal)

    @property
    def there(self) -> bool:
        """Whether the car is at its goal."""
        return self.left_m <= _THERE_M

    @property
    def all_acked(self) -> bool:
        """Whether every ping of a trip is acked."""
        return not self._on_trip

    def move(self, mps: float) -> None:
        """Go on towards the goal."""
        now = time.monotonic()
        self.at = towards(self.at, self.goal, mps * (now - self._moved_at))
        self._moved_at = now

    def ping(self, trip_id: str | None, connected: bool) -> None:
        """Make a ping of this moment; it is sent now or after the next welcome."""
        self._seq += 1
        self._last_ts = max(int(time.time() * 1000), self._last_ts + _GAP_MS)
        spot = {"seq": self._seq, "ts": self._last_ts, "lat": self.at.lat, "lng": self.at.lng}
        self._unacked.append(spot)
        if trip_id is not None:
            self._history.news(self._driver_id, "ping", trip_id=trip_id, **spot)
            self._on_trip.append(self._seq)
        if connected:
            self._wire.send({"type": "ping", **spot})

    def acked(self, seq: int) -> None:
        """The engine has every ping up to here; a welcome says so as well."""
        self.acked_at = time.monotonic()
        while self._unacked and self._unacked[0]["seq"] <= seq:
            self._unacked.popleft()
        covered = 0
        while self._on_trip and self._on_trip[0] <= seq:
            self._on_trip.popleft()
            covered += 1
        if covered:
            self._history.acked_pings += covered
            self._history.news(self._driver_id, "ack", seq=seq)

    def go_on_after(self, seq: int) -> None:
        """Connected again: send what the engine has not seen, oldest first."""
        self.acked(seq)
        self._seq = max(self._seq, seq)
        waiting = list(self._unacked)
        for first in range(0, len(waiting), _BATCH):
            self._wire.send({"type": "pings", "items": waiting[first : first + _BATCH]})
