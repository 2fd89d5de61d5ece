"""Made-up histories that keep every truth, for the tests of the rules: a test breaks one and must be told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.simulation.facts import Facts, Spot
from tests.simulation.history import Body, History

EPOCH = 1_790_000_000.0
FARE = {"amount_minor": 9_500, "currency": "SEK"}


class Story:
    """Rides that go well, one after the other, told by clients, facts and events alike."""

    def __init__(self) -> None:
        self.now = 0.0
        self.history = History(lambda: self.now)
        self.facts = Facts(delivered=set())
        self._seq: dict[str, int] = {}
        self._count = 0

    def unserved(self, rider_id: str, status: str = "no_driver") -> str:
        """A booking that finds no cab, or is called off."""
        request_id = self._book(rider_id)
        self._end_request(request_id, status)
        self.history.news(rider_id, "request", **_digest(self.facts.requests[request_id]))
        return request_id

    def assigned(self, rider_id: str, driver_id: str, *, refused: str | None = None) -> str:
        """A booking up to its trip; another driver may accept and be refused. Returns the trip's id."""
        request_id = self._book(rider_id)
        number = self._count
        offers = {f"off_{number}": driver_id} | ({f"off_{number}b": refused} if refused else {})
        self._event("OffersMade", f"offers-made:{number}", request_id=request_id, offer_ids=list(offers),
                    driver_ids=list(offers.values()))  # fmt: skip
        for offer_id, who in offers.items():
            self.history.news(who, "offer", offer_id=offer_id, request_id=request_id)
        accept = self.history.invoke(driver_id, "accept", offer_id=f"off_{number}", request_id=request_id)
        trip_id = f"trp_{number}"
        self._tick()
        trip: Body = {
            "trip_id": trip_id, "request_id": request_id, "rider_id": rider_id, "driver_id": driver_id,
            "status": "assigned", "fare": None, "events": [], "assigned_at": self._time(), "arrived_at": None,
            "started_at": None, "completed_at": None, "cancelled_at": None,
        }  # fmt: skip
        self.facts.trips[trip_id], self.facts.trails[trip_id] = trip, []
        for who in (rider_id, driver_id):
            self.facts.rides_of.setdefault(who, []).insert(0, trip_id)
        self._end_request(request_id, "assigned", trip_id)
        whose = {"request_id": request_id, "driver_id": driver_id, "trip_id": trip_id, "rider_id": rider_id}
        self._event("OfferAccepted", f"offer-accepted:{number}", offer_id=f"off_{number}", **whose)
        self._event("TripAssigned", f"trip-assigned:{number}", **whose)
        if refused:
            late = self.history.invoke(refused, "accept", offer_id=f"off_{number}b", request_id=request_id)
            self._event("OfferEnded", f"offer-ended:{number}b", offer_id=f"off_{number}b", request_id=request_id)
            late.fail(code="offer_closed")
        accept.ok(**digest(trip))
        self.history.news(rider_id, "trip", **digest(trip))
        return trip_id

    def ping(self, trip_id: str, *, ack: bool = True) -> int:
        """The driver pings on the trip; returns the number."""
        driver_id = self.facts.trips[trip_id]["driver_id"]
        seq = self._seq[driver_id] = self._seq.get(driver_id, 0) + 1
        self._tick()
        spot = Spot(round((EPOCH + self.now) * 1000), 57.7 + seq / 10_000, 11.97)
        self.history.news(driver_id, "ping", seq=seq, trip_id=trip_id, **spot._asdict())
        if ack:
            self.facts.trails[trip_id].append(spot)
            self.history.news(driver_id, "ack", seq=seq)
        return seq

    def step(self, trip_id: str, call: str) -> None:
        """arrive, board, complete (which is priced at once) or cancel_trip, asked for by the driver."""
        column, status, event = {
            "arrive": ("arrived_at", "arrived", "TripArrived"),
            "board": ("started_at", "riding", "TripStarted"),
            "complete": ("completed_at", "completed", "TripCompleted"),
            "cancel_trip": ("cancelled_at", "cancelled", "TripCancelled"),
        }[call]
        trip = self.facts.trips[trip_id]
        self._tick()
        asked = self.history.invoke(trip["driver_id"], call, trip_id=trip_id)
        self._tick()
        trip |= {column: self._time(), "status": status}
        whose = {name: trip[name] for name in ("trip_id", "request_id", "rider_id", "driver_id")}
        self._event(event, f"{event}:{trip_id}", **whose)
        asked.ok(**digest(trip))
        if call == "complete":
            trip |= {"fare": FARE, "events": [{"type": "fare_fixed"}]}
            self._event("FareFixed", f"fare:{trip_id}", **whose)
            self.history.news(trip["rider_id"], "trip", **digest(trip))

    def ride(self, rider_id: str, driver_id: str) -> str:
        """A whole ride with two pings."""
        trip_id = self.assigned(rider_id, driver_id)
        for call in ("arrive", "board", "complete"):
            self.ping(trip_id)
            self.step(trip_id, call)
        return trip_id

    def _book(self, rider_id: str) -> str:
        self._tick()
        self._count += 1
        request_id, key = f"req_{self._count}", f"key_{self._count}"
        lost = self.history.invoke(rider_id, "book", key=key)
        lost.unknown(code="ReadTimeout")
        asked = self.history.invoke(rider_id, "book", key=key)
        request = {
            "request_id": request_id, "rider_id": rider_id, "status": "searching", "trip_id": None,
            "created_at": self._time(), "ended_at": None,
        }  # fmt: skip
        self.facts.requests[request_id] = request
        self._event("RideRequested", f"ride-requested:{request_id}", request_id=request_id, rider_id=rider_id)
        asked.ok(**_digest(request))
        return request_id

    def _end_request(self, request_id: str, status: str, trip_id: str | None = None) -> None:
        self._tick()
        request = self.facts.requests[request_id]
        request |= {"status": status, "trip_id": trip_id, "ended_at": self._time()}
        if trip_id is None:
            self._event("NoCabFound", f"search-ended:{request_id}", request_id=request_id, reason=status)
        else:
            driver_id = self.facts.trips[trip_id]["driver_id"]
            self._event("CabFound", f"search-ended:{request_id}", request_id=request_id, trip_id=trip_id,
                        driver_id=driver_id)  # fmt: skip

    def _event(self, type_: str, event_id: str, **fields: Any) -> None:
        self.facts.events.append({"type": type_, "id": event_id, "state": "published", **fields})
        assert self.facts.delivered is not None
        self.facts.delivered.add(event_id)

    def _tick(self) -> None:
        self.now += 1.0

    def _time(self) -> str:
        return datetime.fromtimestamp(EPOCH + self.now, UTC).isoformat()


def digest(trip: Body) -> Body:
    """What a history keeps of a trip."""
    return {name: trip[name] for name in ("trip_id", "request_id", "rider_id", "driver_id", "status", "fare")}


def _digest(request: Body) -> Body:
    return {name: request[name] for name in ("request_id", "rider_id", "status", "trip_id")}
