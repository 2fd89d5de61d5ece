"""What the engine has acknowledged, as its clients saw it: the kill test judges the engine by it."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from core.clock import Clock

Kind = Literal["driver", "rider"]
Body = dict[str, Any]

_SAMPLES = 10_000


class Recorder(Protocol):
    """Sees every acknowledgement at the moment it arrives. Must not block."""

    def signed_up(self, kind: Kind, person_id: str) -> None:
        """An account exists."""

    def connected(self, kind: Kind, person_id: str) -> None:
        """A socket was welcomed."""

    def disconnected(self, kind: Kind, person_id: str) -> None:
        """A welcomed socket is gone."""

    def booked(self, rider_id: str, request_id: str) -> None:
        """A ride request was acknowledged: from now on it must not be lost."""

    def request_seen(self, rider_id: str, request: Body) -> None:
        """The rider was told how the request stands."""

    def offered(self, driver_id: str, offer: Body) -> None:
        """A driver got an offer."""

    def accepting(self, driver_id: str, offer_id: str) -> None:
        """A driver said yes; not yet acknowledged."""

    def trip_seen(self, kind: Kind, person_id: str, trip: Body) -> None:
        """A driver or a rider was told how the trip stands."""

    def acked(self, driver_id: str, seq: int) -> None:
        """Every ping of the driver up to `seq` is safe."""

    def refused(self, kind: Kind, person_id: str, code: str, detail: str) -> None:
        """The engine said no to something."""


class Silent:
    """A recorder that keeps nothing; others override what they care for."""

    def signed_up(self, kind: Kind, person_id: str) -> None:
        return None

    def connected(self, kind: Kind, person_id: str) -> None:
        return None

    def disconnected(self, kind: Kind, person_id: str) -> None:
        return None

    def booked(self, rider_id: str, request_id: str) -> None:
        return None

    def request_seen(self, rider_id: str, request: Body) -> None:
        return None

    def offered(self, driver_id: str, offer: Body) -> None:
        return None

    def accepting(self, driver_id: str, offer_id: str) -> None:
        return None

    def trip_seen(self, kind: Kind, person_id: str, trip: Body) -> None:
        return None

    def acked(self, driver_id: str, seq: int) -> None:
        return None

    def refused(self, kind: Kind, person_id: str, code: str, detail: str) -> None:
        return None


class Tally(Silent):
    """Counts for a live summary; waits are engine seconds from booking to boarding."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.drivers_online: set[str] = set()
        self.requests = self.offers = self.accepts = self.assigned = self.completed = self.cancelled = 0
        self.unserved = self.pings_acked = 0
        self.refusals: dict[str, int] = {}
        self.wait_s: list[float] = []
        self._booked_at: dict[str, float] = {}
        self._status: dict[str, str] = {}
        self._acked: dict[str, int] = {}

    def connected(self, kind: Kind, person_id: str) -> None:
        if kind == "driver":
            self.drivers_online.add(person_id)

    def disconnected(self, kind: Kind, person_id: str) -> None:
        self.drivers_online.discard(person_id)

    def booked(self, rider_id: str, request_id: str) -> None:
        self.requests += 1
        self._booked_at[request_id] = self._clock.now()

    def request_seen(self, rider_id: str, request: Body) -> None:
        if request["status"] in ("no_driver", "expired", "cancelled"):
            if self._booked_at.pop(request["request_id"], None) is None:
                return
            if request["status"] == "cancelled":
                self.cancelled += 1
            else:
                self.unserved += 1

    def offered(self, driver_id: str, offer: Body) -> None:
        self.offers += 1

    def accepting(self, driver_id: str, offer_id: str) -> None:
        self.accepts += 1

    def trip_seen(self, kind: Kind, person_id: str, trip: Body) -> None:
        trip_id, status = trip["trip_id"], trip["status"]
        if kind != "rider" or self._status.get(trip_id) == status:
            return
        if trip_id not in self._status:
            self.assigned += 1
        if status == "riding" and len(self.wait_s) < _SAMPLES and trip["request_id"] in self._booked_at:
            self.wait_s.append(self._clock.now() - self._booked_at[trip["request_id"]])
        self._status[trip_id] = status
        if status in ("completed", "cancelled"):
            self._booked_at.pop(trip["request_id"], None)
            if status == "completed":
                self.completed += 1
            else:
                self.cancelled += 1

    def acked(self, driver_id: str, seq: int) -> None:
        self.pings_acked += max(0, seq - self._acked.get(driver_id, seq - 1))
        self._acked[driver_id] = max(seq, self._acked.get(driver_id, 0))

    def refused(self, kind: Kind, person_id: str, code: str, detail: str) -> None:
        self.refusals[code] = self.refusals.get(code, 0) + 1
