"""The SQL tables of ride requests and offers, and how a row is made of one and one of a row.

`open_rider` and `open_driver` are nullable unique columns instead of partial indexes, which MariaDB lacks: they hold
the id while the rider has an open request or active trip, or the driver an open offer, and NULL afterwards.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from core.geo import LatLng
from core.money import Money
from dispatch.model import Offer, RideRequest
from runtime.sql import metadata

ride_requests = sa.Table(
    "ride_requests",
    metadata,
    sa.Column("request_id", sa.String(40), primary_key=True),
    sa.Column("rider_id", sa.String(64), nullable=False),
    sa.Column("open_rider", sa.String(64), unique=True),
    sa.Column("pickup_lat", sa.Double, nullable=False),
    sa.Column("pickup_lng", sa.Double, nullable=False),
    sa.Column("dropoff_lat", sa.Double, nullable=False),
    sa.Column("dropoff_lng", sa.Double, nullable=False),
    sa.Column("rider_class", sa.String(12), nullable=False),
    sa.Column("mode", sa.String(12), nullable=False),
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("segment", sa.String(16), nullable=False),
    sa.Column("fare_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("quote_id", sa.String(40)),
    sa.Column("vehicle_class", sa.String(20)),
    sa.Column("seats", sa.Integer),
    sa.Column("trip_id", sa.String(40)),
    sa.Column("ended_at", sa.Double),
    sa.Column("supply_seen", sa.Integer, nullable=False),
    sa.Column("counts", sa.Text, nullable=False),
    sa.Index(None, "status", "created_at"),
    sa.Index(None, "rider_id", "created_at"),
)

offers = sa.Table(
    "offers",
    metadata,
    sa.Column("offer_id", sa.String(40), primary_key=True),
    sa.Column("request_id", sa.String(40), sa.ForeignKey("ride_requests.request_id"), nullable=False, index=True),
    sa.Column("driver_id", sa.String(64), nullable=False),
    sa.Column("open_driver", sa.String(64), unique=True),
    sa.Column("mode", sa.String(12), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("made_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("pickup_eta_s", sa.Double, nullable=False),
    sa.Column("pickup_distance_m", sa.Double, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("why", sa.String(200), nullable=False),
    sa.Column("ended_at", sa.Double),
    sa.Column("reason", sa.String(200)),
    sa.Index(None, "driver_id", "made_at"),
)

offer_columns = [column.label(f"o_{column.name}") for column in offers.c]  # beside a request's


def request_row(request: RideRequest) -> dict[str, Any]:
    """The row of a request, without `open_rider`."""
    return {
        "request_id": request.request_id,
        "rider_id": request.rider_id,
        "pickup_lat": request.pickup.lat,
        "pickup_lng": request.pickup.lng,
        "dropoff_lat": request.dropoff.lat,
        "dropoff_lng": request.dropoff.lng,
        "rider_class": request.rider_class,
        "mode": request.mode,
        "status": request.status,
        "segment": request.segment,
        "fare_minor": request.fare.amount_minor,
        "currency": request.fare.currency,
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "quote_id": request.quote_id,
        "vehicle_class": request.vehicle_class,
        "seats": request.seats,
        "trip_id": request.trip_id,
        "ended_at": request.ended_at,
        "supply_seen": request.supply_seen,
        "counts": request.counts,
    }


def request_of(row: Any) -> RideRequest:
    """The request of a row."""
    return RideRequest(
        request_id=row["request_id"],
        rider_id=row["rider_id"],
        pickup=LatLng(row["pickup_lat"], row["pickup_lng"]),
        dropoff=LatLng(row["dropoff_lat"], row["dropoff_lng"]),
        rider_class=row["rider_class"],
        mode=row["mode"],
        status=row["status"],
        segment=row["segment"],
        fare=Money(row["fare_minor"], row["currency"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        quote_id=row["quote_id"],
        vehicle_class=row["vehicle_class"],
        seats=row["seats"],
        trip_id=row["trip_id"],
        ended_at=row["ended_at"],
        supply_seen=row["supply_seen"],
        counts=row["counts"],
    )


def offer_row(offer: Offer) -> dict[str, Any]:
    """The row of an offer."""
    row: dict[str, Any] = {name: getattr(offer, name) for name in Offer.__struct_fields__}
    return row | {"open_driver": offer.driver_id if offer.is_open else None}


def joined_offer(row: Any) -> Offer:
    """The offer of a row that has `offer_columns` beside a request's."""
    return offer_of({column.name: row[f"o_{column.name}"] for column in offers.c})


def offer_of(row: Any) -> Offer:
    """The offer of a row."""
    return Offer(**{name: row[name] for name in Offer.__struct_fields__})
