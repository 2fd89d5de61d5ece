"""The life of an offer. Pure: an offer and what happened in, the offer after it out.

    state      accept      decline    expire    lose                 withdraw    fail
    open       accepted*   declined   expired   accepted_elsewhere   cancelled   undelivered
    accepted   accepted    -          -         -                    -           -
    declined   -           declined   -         -                    -           -
    others     -           -          -         -                    -           -

`*` only before the deadline. `-` is a Conflict: offer_expired where time was the reason, offer_closed elsewhere.
Repeats of the driver's own answer change nothing.
"""

from __future__ import annotations

import msgspec

from core.errors import Conflict
from core.events import OfferOutcome
from dispatch.model import NEVER_AGAIN, Offer


def accept(offer: Offer, at: float) -> Offer:
    """The driver says yes. Raises Conflict offer_expired or offer_closed; a repeated yes changes nothing."""
    if offer.status == "accepted":
        return offer
    if offer.status == "expired" or (offer.is_open and is_overdue(offer, at)):
        raise Conflict(f"the offer ended at its deadline, {at - offer.expires_at:.1f} s ago", code="offer_expired")
    if not offer.is_open:
        raise Conflict(f"the offer is closed: {offer.status}", code="offer_closed")
    return msgspec.structs.replace(offer, status="accepted", ended_at=at)


def decline(offer: Offer, at: float, reason: str | None) -> Offer:
    """The driver says no. Raises Conflict when the offer had ended otherwise; a repeated no changes nothing."""
    if offer.status == "declined":
        return offer
    if offer.status == "expired":
        raise Conflict("the offer ended at its deadline", code="offer_expired")
    return end(offer, "declined", at, reason)


def end(offer: Offer, outcome: OfferOutcome, at: float, reason: str | None = None) -> Offer:
    """The offer ends without its driver getting the trip. Raises Conflict offer_closed when it is not open."""
    if not offer.is_open:
        raise Conflict(f"the offer is closed: {offer.status}", code="offer_closed")
    return msgspec.structs.replace(offer, status=outcome, ended_at=at, reason=reason)


def is_overdue(offer: Offer, at: float) -> bool:
    """Whether the deadline is over: at the deadline itself it is too late."""
    return at >= offer.expires_at


def ask_again_after(offer: Offer, pause_s: float) -> float:
    """When its driver may be asked again for the same request: a moment after a failed delivery, otherwise never."""
    if offer.status == "undelivered" and offer.ended_at is not None:
        return offer.ended_at + pause_s
    return NEVER_AGAIN
