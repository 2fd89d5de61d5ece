"""What is shown of a trip, and to whom."""

from __future__ import annotations

from typing import Any

import msgspec

from core.clock import rfc3339
from core.events import Party
from core.money import Money
from trips.model import Trip


def trip_body(trip: Trip, audience: Party) -> dict[str, Any]:
    """A trip as `GET /trips/{id}` and the `trip` messages show it. Only its rider sees the start code."""
    body: dict[str, Any] = {
        "trip_id": trip.trip_id,
        "request_id": trip.request_id,
        "rider_id": trip.rider_id,
        "driver_id": trip.driver_id,
        "status": trip.status,
        "driver": {"driver_id": trip.driver_id, "name": trip.driver.name, "rating": trip.driver.rating},
        "vehicle": {
            "plate": trip.vehicle.plate,
            "class": trip.vehicle.vehicle_class,
            "seats": trip.vehicle.seats,
        },
        "pickup": trip.pickup._asdict(),
        "dropoff": trip.dropoff._asdict(),
        "mode": trip.mode,
        "quote_id": trip.quote.quote_id if trip.quote else None,
        "quoted_fare": _money(trip.quote.fare if trip.quote else None),
        "fare": _money(trip.fare),
        "distance_m": trip.distance_m,
        "distance_grade": trip.distance_grade,
        "assigned_at": rfc3339(trip.assigned_at),
        "arrived_at": _time(trip.arrived_at),
        "started_at": _time(trip.started_at),
        "completed_at": _time(trip.completed_at),
        "cancelled_at": _time(trip.cancelled_at),
        "cancelled_by": trip.cancelled_by,
        "events": [{"type": step.type, "at": rfc3339(step.at), "detail": step.detail} for step in trip.steps],
    }
    if audience == "rider":
        body["start_code"] = trip.start_code
    return body


def _money(amount: Money | None) -> dict[str, Any] | None:
    return None if amount is None else msgspec.structs.asdict(amount)


def _time(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)
