"""Ride requests and offers in SQL: SQLite, PostgreSQL or MariaDB.

`open_rider` and `open_driver` are nullable unique columns instead of partial indexes, which MariaDB lacks: they hold
the id while the rider has an open request or active trip, or the driver an open offer, and NULL afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import Conflict
from core.events import Event
from core.geo import LatLng
from core.money import Money
from dispatch.model import OPEN_REQUEST, Offer, OpenSearch, RideRequest
from dispatch.ports import TripBook
from runtime.sql import Database, Transaction, metadata, unique

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

_IN_CHUNK = 500  # ids in one IN list; some databases take no more than about a thousand parameters


async def end_trip(tx: Transaction, request_id: str) -> None:
    """Free the rider of a request whose trip has ended, in the transaction that ends it; may be repeated."""
    mine = ride_requests.c.request_id == request_id
    await tx.connection.execute(sa.update(ride_requests).where(mine).values(open_rider=None))


class SqlRequestBook:
    """Ride requests inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, request: RideRequest) -> None:
        busy = Conflict("the rider has an open request or an active trip", code="rider_busy")
        taken = Conflict("there is a ride request of this id", code="request_exists")
        with unique(ride_requests, {"open_rider": busy, "request_id": taken}):
            values = _request_row(request) | {"open_rider": request.rider_id}
            await self._connection.execute(sa.insert(ride_requests).values(values))

    async def lock(self, request_id: str) -> RideRequest | None:
        query = sa.select(ride_requests).where(ride_requests.c.request_id == request_id).with_for_update()
        row = (await self._connection.execute(query)).mappings().first()
        return None if row is None else _request(row)

    async def save(self, request: RideRequest) -> None:
        values = _request_row(request)
        mine = ride_requests.c.request_id == values.pop("request_id")
        if not request.is_open and request.trip_id is None:
            values["open_rider"] = None
        await self._connection.execute(sa.update(ride_requests).where(mine).values(values))


class SqlOfferBook:
    """Offers inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, new: Sequence[Offer]) -> None:
        taken = Conflict("a driver holds another open offer", code="driver_has_offer")
        with unique(offers, {"open_driver": taken}):
            rows = sorted(map(_offer_row, new), key=itemgetter("driver_id"))  # one order: no two wait for each other
            await self._connection.execute(sa.insert(offers), rows)

    async def of_request(self, request_id: str) -> list[Offer]:
        return await _offers_of(self._connection, request_id)

    async def save(self, offer: Offer) -> None:
        values = _offer_row(offer)
        mine = offers.c.offer_id == values.pop("offer_id")
        await self._connection.execute(sa.update(offers).where(mine).values(values))


@dataclass(frozen=True, slots=True)
class SqlUnitOfWork:
    """One SQL transaction, and the events that leave with it."""

    requests: SqlRequestBook
    offers: SqlOfferBook
    trips: TripBook
    _tx: Transaction

    def publish(self, *events: Event) -> None:
        self._tx.publish(*events)


class SqlStore:
    """The Store port on a SQL database. `trips` gives the trips room's book bound to a transaction."""

    def __init__(self, database: Database, trips: Callable[[Transaction], TripBook]) -> None:
        self._database = database
        self._trips = trips

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlUnitOfWork]:
        async with self._database.transaction() as tx:
            connection = tx.connection
            yield SqlUnitOfWork(SqlRequestBook(connection), SqlOfferBook(connection), self._trips(tx), tx)

    async def request(self, request_id: str) -> RideRequest | None:
        query = sa.select(ride_requests).where(ride_requests.c.request_id == request_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else _request(row)

    async def offer(self, offer_id: str) -> Offer | None:
        query = sa.select(offers).where(offers.c.offer_id == offer_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else _offer(row)

    async def request_and_offers(self, request_id: str) -> tuple[RideRequest, list[Offer]] | None:
        query = (  # one statement sees one moment
            sa.select(ride_requests, *_prefixed)
            .outerjoin(offers, offers.c.request_id == ride_requests.c.request_id)
            .where(ride_requests.c.request_id == request_id)
            .order_by(offers.c.made_at, offers.c.offer_id)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        if not rows:
            return None
        return _request(rows[0]), [_joined_offer(row) for row in rows if row["o_offer_id"] is not None]

    async def latest_of_rider(self, rider_id: str) -> RideRequest | None:
        columns = ride_requests.c
        query = (
            sa.select(ride_requests)
            .where(columns.rider_id == rider_id)
            .order_by(columns.open_rider.is_(None), columns.created_at.desc(), columns.request_id.desc())
            .limit(1)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else _request(row)

    async def demand(self) -> Mapping[str, int]:
        is_open = ride_requests.c.status.in_(OPEN_REQUEST)
        segment = ride_requests.c.segment
        query = sa.select(segment, sa.func.count().label("n")).where(is_open).group_by(segment)
        async with self._database.reading() as connection:
            return {row.segment: row.n for row in await connection.execute(query)}

    async def open_searches(self) -> list[OpenSearch]:
        columns = ride_requests.c
        query = (
            sa.select(columns.request_id, columns.segment, columns.status)
            .where(columns.status.in_(OPEN_REQUEST))
            .order_by(columns.created_at, columns.request_id)
        )
        async with self._database.reading() as connection:
            return [OpenSearch(*row) for row in await connection.execute(query)]

    async def open_offers_of(self, driver_id: str) -> list[tuple[Offer, RideRequest]]:
        query = (
            sa.select(ride_requests, *_prefixed)
            .join(offers, offers.c.request_id == ride_requests.c.request_id)
            .where(offers.c.open_driver == driver_id)
            .order_by(offers.c.made_at, offers.c.offer_id)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [(_joined_offer(row), _request(row)) for row in rows]

    async def holding_offers(self, driver_ids: Sequence[str]) -> set[str]:
        holding: set[str] = set()
        async with self._database.reading() as connection:
            for start in range(0, len(driver_ids), _IN_CHUNK):
                asked = offers.c.open_driver.in_(driver_ids[start : start + _IN_CHUNK])
                holding.update((await connection.execute(sa.select(offers.c.open_driver).where(asked))).scalars())
        return holding


_prefixed = [column.label(f"o_{column.name}") for column in offers.c]


async def _offers_of(connection: AsyncConnection, request_id: str) -> list[Offer]:
    query = sa.select(offers).where(offers.c.request_id == request_id).order_by(offers.c.made_at, offers.c.offer_id)
    return [_offer(row) for row in (await connection.execute(query)).mappings()]


def _request_row(request: RideRequest) -> dict[str, Any]:
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


def _request(row: Any) -> RideRequest:
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


def _offer_row(offer: Offer) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(offer, name) for name in Offer.__struct_fields__}
    return row | {"open_driver": offer.driver_id if offer.is_open else None}


def _joined_offer(row: Any) -> Offer:
    return _offer({column.name: row[f"o_{column.name}"] for column in offers.c})


def _offer(row: Any) -> Offer:
    return Offer(**{name: row[name] for name in Offer.__struct_fields__})
