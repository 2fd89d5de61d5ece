"""What a trip's latest step is called on the bus."""

from __future__ import annotations

from typing import Any

from core.events import (
    Event,
    FareFixed,
    TripArrived,
    TripAssigned,
    TripCancelled,
    TripCompleted,
    TripRated,
    TripStarted,
    trip_rated_id,
    trip_step_id,
)
from maps.segments import region_of
from trips.model import Trip
from trips.ports import Rating

_PLAIN = {"assigned": TripAssigned, "arrived": TripArrived, "started": TripStarted, "completed": TripCompleted}


def announcement(trip: Trip) -> Event:
    """The event of the step that the trip took last. Its id can exist once, so the outbox refuses a second one."""
    step = trip.steps[-1]
    head: dict[str, Any] = {
        "id": trip_step_id(trip.trip_id, step.type),
        "at": step.at,
        "trip_id": trip.trip_id,
        "request_id": trip.request_id,
        "region": region_of(trip.segment),
        "rider_id": trip.rider_id,
        "driver_id": trip.driver_id,
    }
    if step.type == "cancelled":
        assert trip.cancelled_by is not None
        return TripCancelled(by=trip.cancelled_by, reason=trip.cancel_reason or "", **head)
    if step.type == "fare_fixed":
        assert trip.fare is not None
        assert trip.distance_m is not None
        assert trip.distance_grade is not None
        return FareFixed(fare=trip.fare, distance_m=trip.distance_m, distance_grade=trip.distance_grade, **head)
    return _PLAIN[step.type](**head)


def rated(trip: Trip, rating: Rating) -> TripRated:
    """The event of a rating, by which the accounts count it."""
    return TripRated(
        id=trip_rated_id(trip.trip_id, rating.by),
        at=rating.at,
        trip_id=trip.trip_id,
        request_id=trip.request_id,
        region=region_of(trip.segment),
        rider_id=trip.rider_id,
        driver_id=trip.driver_id,
        by=rating.by,
        about=rating.about,
        about_id=rating.about_id,
        stars=rating.stars,
    )
