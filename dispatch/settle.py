"""What one transaction does to a request and its offers: lock the request, check, save, publish.

The lock's order (request, then offers) is the same everywhere, so two transactions never wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from core.errors import Conflict, NotFound
from core.events import (
    CabFound,
    NoCabFound,
    NoCabReason,
    OfferAccepted,
    OfferEnded,
    OfferOutcome,
    OffersMade,
    RideRequested,
    search_ended_id,
)
from dispatch import offers as rules
from dispatch.explain import Look
from dispatch.model import Booking, NewTrip, Offer, RequestStatus, RideRequest
from dispatch.ports import UnitOfWork
from maps.segments import region_of
from runtime.answers import FirstAnswer


@dataclass(frozen=True, slots=True)
class Seen:
    """What the latest decision saw."""

    supply_seen: int = 0
    counts: str = "{}"
    look: Look | None = None  # to be kept with what it led to


@dataclass(frozen=True, slots=True)
class Change:
    """What a transaction changed, for telling those concerned after its commit."""

    request: RideRequest
    was: RequestStatus
    ended: Sequence[Offer] = field(default=())


def booking(request: RideRequest, answer: FirstAnswer | None = None) -> Booking:
    """A new request with the event that announces it, and the answer to keep where its ask came with a key."""
    event = RideRequested(
        id=f"ride-requested:{request.request_id}",
        at=request.created_at,
        request_id=request.request_id,
        region=region_of(request.segment),
        rider_id=request.rider_id,
        pickup=request.pickup,
        dropoff=request.dropoff,
        segment=request.segment,
        mode=request.mode,
    )
    return Booking(request, event, answer)


async def make_offers(uow: UnitOfWork, offers: Sequence[Offer], seen: Seen) -> Change | None:
    """Store offers for one request; None when its search is over. Raises Conflict driver_has_offer."""
    request = await _locked(uow, offers[0].request_id)
    if not request.is_open:
        return None
    await uow.offers.add(offers)
    if seen.look is not None:
        await uow.looks.add(seen.look)
    after = msgspec.structs.replace(request, status="offered", supply_seen=seen.supply_seen, counts=seen.counts)
    await uow.requests.save(after)
    uow.publish(
        OffersMade(
            id=f"offers-made:{offers[0].offer_id}",
            at=offers[0].made_at,
            request_id=request.request_id,
            region=region_of(request.segment),
            offer_ids=[offer.offer_id for offer in offers],
            driver_ids=[offer.driver_id for offer in offers],
            mode=request.mode,
        )
    )
    return Change(after, request.status)


async def end_offers(uow: UnitOfWork, ended: Sequence[Offer]) -> Change:
    """Store offers of one request that ended without a trip; those that had ended before stay as they were."""
    request = await _locked(uow, ended[0].request_id)
    stored = {offer.offer_id: offer for offer in await uow.offers.of_request(request.request_id)}
    new = [offer for offer in ended if stored[offer.offer_id].is_open]
    for offer in new:
        await _save_ended(uow, request, offer)
    stored.update({offer.offer_id: offer for offer in new})
    if request.status != "offered" or any(offer.is_open for offer in stored.values()):
        return Change(request, request.status, new)
    after = msgspec.structs.replace(request, status="searching")
    await uow.requests.save(after)
    return Change(after, request.status, new)


async def accept(uow: UnitOfWork, offer: Offer, at: float, papers: object) -> Change:
    """The driver of an offer takes the request: the offer is accepted, the others end, the trip is opened.

    `papers` are the trip's; they are not needed for an offer that was not open when it was read.

    A repeated accept changes nothing. Raises Conflict offer_closed or offer_expired, and whatever the trip book raises
    when the driver cannot take a trip; nothing may be committed then.
    """
    request_id, offer_id = offer.request_id, offer.offer_id
    request = await _locked(uow, request_id)
    offers = await uow.offers.of_request(request_id)
    mine = next(offer for offer in offers if offer.offer_id == offer_id)
    accepted = rules.accept(mine, at)
    if accepted is mine:
        return Change(request, request.status)
    if not request.is_open:
        raise Conflict(f"the request has ended: {request.status}", code="offer_closed")
    await uow.offers.save(accepted)
    closed = [rules.end(offer, "accepted_elsewhere", at) for offer in offers if offer.is_open and offer is not mine]
    for offer in closed:
        await _save_ended(uow, request, offer)
    assert papers is not None
    trip_id = await uow.trips.open(_new_trip(request, accepted, at), papers)
    after = msgspec.structs.replace(request, status="assigned", trip_id=trip_id, ended_at=at)
    await uow.requests.save(after)
    driver_id, region = accepted.driver_id, region_of(request.segment)
    uow.publish(
        OfferAccepted(
            id=f"offer-accepted:{offer_id}",
            at=at,
            request_id=request_id,
            region=region,
            offer_id=offer_id,
            driver_id=driver_id,
            trip_id=trip_id,
        ),
        CabFound(
            id=search_ended_id(request_id),
            at=at,
            request_id=request_id,
            region=region,
            rider_id=request.rider_id,
            driver_id=driver_id,
            trip_id=trip_id,
            segment=request.segment,
            supply_seen=request.supply_seen,
            mode=request.mode,
            waited_s=at - request.created_at,
        ),
    )
    return Change(after, request.status, closed)


async def finish(uow: UnitOfWork, request_id: str, reason: NoCabReason, at: float, seen: Seen | None) -> Change:
    """End a search without a cab, and the offers that are still open. Nothing changes when it is over already."""
    request = await _locked(uow, request_id)
    if not request.is_open:
        return Change(request, request.status)
    outcome: OfferOutcome = "cancelled" if reason == "cancelled" else "expired"
    open_offers = [offer for offer in await uow.offers.of_request(request_id) if offer.is_open]
    closed = [rules.end(offer, outcome, at) for offer in open_offers]
    for offer in closed:
        await _save_ended(uow, request, offer)
    seen = seen or Seen(request.supply_seen, request.counts)
    if seen.look is not None:
        await uow.looks.add(seen.look)
    after = msgspec.structs.replace(
        request, status=reason, ended_at=at, supply_seen=seen.supply_seen, counts=seen.counts
    )
    await uow.requests.save(after)
    uow.publish(
        NoCabFound(
            id=search_ended_id(request_id),
            at=at,
            request_id=request_id,
            region=region_of(request.segment),
            rider_id=request.rider_id,
            segment=request.segment,
            supply_seen=seen.supply_seen,
            mode=request.mode,
            reason=reason,
            waited_s=at - request.created_at,
        )
    )
    return Change(after, request.status, closed)


async def _locked(uow: UnitOfWork, request_id: str) -> RideRequest:
    request = await uow.requests.lock(request_id)
    if request is None:
        raise NotFound(f"there is no ride request {request_id}")
    return request


async def _save_ended(uow: UnitOfWork, request: RideRequest, offer: Offer) -> None:
    assert offer.status != "open"
    assert offer.status != "accepted"
    assert offer.ended_at is not None
    await uow.offers.save(offer)
    uow.publish(
        OfferEnded(
            id=f"offer-ended:{offer.offer_id}",
            at=offer.ended_at,
            request_id=offer.request_id,
            region=region_of(request.segment),
            offer_id=offer.offer_id,
            driver_id=offer.driver_id,
            outcome=offer.status,
            reason=offer.reason,
        )
    )


def _new_trip(request: RideRequest, offer: Offer, at: float) -> NewTrip:
    return NewTrip(
        request_id=request.request_id,
        offer_id=offer.offer_id,
        rider_id=request.rider_id,
        driver_id=offer.driver_id,
        pickup=request.pickup,
        dropoff=request.dropoff,
        mode=request.mode,
        segment=request.segment,
        quote_id=request.quote_id,
        fare=request.fare,
        pickup_eta_s=offer.pickup_eta_s,
        assigned_at=at,
    )
