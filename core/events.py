"""What happened, in the past tense: the only thing rooms on the same level share.

An event leaves its room through the outbox, in the transaction that made it true. Delivery is at least once, in order
per `key`; consumers are idempotent by `id`. An id is derived from what happened wherever that can happen only once, so
that the outbox's uniqueness keeps the promise "exactly one".

`region` names the part of the city that the pickup lies in (maps/segments.py): what happens in one region is one
worker's concern. It is empty in events that were written before there were regions.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from core.geo import LatLng
from core.money import Money

Mode = Literal["best", "broadcast", "batch"]
OfferOutcome = Literal["declined", "expired", "accepted_elsewhere", "cancelled", "undelivered"]
NoCabReason = Literal["no_driver", "expired", "cancelled"]
Party = Literal["rider", "driver", "ops"]


class Event(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Base of all events. `at` is engine time in epoch seconds."""

    topic: ClassVar[str] = "rides"

    id: str
    at: float

    @property
    def key(self) -> str:
        """Events with the same key are delivered in the order they were committed."""
        return self.id


class _RequestEvent(Event, frozen=True, kw_only=True):
    request_id: str
    region: str = ""

    @property
    def key(self) -> str:
        return self.request_id


class RideRequested(_RequestEvent, frozen=True, kw_only=True):
    """A ride request was accepted and made durable."""

    rider_id: str
    pickup: LatLng
    dropoff: LatLng
    segment: str
    mode: Mode


class OffersMade(_RequestEvent, frozen=True, kw_only=True):
    """Drivers were offered the request."""

    offer_ids: list[str]
    driver_ids: list[str]
    mode: Mode


class OfferEnded(_RequestEvent, frozen=True, kw_only=True):
    """An offer ended without its driver getting the trip."""

    offer_id: str
    driver_id: str
    outcome: OfferOutcome
    reason: str | None = None


class OfferAccepted(_RequestEvent, frozen=True, kw_only=True):
    """A driver's accept won the request."""

    offer_id: str
    driver_id: str
    trip_id: str


class CabFound(_RequestEvent, frozen=True, kw_only=True):
    """The search of a request ended with a cab. Each search ends in exactly one CabFound or NoCabFound."""

    rider_id: str
    driver_id: str
    trip_id: str
    segment: str
    supply_seen: int
    mode: Mode
    waited_s: float


class NoCabFound(_RequestEvent, frozen=True, kw_only=True):
    """The search of a request ended without a cab."""

    rider_id: str
    segment: str
    supply_seen: int
    mode: Mode
    reason: NoCabReason
    waited_s: float


class _TripEvent(Event, frozen=True, kw_only=True):
    trip_id: str
    request_id: str
    rider_id: str
    driver_id: str
    region: str = ""

    @property
    def key(self) -> str:
        return self.request_id


class TripAssigned(_TripEvent, frozen=True, kw_only=True):
    """A driver has a trip and is on the way to the pickup."""


class TripArrived(_TripEvent, frozen=True, kw_only=True):
    """The driver is at the pickup."""


class TripStarted(_TripEvent, frozen=True, kw_only=True):
    """The rider is on board: the start code was right."""


class TripCompleted(_TripEvent, frozen=True, kw_only=True):
    """The rider was dropped off."""


class TripCancelled(_TripEvent, frozen=True, kw_only=True):
    """The trip ended before the rider was on board."""

    by: Party
    reason: str


class FareFixed(_TripEvent, frozen=True, kw_only=True):
    """The final price of a completed trip and the distance it is based on."""

    fare: Money
    distance_m: float
    distance_grade: str


class TripRated(_TripEvent, frozen=True, kw_only=True):
    """One party gave a completed trip 1 to 5 stars; `about_id` is the rider or driver whom they are for."""

    by: Party
    about: Party
    about_id: str
    stars: int


class ZonesChanged(Event, frozen=True, kw_only=True):
    """An operator has changed zones of the city; `version` is that of the table of zones afterwards."""

    version: int
    region: str = ""

    @property
    def key(self) -> str:
        return "zones"


class SegmentsChanged(Event, frozen=True, kw_only=True):
    """Segments were split, merged or pinned; `version` is that of the newest table afterwards."""

    version: int
    region: str = ""

    @property
    def key(self) -> str:
        return "segments"


class ClosuresChanged(Event, frozen=True, kw_only=True):
    """An operator has closed or opened streets; `version` is that of the table of closures afterwards."""

    version: int
    region: str = ""

    @property
    def key(self) -> str:
        return "closures"


AnyEvent = (
    RideRequested
    | OffersMade
    | OfferEnded
    | OfferAccepted
    | CabFound
    | NoCabFound
    | TripAssigned
    | TripArrived
    | TripStarted
    | TripCompleted
    | TripCancelled
    | FareFixed
    | TripRated
    | ZonesChanged
    | ClosuresChanged
    | SegmentsChanged
)


class DriverMoved(msgspec.Struct, frozen=True, array_like=True):
    """Where an online driver was, at most one a second and driver: for who watches the traffic, not for any truth.

    No committed event: it may be lost (that is counted), and come late or twice; a later `at` wins. `at` is engine time
    of the ping, `segment` an H3 cell; `heading` and `speed_mps` are None where unknown.
    """

    driver_id: str
    at: float
    lat: float
    lng: float
    heading: float | None
    speed_mps: float | None
    on_trip: bool
    segment: int


def search_ended_id(request_id: str) -> str:
    """The id of the one CabFound or NoCabFound of a request."""
    return f"search-ended:{request_id}"


def trip_step_id(trip_id: str, step: str) -> str:
    """The id of a step that a trip can take only once."""
    return f"trip-{step}:{trip_id}"


def trip_rated_id(trip_id: str, by: Party) -> str:
    """The id of the one rating that a party may give for a trip."""
    return f"trip-rated:{trip_id}:{by}"
