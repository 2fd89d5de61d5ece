"""A trip and its state machine. Pure: a trip and a moment in, the next trip out.

    from                  step      by            to
    assigned              arrive    its driver    arrived
    arrived               board     its driver    riding      with the rider's start code
    riding                complete  its driver    completed
    assigned | arrived    cancel    rider|driver  cancelled
    any active            cancel    ops           cancelled

A step that the trip has already taken gives the same trip again, so that a repeated message changes nothing; every
other step is Conflict "wrong_status". A cancelled trip refuses all steps but another cancel.
"""

from __future__ import annotations

import hmac
from typing import Literal

import msgspec

from core.errors import Conflict, InvalidInput
from core.events import Mode, Party
from core.geo import LatLng
from core.money import Money

Status = Literal["assigned", "arrived", "riding", "completed", "cancelled"]
StepName = Literal["assigned", "arrived", "started", "completed", "cancelled", "fare_fixed"]

ACTIVE: frozenset[Status] = frozenset(("assigned", "arrived", "riding"))
REASON_MAX = 200  # characters kept of a reason


class By(msgspec.Struct, frozen=True):
    """Who asks: a party and their id. Ops may be anyone."""

    party: Party
    id: str


class TripDriver(msgspec.Struct, frozen=True):
    """The driver as the rider sees them, as they were when the trip was assigned."""

    name: str
    rating: float | None


class TripVehicle(msgspec.Struct, frozen=True, rename={"vehicle_class": "class"}):
    """The car as it was when the trip was assigned."""

    plate: str
    vehicle_class: str
    seats: int


class DriverCard(msgspec.Struct, frozen=True):
    """What a trip keeps of its driver."""

    driver: TripDriver
    vehicle: TripVehicle


class QuoteTerms(msgspec.Struct, frozen=True):
    """The promised price and what it was promised for."""

    quote_id: str
    fare: Money
    distance_m: float
    duration_s: float
    surge: float


class TripPapers(msgspec.Struct, frozen=True):
    """What a new trip needs of other rooms: accounts and payments."""

    card: DriverCard
    quote: QuoteTerms | None


class NewTrip(msgspec.Struct, frozen=True, kw_only=True):
    """What an accepted offer says about the trip to open. `segment` is the pickup's, as a hex name."""

    request_id: str
    rider_id: str
    driver_id: str
    pickup: LatLng
    dropoff: LatLng
    mode: Mode
    segment: str
    assigned_at: float
    papers: TripPapers


class TripStep(msgspec.Struct, frozen=True):
    """One line of a trip's log. `at` is epoch seconds."""

    type: StepName
    at: float
    detail: str | None = None


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """A trip, live or archived. Times are epoch seconds."""

    trip_id: str
    request_id: str
    rider_id: str
    driver_id: str
    status: Status
    start_code: str
    pickup: LatLng
    dropoff: LatLng
    mode: Mode
    segment: str
    driver: TripDriver
    vehicle: TripVehicle
    assigned_at: float
    steps: tuple[TripStep, ...]
    quote: QuoteTerms | None = None
    arrived_at: float | None = None
    started_at: float | None = None
    completed_at: float | None = None
    cancelled_at: float | None = None
    cancelled_by: Party | None = None
    cancel_reason: str | None = None
    code_tries: int = 0
    distance_m: float | None = None
    distance_grade: str | None = None
    fare: Money | None = None

    @property
    def active(self) -> bool:
        """Whether the trip still occupies its driver and its rider."""
        return self.status in ACTIVE

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to it: cancelled, or completed with its fare fixed."""
        return self.status == "cancelled" or (self.status == "completed" and self.fare is not None)

    def concerns(self, by: By) -> bool:
        """Whether this party may know of the trip."""
        return by.party == "ops" or by.id == (self.rider_id if by.party == "rider" else self.driver_id)


def open_trip(new: NewTrip, trip_id: str, start_code: str) -> Trip:
    """The trip of an accepted offer."""
    return Trip(
        trip_id=trip_id,
        request_id=new.request_id,
        rider_id=new.rider_id,
        driver_id=new.driver_id,
        status="assigned",
        start_code=start_code,
        pickup=new.pickup,
        dropoff=new.dropoff,
        mode=new.mode,
        segment=new.segment,
        driver=new.papers.card.driver,
        vehicle=new.papers.card.vehicle,
        assigned_at=new.assigned_at,
        steps=(TripStep("assigned", new.assigned_at),),
        quote=new.papers.quote,
    )


def arrive(trip: Trip, now: float) -> Trip:
    """The driver is at the pickup. Raises Conflict wrong_status."""
    if trip.arrived_at is not None and trip.status != "cancelled":
        return trip
    _require(trip, "arrive", "assigned")
    return msgspec.structs.replace(trip, status="arrived", arrived_at=now, steps=_log(trip, "arrived", now))


def board(trip: Trip, start_code: str, max_tries: int, now: float) -> Trip:
    """The rider is on board and told the start code.

    A wrong code gives the trip with one more wrong try counted, not on board: see `wrong_code`. Raises Conflict
    wrong_status, and Conflict code_locked once `max_tries` wrong codes were given.
    """
    if trip.started_at is not None and trip.status != "cancelled":
        return trip
    _require(trip, "board", "arrived")
    if trip.code_tries >= max_tries:
        raise Conflict(f"the start code was wrong {max_tries} times; cancel the trip", code="code_locked")
    if not hmac.compare_digest(start_code.encode(), trip.start_code.encode()):
        return msgspec.structs.replace(trip, code_tries=trip.code_tries + 1)
    return msgspec.structs.replace(trip, status="riding", started_at=now, steps=_log(trip, "started", now))


def wrong_code(trip: Trip, max_tries: int) -> InvalidInput:
    """What to tell a driver whose start code was wrong."""
    left = max_tries - trip.code_tries
    return InvalidInput(f"the start code is wrong; {left} tries left", code="wrong_start_code")


def complete(trip: Trip, now: float) -> Trip:
    """The rider was dropped off. Raises Conflict wrong_status."""
    if trip.status == "completed":
        return trip
    _require(trip, "complete", "riding")
    return msgspec.structs.replace(trip, status="completed", completed_at=now, steps=_log(trip, "completed", now))


def cancel(trip: Trip, party: Party, reason: str, now: float) -> Trip:
    """The trip ends without the rider at the dropoff. Raises Conflict wrong_status."""
    if trip.status == "cancelled":
        return trip
    allowed = ACTIVE if party == "ops" else ACTIVE - {"riding"}
    _require(trip, "cancel", *allowed)
    reason = reason.strip()[:REASON_MAX]
    steps = _log(trip, "cancelled", now, f"{party}: {reason}" if reason else party)
    return msgspec.structs.replace(
        trip, status="cancelled", cancelled_at=now, cancelled_by=party, cancel_reason=reason, steps=steps
    )


def fix_fare(trip: Trip, fare: Money, distance_m: float, grade: str, now: float) -> Trip:
    """The final price of a completed trip; the first one stands. Raises Conflict wrong_status."""
    if trip.fare is not None:
        return trip
    _require(trip, "price", "completed")
    steps = _log(trip, "fare_fixed", now)
    return msgspec.structs.replace(trip, fare=fare, distance_m=distance_m, distance_grade=grade, steps=steps)


def _log(trip: Trip, step: StepName, now: float, detail: str | None = None) -> tuple[TripStep, ...]:
    return (*trip.steps, TripStep(step, now, detail))


def _require(trip: Trip, verb: str, *allowed: Status) -> None:
    if trip.status not in allowed:
        raise Conflict(f"cannot {verb} a trip that is {trip.status}", code="wrong_status")
