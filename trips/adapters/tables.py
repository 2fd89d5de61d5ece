"""The SQL tables of live trips, and how a trip becomes rows and is a trip again.

Portable between SQLite, PostgreSQL and MariaDB: bounded strings, double-precision times, JSON as text. A trip's driver
and rider stand in `active_driver` and `active_rider` only while the trip is active: unique columns that hold NULL
otherwise, which every database allows many times.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from core.geo import LatLng
from core.money import Money
from runtime.sql import metadata
from trips.model import QuoteTerms, Trip, TripDriver, TripStep, TripVehicle

ID = 40  # prefix, underscore, 26 digits, and some room

trips = sa.Table(
    "trips",
    metadata,
    sa.Column("trip_id", sa.String(ID), primary_key=True),
    sa.Column("request_id", sa.String(ID), nullable=False, unique=True),
    sa.Column("rider_id", sa.String(ID), nullable=False),
    sa.Column("driver_id", sa.String(ID), nullable=False),
    sa.Column("active_driver", sa.String(ID), unique=True),
    sa.Column("active_rider", sa.String(ID), unique=True),
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("start_code", sa.String(8), nullable=False),
    sa.Column("code_tries", sa.Integer, nullable=False),
    sa.Column("pickup_lat", sa.Double, nullable=False),
    sa.Column("pickup_lng", sa.Double, nullable=False),
    sa.Column("dropoff_lat", sa.Double, nullable=False),
    sa.Column("dropoff_lng", sa.Double, nullable=False),
    sa.Column("mode", sa.String(12), nullable=False),
    sa.Column("segment", sa.String(20), nullable=False),
    sa.Column("driver", sa.Text, nullable=False),
    sa.Column("vehicle", sa.Text, nullable=False),
    sa.Column("quote", sa.Text),
    sa.Column("fare", sa.Text),
    sa.Column("distance_m", sa.Double),
    sa.Column("distance_grade", sa.String(12)),
    sa.Column("assigned_at", sa.Double, nullable=False),
    sa.Column("arrived_at", sa.Double),
    sa.Column("started_at", sa.Double),
    sa.Column("completed_at", sa.Double),
    sa.Column("cancelled_at", sa.Double),
    sa.Column("cancelled_by", sa.String(8)),
    sa.Column("cancel_reason", sa.String(200)),
    sa.Index(None, "rider_id", "trip_id"),
    sa.Index(None, "driver_id", "trip_id"),
    sa.Index(None, "status", "trip_id"),
)

trip_events = sa.Table(
    "trip_events",
    metadata,
    sa.Column("trip_id", sa.String(ID), primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("type", sa.String(12), nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("detail", sa.String(220)),
)

# Ratings outlive the move to the archive: whether a party has rated is decided here, by the key.
trip_ratings = sa.Table(
    "trip_ratings",
    metadata,
    sa.Column("trip_id", sa.String(ID), primary_key=True),
    sa.Column("given_by", sa.String(8), primary_key=True),
    sa.Column("about", sa.String(8), nullable=False),
    sa.Column("about_id", sa.String(ID), nullable=False),
    sa.Column("stars", sa.Integer, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)

_PLAIN = (
    "trip_id",
    "request_id",
    "rider_id",
    "driver_id",
    "status",
    "start_code",
    "code_tries",
    "mode",
    "segment",
    "distance_m",
    "distance_grade",
    "assigned_at",
    "arrived_at",
    "started_at",
    "completed_at",
    "cancelled_at",
    "cancelled_by",
    "cancel_reason",
)


def trip_row(trip: Trip) -> dict[str, Any]:
    """The row of a trip in `trips`."""
    return {
        **{name: getattr(trip, name) for name in _PLAIN},
        "active_driver": trip.driver_id if trip.active else None,
        "active_rider": trip.rider_id if trip.active else None,
        "pickup_lat": trip.pickup.lat,
        "pickup_lng": trip.pickup.lng,
        "dropoff_lat": trip.dropoff.lat,
        "dropoff_lng": trip.dropoff.lng,
        "driver": _json(trip.driver),
        "vehicle": _json(trip.vehicle),
        "quote": _json(trip.quote),
        "fare": _json(trip.fare),
    }


def step_rows(trip: Trip) -> list[dict[str, Any]]:
    """The rows of a trip in `trip_events`, in order."""
    return [
        {"trip_id": trip.trip_id, "n": n, "type": step.type, "at": step.at, "detail": step.detail}
        for n, step in enumerate(trip.steps)
    ]


def joined(page: sa.Select[Any]) -> sa.Select[Any]:
    """A selection of trips with their steps: one statement, so that no move can come between the two tables."""
    found = page.subquery()
    return (
        sa.select(found, trip_events.c.type.label("step_type"), trip_events.c.at.label("step_at"), trip_events.c.detail)
        .join_from(found, trip_events, found.c.trip_id == trip_events.c.trip_id)
        .order_by(found.c.trip_id, trip_events.c.n)
    )


def trips_of(rows: Iterable[sa.RowMapping]) -> list[Trip]:
    """The trips of joined rows, by rising id."""
    heads: dict[str, sa.RowMapping] = {}
    steps: dict[str, list[TripStep]] = {}
    for row in rows:
        heads.setdefault(row["trip_id"], row)
        steps.setdefault(row["trip_id"], []).append(TripStep(row["step_type"], row["step_at"], row["detail"]))
    return [_trip(head, tuple(steps[trip_id])) for trip_id, head in heads.items()]


def _trip(row: sa.RowMapping, steps: tuple[TripStep, ...]) -> Trip:
    plain = {name: row[name] for name in _PLAIN}
    return Trip(
        **plain,
        pickup=LatLng(row["pickup_lat"], row["pickup_lng"]),
        dropoff=LatLng(row["dropoff_lat"], row["dropoff_lng"]),
        driver=msgspec.json.decode(row["driver"], type=TripDriver),
        vehicle=msgspec.json.decode(row["vehicle"], type=TripVehicle),
        quote=None if row["quote"] is None else msgspec.json.decode(row["quote"], type=QuoteTerms),
        fare=None if row["fare"] is None else msgspec.json.decode(row["fare"], type=Money),
        steps=steps,
    )


def _json(value: msgspec.Struct | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
