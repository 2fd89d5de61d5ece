"""Bodies as the contract fixes them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from core.clock import rfc3339
from dispatch.model import Offer, RideRequest

ClosedReason = Literal["accepted_elsewhere", "expired", "cancelled"]


def request_body(request: RideRequest) -> dict[str, Any]:
    """GET /ride-requests/{id}."""
    return {
        "request_id": request.request_id,
        "rider_id": request.rider_id,
        "status": request.status,
        "trip_id": request.trip_id,
        "mode": request.mode,
        "pickup": request.pickup._asdict(),
        "dropoff": request.dropoff._asdict(),
        "quote_id": request.quote_id,
        "vehicle_class": request.vehicle_class,
        "seats": request.seats,
        "fare": msgspec.structs.asdict(request.fare),
        "created_at": rfc3339(request.created_at),
        "expires_at": rfc3339(request.expires_at),
        "ended_at": None if request.ended_at is None else rfc3339(request.ended_at),
    }


def request_message(request: RideRequest) -> dict[str, Any]:
    """What the rider is told when the status changes."""
    return {"type": "request", **request_body(request)}


def offer_message(offer: Offer, request: RideRequest) -> dict[str, Any]:
    """The offer as its driver gets it."""
    return {
        "type": "offer",
        "offer_id": offer.offer_id,
        "request_id": offer.request_id,
        "expires_at": rfc3339(offer.expires_at),
        "pickup": request.pickup._asdict(),
        "dropoff": request.dropoff._asdict(),
        "pickup_eta_s": round(offer.pickup_eta_s, 1),
        "pickup_distance_m": round(offer.pickup_distance_m, 1),
        "fare": msgspec.structs.asdict(request.fare),
        "mode": offer.mode,
        "why": offer.why,
    }


def offer_closed_message(offer_id: str, reason: ClosedReason) -> dict[str, Any]:
    """What a driver is told whose offer ended without an answer."""
    return {"type": "offer_closed", "offer_id": offer_id, "reason": reason}
