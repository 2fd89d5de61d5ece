"""Live trips in SQL: the book dispatch opens trips in, the unit of work, the reader. The tables are in `tables`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import Conflict
from core.events import Event, Party
from core.ids import Ids
from runtime.sql import Database, Transaction, unique
from trips.adapters.tables import joined, step_rows, trip_events, trip_ratings, trip_row, trips, trips_of
from trips.announce import announcement
from trips.model import NewTrip, Trip, open_trip
from trips.ports import Rating, RequestBook


class SqlTripBook:
    """Opens trips inside a transaction that another room began."""

    def __init__(self, tx: Transaction, ids: Ids) -> None:
        self._tx = tx
        self._ids = ids

    async def open(self, new: NewTrip) -> Trip:
        """Insert the trip and publish TripAssigned; the caller tells the audience after its commit.

        Raises Conflict driver_busy, rider_busy or already_assigned (this request has its trip). After any of them the
        transaction must be left to roll back as a whole: PostgreSQL refuses every further statement of a transaction
        in which one failed.
        """
        trip = open_trip(new, self._ids.new("trip"), self._ids.start_code())
        conflicts = {
            "active_driver": Conflict(f"driver {new.driver_id} is on another trip", code="driver_busy"),
            "active_rider": Conflict(f"rider {new.rider_id} is on another trip", code="rider_busy"),
            "request_id": Conflict(f"request {new.request_id} already has its trip", code="already_assigned"),
        }
        with unique(trips, conflicts):
            await self._tx.connection.execute(sa.insert(trips).values(**trip_row(trip)))
        await self._tx.connection.execute(sa.insert(trip_events), step_rows(trip))
        self._tx.publish(announcement(trip))
        return trip


class SqlTripStore:
    """The TripStore port on one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def get(self, trip_id: str) -> Trip | None:
        lock = sa.select(trips.c.trip_id).where(trips.c.trip_id == trip_id).with_for_update()
        if (await self._tx.connection.execute(lock)).first() is None:
            return None
        return await _one(self._tx.connection, trips.c.trip_id == trip_id)

    async def save(self, trip: Trip) -> None:
        connection = self._tx.connection
        values = trip_row(trip)
        await connection.execute(sa.update(trips).where(trips.c.trip_id == values.pop("trip_id")).values(**values))
        query = sa.select(sa.func.count()).where(trip_events.c.trip_id == trip.trip_id)
        known = int((await connection.execute(query)).scalar_one())
        if fresh := step_rows(trip)[known:]:
            await connection.execute(sa.insert(trip_events), fresh)

    async def remove_unchanged(self, trips_: Sequence[Trip]) -> int:
        if not trips_:
            return 0
        connection = self._tx.connection
        chosen = trips.c.trip_id.in_([trip.trip_id for trip in trips_])
        rows = sa.select(trips.c.trip_id).where(chosen).order_by(trips.c.trip_id)  # two archivers lock in one order
        await connection.execute(rows.with_for_update())
        stored = {trip.trip_id: trip for trip in await _many(connection, sa.select(trips).where(chosen))}
        same = [trip.trip_id for trip in trips_ if stored.get(trip.trip_id) == trip]
        await connection.execute(sa.delete(trip_events).where(trip_events.c.trip_id.in_(same)))
        await connection.execute(sa.delete(trips).where(trips.c.trip_id.in_(same)))
        return len(same)

    async def rating(self, trip_id: str, by: Party) -> Rating | None:
        query = sa.select(trip_ratings).where(trip_ratings.c.trip_id == trip_id, trip_ratings.c.given_by == by)
        row = (await self._tx.connection.execute(query)).mappings().first()
        if row is None:
            return None
        return Rating(row["trip_id"], row["given_by"], row["about"], row["about_id"], row["stars"], row["at"])

    async def add_rating(self, rating: Rating) -> None:
        taken = Conflict("this trip is already rated", code="already_rated")
        row = {
            "trip_id": rating.trip_id,
            "given_by": rating.by,
            "about": rating.about,
            "about_id": rating.about_id,
            "stars": rating.stars,
            "at": rating.at,
        }
        with unique(trip_ratings, {"given_by": taken}):
            await self._tx.connection.execute(sa.insert(trip_ratings).values(**row))


class SqlUnitOfWork:
    """The UnitOfWork port on one transaction."""

    def __init__(self, tx: Transaction, requests: RequestBook) -> None:
        self._tx = tx
        self._requests = requests
        self.trips = SqlTripStore(tx)

    async def end_request(self, request_id: str) -> None:
        await self._requests.end_trip(self._tx, request_id)

    def publish(self, *events: Event) -> None:
        self._tx.publish(*events)


class SqlTransactions:
    """The Transactions port."""

    def __init__(self, database: Database, requests: RequestBook) -> None:
        self._database = database
        self._requests = requests

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[SqlUnitOfWork]:
        async with self._database.transaction() as tx:
            yield SqlUnitOfWork(tx, self._requests)


class SqlLiveTrips:
    """The LiveTrips port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, trip_id: str) -> Trip | None:
        async with self._database.reading() as connection:
            return await _one(connection, trips.c.trip_id == trip_id)

    async def active_of(self, party: Party, subject: str) -> Trip | None:
        column = trips.c.active_rider if party == "rider" else trips.c.active_driver
        async with self._database.reading() as connection:
            return await _one(connection, column == subject)

    async def active(self) -> list[Trip]:
        query = sa.select(trips).where(trips.c.active_driver.is_not(None)).order_by(trips.c.trip_id)
        async with self._database.reading() as connection:
            return await _many(connection, query)

    async def list_of(self, party: Party, subject: str, before: str | None, limit: int) -> list[Trip]:
        column = trips.c.rider_id if party == "rider" else trips.c.driver_id
        page = sa.select(trips).where(column == subject).order_by(trips.c.trip_id.desc()).limit(limit)
        if before is not None:
            page = page.where(trips.c.trip_id < before)
        async with self._database.reading() as connection:
            return (await _many(connection, page))[::-1]

    async def settled(self, limit: int, after: str = "") -> list[Trip]:
        is_settled = (trips.c.status == "cancelled") | ((trips.c.status == "completed") & trips.c.fare.is_not(None))
        return await self._oldest(is_settled & (trips.c.trip_id > after), limit)

    async def unpriced(self, limit: int, after: str = "") -> list[Trip]:
        is_unpriced = (trips.c.status == "completed") & trips.c.fare.is_(None)
        return await self._oldest(is_unpriced & (trips.c.trip_id > after), limit)

    async def count_ended(self) -> int:
        query = sa.select(sa.func.count()).where(trips.c.status.in_(("completed", "cancelled")))
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def _oldest(self, where: sa.ColumnElement[bool], limit: int) -> list[Trip]:
        async with self._database.reading() as connection:
            return await _many(connection, sa.select(trips).where(where).order_by(trips.c.trip_id).limit(limit))


async def _one(connection: AsyncConnection, where: sa.ColumnElement[bool]) -> Trip | None:
    found = await _many(connection, sa.select(trips).where(where))
    return found[0] if found else None


async def _many(connection: AsyncConnection, page: sa.Select[Any]) -> list[Trip]:
    """The trips of a selection, by rising id."""
    return trips_of((await connection.execute(joined(page))).mappings())
