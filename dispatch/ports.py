"""What dispatch needs from outside, in its own words. The store is satisfied in adapters; app connects the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from core.events import Event
from core.geo import FloatArray, IntArray, LatLng
from core.money import Money
from dispatch.explain import Look
from dispatch.model import (
    Booking,
    NewTrip,
    Offer,
    OpenSearch,
    PickupTravel,
    ProfileRows,
    Quoted,
    RideRequest,
    SupplyRows,
)
from maps.neighbours import Surroundings


class Supply(Protocol):
    """Who is where."""

    async def in_segments(self, segments: Sequence[int]) -> SupplyRows:
        """The last known row of every driver in these segments, whatever their state. May raise Unavailable."""
        ...

    async def by_segment(self, segments: Sequence[int]) -> Mapping[int, SupplyRows]:
        """The same rows, of each of these segments that has any. May raise Unavailable."""
        ...


class DriverQueues(Protocol):
    """Zones in which drivers wait in line, such as an airport's."""

    def at(self, pickup: LatLng) -> bool:
        """Whether drivers wait in line for pickups there."""
        ...

    async def first(self, pickup: LatLng, limit: int) -> SupplyRows:
        """The first in line for a pickup there, in their order; none where there is no queue. Raises Unavailable."""
        ...


class Travel(Protocol):
    """Road travel times."""

    async def to_pickup(self, lat: FloatArray, lng: FloatArray, pickup: LatLng) -> PickupTravel:
        """Travel from each point (n,) to the pickup, inf where there is no way. Raises InvalidInput not_on_road."""
        ...

    async def to_pickups(
        self, lat: FloatArray, lng: FloatArray, pickups: Sequence[LatLng], pickup: IntArray
    ) -> PickupTravel:
        """Travel from each point (n,) to the pickup of this number (n,), inf where there is no way or no road."""
        ...


class Profiles(Protocol):
    """What is known of drivers."""

    async def of(self, driver_ids: Sequence[str]) -> ProfileRows:
        """Rating and acceptance in the order of the ids, nan where unknown."""
        ...


class Ratings(Protocol):
    """What riders think of drivers."""

    async def of(self, driver_ids: Sequence[str]) -> FloatArray:
        """Mean stars 1..5 in the order of the ids (n,), nan where nobody has rated."""
        ...


class Delivery(Protocol):
    """The way to the apps."""

    async def deliver(self, driver_id: str, message: dict[str, Any]) -> bool:
        """Hand a message to the driver's connection; False when there is none or it cannot take more."""
        ...

    async def tell_rider(self, rider_id: str, message: dict[str, Any]) -> None:
        """Send a message to whatever the rider has open; nothing happens when that is nothing."""
        ...


class SharedClaims(Protocol):
    """Which drivers the searches of all workers have chosen. Each call may raise Unavailable."""

    async def take(self, offers: Sequence[Offer], keep_s: float) -> set[str]:
        """Claim the drivers of these offers for so many wall seconds; returns those of them whom others hold."""
        ...

    async def end(self, offers: Sequence[Offer], keep_s: float) -> None:
        """Let the claims for these offers go after so many wall seconds; those for other offers stay."""
        ...


class QuoteBook(Protocol):
    """Prices."""

    async def promised(self, quote_id: str, rider_id: str) -> Quoted:
        """A quote that still holds. Raises NotFound (unknown or someone else's) and InvalidInput quote_expired."""
        ...

    async def estimate(self, pickup: LatLng, dropoff: LatLng) -> Money:
        """A fare for a request without a quote. Raises InvalidInput when a place is off the roads or unreachable."""
        ...


class PickupRules(Protocol):
    """Where riders may be picked up."""

    def check_pickup(self, at: LatLng) -> None:
        """Raises InvalidInput no_pickup that says where else."""
        ...


class RequestBook(Protocol):
    """Ride requests inside one transaction."""

    async def lock(self, request_id: str) -> RideRequest | None:
        """The request, not changed by anybody else until this transaction ends. Lock it before its offers."""
        ...

    async def save(self, request: RideRequest) -> None:
        """Store its state. A request that ended without a trip frees its rider."""
        ...


class OfferBook(Protocol):
    """Offers inside one transaction."""

    async def add(self, offers: Sequence[Offer]) -> None:
        """Store new offers. Raises Conflict driver_has_offer when a driver holds an open one: one at a time."""
        ...

    async def of_request(self, request_id: str) -> list[Offer]:
        """All offers of a request, oldest first."""
        ...

    async def save(self, offer: Offer) -> None:
        """Store its state."""
        ...


class LookBook(Protocol):
    """What looks saw, inside one transaction."""

    async def add(self, look: Look) -> None:
        """Keep it with what it led to."""
        ...


class TripPapers(Protocol):
    """What a trip needs of rooms whose databases may be others: read before the transaction that opens it.

    Within it, a lock would be held for as long as another database takes to answer.
    """

    async def __call__(self, driver_id: str, quote_id: str | None, /) -> object:
        """For the trip book to understand. Raises NotFound for an unknown driver, and Conflict not_approved."""
        ...


class TripBook(Protocol):
    """Trips, bound to the transaction in which the offer is accepted."""

    async def open(self, trip: NewTrip, papers: object) -> str:
        """Open the trip, announce it as TripAssigned, and return its id.

        Raises Conflict when the driver or the rider is on another trip; the transaction must then be left.
        """
        ...


class UnitOfWork(Protocol):
    """One transaction: all of it happens, or nothing."""

    @property
    def requests(self) -> RequestBook: ...

    @property
    def offers(self) -> OfferBook: ...

    @property
    def looks(self) -> LookBook: ...

    @property
    def trips(self) -> TripBook: ...

    def publish(self, *events: Event) -> None:
        """Send events when, and only when, the transaction commits."""
        ...


class Store(Protocol):
    """Requests and offers that outlive the process. Every call may raise Unavailable."""

    def transaction(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Commits when the block ends, rolls back when it raises."""
        ...

    async def book(self, booking: Booking) -> None:
        """Store a new request, its event and the answer to its ask in one commit; `answer.kept` is true afterwards.

        Raises Conflict rider_busy when the rider has an open one or an active trip, request_exists when there is one of
        this id, key_kept when the answer's key has an answer; any of them, where several hold.
        """
        ...

    async def request(self, request_id: str) -> RideRequest | None: ...

    async def offer(self, offer_id: str) -> Offer | None: ...

    async def request_and_offers(self, request_id: str) -> tuple[RideRequest, list[Offer]] | None:
        """A request with all its offers, oldest first, seen at one moment."""
        ...

    async def latest_of_rider(self, rider_id: str) -> RideRequest | None:
        """The rider's newest request; the one that keeps the rider busy, where there is one."""
        ...

    async def demand(self) -> Mapping[str, int]:
        """The number of open requests by segment, where there are any."""
        ...

    async def open_searches(self) -> list[OpenSearch]:
        """Every request whose search goes on, oldest first, in few bytes: it is asked each second."""
        ...

    async def open_offers_of(self, driver_id: str) -> list[tuple[Offer, RideRequest]]:
        """The driver's open offers with their requests, oldest first."""
        ...

    async def looks_of(self, request_id: str) -> list[Look]:
        """The looks that were kept of a request, oldest first."""
        ...

    async def forget_looks(self, before: float, most: int) -> int:
        """Drop looks of before this time, at most so many in one transaction; returns how many."""
        ...

    async def holding_offers(self, driver_ids: Sequence[str]) -> set[str]:
        """Which of these drivers hold an open offer, whatever it is for."""
        ...


class Segments(Protocol):
    """The managed segments, which other processes may cut anew at any moment."""

    @property
    def version(self) -> int:
        """The version of the table that `at` uses."""
        ...

    def at(self, place: LatLng) -> int:
        """The segment of a place."""
        ...

    def around(self, segment: int, most_m: float) -> Surroundings:
        """Every segment in which a driver within `most_m` of this one may be placed; an earlier version's will do."""
        ...

    async def sure(self) -> None:
        """Return when no driver can be placed by a table that is not known here. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside, in one bundle."""

    store: Store
    supply: Supply
    travel: Travel
    profiles: Profiles
    delivery: Delivery
    quotes: QuoteBook
    papers: TripPapers
    segments: Segments
    claims: SharedClaims | None = None  # None: no other process searches
    pickups: PickupRules | None = None  # None: anywhere
    queues: DriverQueues | None = None  # None: nowhere
