"""What the trips room needs from outside, in its own words."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

import msgspec

from core.events import Event, Party
from core.geo import LatLng
from core.money import Money
from trips.model import DriverCard, QuoteTerms, Trip

if TYPE_CHECKING:
    from runtime.sql import Transaction


class DriverCards(Protocol):
    """Who drives what: accounts knows."""

    async def __call__(self, driver_id: str, /) -> DriverCard:
        """The driver and car to show on a trip. Raises NotFound, and Conflict not_approved."""
        ...


class Quotes(Protocol):
    """What was promised: payments knows. An expired quote still counts, for the request was made in time."""

    async def __call__(self, quote_id: str, /) -> QuoteTerms | None: ...


class RequestBook(Protocol):
    """The dispatch room's ride requests."""

    async def end_trip(self, tx: Transaction, request_id: str) -> None:
        """The request's trip is over: its rider may ask again. Part of the trip's own transaction."""
        ...


class Rating(msgspec.Struct, frozen=True):
    """Stars (1..5) that one party gave for a trip; `about_id` is the driver or rider they are for."""

    trip_id: str
    by: Party
    about: Party
    about_id: str
    stars: int
    at: float


class TripAudience(Protocol):
    """Who watches a trip: its rider, its driver, the supply. Called after the commit; must not raise."""

    async def changed(self, trip: Trip) -> None:
        """The trip took a step: tell the rider and the driver, make the driver busy or free (of this trip only)."""
        ...

    async def priced(self, trip: Trip) -> None:
        """The fare was fixed: tell the rider and the driver. The driver may long be on the next trip."""
        ...


class TripStore(Protocol):
    """Live trips, inside one transaction."""

    async def get(self, trip_id: str) -> Trip | None:
        """The trip, locked until the transaction ends."""
        ...

    async def save(self, trip: Trip) -> None:
        """Write a changed trip and the steps that are new."""
        ...

    async def remove_unchanged(self, trips: Sequence[Trip]) -> int:
        """Delete those of these trips that are still exactly as given; how many."""
        ...

    async def rating(self, trip_id: str, by: Party) -> Rating | None:
        """What this party gave, or None."""
        ...

    async def add_rating(self, rating: Rating) -> None:
        """Keep a rating. Raises Conflict already_rated."""
        ...


class UnitOfWork(Protocol):
    """One transaction: what happens in it happens together."""

    @property
    def trips(self) -> TripStore: ...

    async def end_request(self, request_id: str) -> None:
        """Close the ride request of a trip that ended."""
        ...

    def publish(self, *events: Event) -> None:
        """Send events with the commit, or not at all."""
        ...


class Transactions(Protocol):
    """Begins a unit of work: commits when the block ends, rolls back when it raises."""

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]: ...


class LiveTrips(Protocol):
    """Reading trips that are not archived yet. Lists are newest first: by trip id, which sorts by time, descending."""

    async def get(self, trip_id: str) -> Trip | None: ...

    async def active_of(self, party: Party, subject: str) -> Trip | None:
        """The one active trip of a rider or a driver."""
        ...

    async def active(self) -> list[Trip]:
        """Every trip under way, oldest first: for a start."""
        ...

    async def list_of(self, party: Party, subject: str, before: str | None, limit: int) -> list[Trip]:
        """At most `limit` trips of a rider or driver, with ids below `before`."""
        ...

    async def settled(self, limit: int, after: str = "") -> list[Trip]:
        """The oldest trips that are ready for the archive, of those with ids above `after`."""
        ...

    async def unpriced(self, limit: int, after: str = "") -> list[Trip]:
        """The oldest completed trips whose fare is not fixed, of those with ids above `after`."""
        ...

    async def count_ended(self) -> int:
        """How many trips have ended and are still here, priced or not."""
        ...


class TripArchive(Protocol):
    """Where trips rest: three tables, one per query, as a wide-column store wants them.

    Keyed by trip; by rider, newest first; by driver, newest first. Rows are written whole and again at will.
    """

    async def put(self, trips: Sequence[Trip]) -> None:
        """Write these trips into all tables; again is harmless. Raises Unavailable: then some may be written."""
        ...

    async def verified(self, trips: Sequence[Trip]) -> list[Trip]:
        """Those of these trips that, read back durably from every table, are exactly as given."""
        ...

    async def get(self, trip_id: str) -> Trip | None: ...

    async def list_of(self, party: Party, subject: str, before: str | None, limit: int) -> list[Trip]:
        """At most `limit` trips of a rider or driver with ids below `before`, newest first."""
        ...


class Driven(msgspec.Struct, frozen=True):
    """How far a trip went in metres, and how good that figure is: matched | bridged | partial | raw | none."""

    distance_m: float
    grade: str


class TripDistance(Protocol):
    """The trail of a trip, matched to the roads."""

    async def __call__(self, trip: Trip, /) -> Driven:
        """Raises Unavailable when it cannot be known yet."""
        ...


class FareAsk(msgspec.Struct, frozen=True):
    """What a completed trip is priced by. `duration_s` is from boarding to the dropoff."""

    trip_id: str
    quote: QuoteTerms | None
    driven: Driven
    duration_s: float
    pickup: LatLng


class Fares(Protocol):
    """The tariff. Payments knows it."""

    def __call__(self, ask: FareAsk, /) -> Money: ...
