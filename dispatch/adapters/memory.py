"""Requests, offers and claims in memory, for tests: one transaction at a time, and a failed one leaves no trace."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from core.errors import Conflict
from core.events import Event
from dispatch.explain import Look
from dispatch.model import Booking, Offer, OpenSearch, RideRequest
from dispatch.ports import TripBook
from runtime.answers import KEY_KEPT, StoredAnswer


@dataclass(slots=True)
class _Rows:
    requests: dict[str, RideRequest] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    open_riders: dict[str, str] = field(default_factory=dict)  # request: rider
    looks: dict[str, Look] = field(default_factory=dict)

    def copy(self) -> _Rows:
        return _Rows(dict(self.requests), dict(self.offers), dict(self.open_riders), dict(self.looks))

    def holding(self) -> set[str]:
        return {offer.driver_id for offer in self.offers.values() if offer.is_open}

    def of_request(self, request_id: str) -> list[Offer]:
        mine = [offer for offer in self.offers.values() if offer.request_id == request_id]
        return sorted(mine, key=lambda offer: (offer.made_at, offer.offer_id))


class MemoryRequestBook:
    """Ride requests inside one transaction."""

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows

    async def lock(self, request_id: str) -> RideRequest | None:
        return self._rows.requests.get(request_id)

    async def save(self, request: RideRequest) -> None:
        self._rows.requests[request.request_id] = request
        if not request.is_open and request.trip_id is None:
            self._rows.open_riders.pop(request.request_id, None)


class MemoryOfferBook:
    """Offers inside one transaction."""

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows

    async def add(self, new: Sequence[Offer]) -> None:
        for offer in new:
            if offer.is_open and offer.driver_id in self._rows.holding():
                raise Conflict("a driver holds another open offer", code="driver_has_offer")
            self._rows.offers[offer.offer_id] = offer

    async def of_request(self, request_id: str) -> list[Offer]:
        return self._rows.of_request(request_id)

    async def save(self, offer: Offer) -> None:
        self._rows.offers[offer.offer_id] = offer


class MemoryLookBook:
    """What looks saw, inside one transaction."""

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows

    async def add(self, look: Look) -> None:
        self._rows.looks[look.look_id] = look


@dataclass(frozen=True, slots=True)
class MemoryUnitOfWork:
    """One transaction."""

    requests: MemoryRequestBook
    offers: MemoryOfferBook
    looks: MemoryLookBook
    trips: TripBook
    events: list[Event]

    def publish(self, *events: Event) -> None:
        self.events.extend(events)


class MemoryStore:
    """The Store port in memory; `events` holds what was published, `trips` gives a book for each transaction."""

    def __init__(self, trips: Callable[[], TripBook]) -> None:
        self._trips = trips
        self._rows = _Rows()
        self._writers = asyncio.Lock()
        self.events: list[Event] = []
        self.answers: dict[str, StoredAnswer] = {}

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryUnitOfWork]:
        async with self._writers:
            rows = self._rows.copy()
            books = MemoryRequestBook(rows), MemoryOfferBook(rows), MemoryLookBook(rows)
            uow = MemoryUnitOfWork(*books, self._trips(), [])
            yield uow
            ids = [event.id for event in (*self.events, *uow.events)]
            if uow.events and len(set(ids)) < len(ids):
                raise Conflict("this has already happened", code="already_happened")
            self._rows = rows
            self.events.extend(uow.events)

    async def book(self, booking: Booking) -> None:
        request, answer = booking.request, booking.answer
        async with self._writers:
            if request.request_id in self._rows.requests:
                raise Conflict("there is a ride request of this id", code="request_exists")
            if request.rider_id in self._rows.open_riders.values():
                raise Conflict("the rider has an open request or an active trip", code="rider_busy")
            if answer is not None:
                if answer.scope_key in self.answers:
                    raise Conflict("this Idempotency-Key was answered before", code=KEY_KEPT)
                self.answers[answer.scope_key] = answer.answer
                answer.kept = True
            self._rows.requests[request.request_id] = request
            self._rows.open_riders[request.request_id] = request.rider_id
            self.events.append(booking.event)

    async def end_trip(self, request_id: str) -> None:
        """Free the rider of a request whose trip has ended."""
        self._rows.open_riders.pop(request_id, None)

    async def request(self, request_id: str) -> RideRequest | None:
        return self._rows.requests.get(request_id)

    async def offer(self, offer_id: str) -> Offer | None:
        return self._rows.offers.get(offer_id)

    async def request_and_offers(self, request_id: str) -> tuple[RideRequest, list[Offer]] | None:
        request = self._rows.requests.get(request_id)
        return None if request is None else (request, self._rows.of_request(request_id))

    async def latest_of_rider(self, rider_id: str) -> RideRequest | None:
        mine = [request for request in self._rows.requests.values() if request.rider_id == rider_id]
        busy = self._rows.open_riders
        return max(mine, key=lambda r: (r.request_id in busy, r.created_at, r.request_id), default=None)

    async def demand(self) -> Mapping[str, int]:
        return Counter(request.segment for request in self._rows.requests.values() if request.is_open)

    async def open_searches(self) -> list[OpenSearch]:
        found = [request for request in self._rows.requests.values() if request.is_open]
        found.sort(key=lambda request: (request.created_at, request.request_id))
        return [OpenSearch(request.request_id, request.segment, request.status) for request in found]

    async def open_offers_of(self, driver_id: str) -> list[tuple[Offer, RideRequest]]:
        mine = [offer for offer in self._rows.offers.values() if offer.is_open and offer.driver_id == driver_id]
        return [(offer, self._rows.requests[offer.request_id]) for offer in mine]

    async def looks_of(self, request_id: str) -> list[Look]:
        mine = [look for look in self._rows.looks.values() if look.request_id == request_id]
        return sorted(mine, key=lambda look: (look.at, look.number, look.look_id))

    async def forget_looks(self, before: float, most: int) -> int:
        old = [look.look_id for look in self._rows.looks.values() if look.at < before][:most]
        for look_id in old:
            del self._rows.looks[look_id]
        return len(old)

    async def holding_offers(self, driver_ids: Sequence[str]) -> set[str]:
        return self._rows.holding() & set(driver_ids)


class MemoryClaims:
    """SharedClaims of the workers of one process. `wall` counts seconds."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._held: dict[str, tuple[str, float]] = {}

    async def take(self, offers: Sequence[Offer], keep_s: float) -> set[str]:
        """Claim these drivers; returns those of them whom others hold."""
        lost = {each.driver_id for each in offers if self._holder(each.driver_id) not in (None, each.offer_id)}
        for offer in offers:
            if self._holder(offer.driver_id) is None:
                self._held[offer.driver_id] = (offer.offer_id, self._wall() + keep_s)
        return lost

    async def end(self, offers: Sequence[Offer], keep_s: float) -> None:
        """Let these claims go after so long."""
        for offer in offers:
            if self._holder(offer.driver_id) == offer.offer_id:
                self._held[offer.driver_id] = (offer.offer_id, self._wall() + keep_s)

    def _holder(self, driver_id: str) -> str | None:
        offer_id, until = self._held.get(driver_id, ("", 0.0))
        return offer_id if until > self._wall() else None
