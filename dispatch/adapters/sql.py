"""Ride requests and offers in SQL: SQLite, PostgreSQL or MariaDB. Tables are in `tables`, new rides in `bookings`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import Conflict
from core.events import Event
from dispatch.adapters.bookings import SqlBookings
from dispatch.adapters.looks import SqlLookBook, forget_looks, looks_of
from dispatch.adapters.tables import (
    joined_offer,
    offer_columns,
    offer_of,
    offer_row,
    offers,
    request_of,
    request_row,
    ride_requests,
)
from dispatch.explain import Look
from dispatch.model import OPEN_REQUEST, Offer, OpenSearch, RideRequest
from dispatch.ports import TripBook
from runtime.gather import Gather
from runtime.sql import Database, Transaction, among, unique

_IN_CHUNK = 500  # ids in one IN list; some databases take no more than about a thousand parameters


async def end_trip(tx: Transaction, request_id: str) -> None:
    """Free the rider of a request whose trip has ended, in the transaction that ends it; may be repeated."""
    mine = ride_requests.c.request_id == request_id
    await tx.connection.execute(sa.update(ride_requests).where(mine).values(open_rider=None))


class SqlRequestBook:
    """Ride requests inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self, request_id: str) -> RideRequest | None:
        query = sa.select(ride_requests).where(ride_requests.c.request_id == request_id).with_for_update()
        row = (await self._connection.execute(query)).mappings().first()
        return None if row is None else request_of(row)

    async def save(self, request: RideRequest) -> None:
        values = request_row(request)
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
            rows = sorted(map(offer_row, new), key=itemgetter("driver_id"))  # one order: no two wait for each other
            await self._connection.execute(sa.insert(offers), rows)

    async def of_request(self, request_id: str) -> list[Offer]:
        return await _offers_of(self._connection, request_id)

    async def save(self, offer: Offer) -> None:
        values = offer_row(offer)
        mine = offers.c.offer_id == values.pop("offer_id")
        await self._connection.execute(sa.update(offers).where(mine).values(values))


@dataclass(frozen=True, slots=True)
class SqlUnitOfWork:
    """One SQL transaction, and the events that leave with it."""

    requests: SqlRequestBook
    offers: SqlOfferBook
    looks: SqlLookBook
    trips: TripBook
    _tx: Transaction

    def publish(self, *events: Event) -> None:
        self._tx.publish(*events)


class SqlStore:
    """The Store port on a SQL database. `trips` gives the trips room's book bound to a transaction."""

    def __init__(self, database: Database, trips: Callable[[Transaction], TripBook]) -> None:
        self._database = database
        self._trips = trips
        self.book = SqlBookings(database).book
        self._holding = Gather(self._all_holding, database.settings.booking_batch, database.settings.waiting)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlUnitOfWork]:
        async with self._database.transaction() as tx:
            connection = tx.connection
            books = SqlRequestBook(connection), SqlOfferBook(connection), SqlLookBook(connection)
            yield SqlUnitOfWork(*books, self._trips(tx), tx)

    async def request(self, request_id: str) -> RideRequest | None:
        query = sa.select(ride_requests).where(ride_requests.c.request_id == request_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else request_of(row)

    async def offer(self, offer_id: str) -> Offer | None:
        query = sa.select(offers).where(offers.c.offer_id == offer_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else offer_of(row)

    async def request_and_offers(self, request_id: str) -> tuple[RideRequest, list[Offer]] | None:
        query = (  # one statement sees one moment
            sa.select(ride_requests, *offer_columns)
            .outerjoin(offers, offers.c.request_id == ride_requests.c.request_id)
            .where(ride_requests.c.request_id == request_id)
            .order_by(offers.c.made_at, offers.c.offer_id)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        if not rows:
            return None
        return request_of(rows[0]), [joined_offer(row) for row in rows if row["o_offer_id"] is not None]

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
        return None if row is None else request_of(row)

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
            sa.select(ride_requests, *offer_columns)
            .join(offers, offers.c.request_id == ride_requests.c.request_id)
            .where(offers.c.open_driver == driver_id)
            .order_by(offers.c.made_at, offers.c.offer_id)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [(joined_offer(row), request_of(row)) for row in rows]

    async def looks_of(self, request_id: str) -> list[Look]:
        async with self._database.reading() as connection:
            return await looks_of(connection, request_id)

    async def forget_looks(self, before: float, most: int) -> int:
        return await forget_looks(self._database, before, most)

    async def holding_offers(self, driver_ids: Sequence[str]) -> set[str]:
        return await self._holding(driver_ids) if driver_ids else set()

    async def _all_holding(self, asked: Sequence[Sequence[str]]) -> Sequence[set[str]]:
        """One question for all searches that ask at a time: their neighbourhoods overlap."""
        driver_ids = list(dict.fromkeys(chain.from_iterable(asked)))
        holding: set[str] = set()
        async with self._database.reading() as connection:
            for start in range(0, len(driver_ids), _IN_CHUNK):
                some = among(offers.c.open_driver, driver_ids[start : start + _IN_CHUNK], self._database.kind)
                holding.update((await connection.execute(sa.select(offers.c.open_driver).where(some))).scalars())
        return [holding.intersection(each) for each in asked]


async def _offers_of(connection: AsyncConnection, request_id: str) -> list[Offer]:
    query = sa.select(offers).where(offers.c.request_id == request_id).order_by(offers.c.made_at, offers.c.offer_id)
    return [offer_of(row) for row in (await connection.execute(query)).mappings()]
