"""The trip archive in a SQLite file of its own, laid out as a wide-column store will have it.

One table per query, each holding whole trips: by trip; by rider and by driver, partitioned by the person and clustered
by trip id (that is, by time). A row is about 1 kB, so at 27 trips a day a driver's partition grows by some 10 MB a
year. Nothing is ever read by another column, and a row is only ever written whole: the same statements exist in CQL.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from core.events import Party
from runtime.sql import Database
from trips.adapters.bodies import decode, encode
from trips.model import Trip

archive_metadata = sa.MetaData()  # not the main database's: this file has a schema of its own

_ID = 40

trips_by_trip = sa.Table(
    "trips_by_trip",
    archive_metadata,
    sa.Column("trip_id", sa.String(_ID), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)


def _by_person(name: str) -> sa.Table:
    return sa.Table(
        name,
        archive_metadata,
        sa.Column("person_id", sa.String(_ID), primary_key=True),
        sa.Column("trip_id", sa.String(_ID), primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )


trips_by_rider = _by_person("trips_by_rider")
trips_by_driver = _by_person("trips_by_driver")


class SqliteTripArchive:
    """The TripArchive port. Call `prepare` before the first use."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Make the tables that are missing."""
        async with self._database.transaction() as tx:
            await tx.connection.run_sync(archive_metadata.create_all)

    async def put(self, trips: Sequence[Trip]) -> None:
        if not trips:
            return
        bodies = [(trip, encode(trip)) for trip in trips]
        rows = {
            trips_by_trip: [{"trip_id": trip.trip_id, "body": body} for trip, body in bodies],
            trips_by_rider: [
                {"person_id": trip.rider_id, "trip_id": trip.trip_id, "body": body} for trip, body in bodies
            ],
            trips_by_driver: [
                {"person_id": trip.driver_id, "trip_id": trip.trip_id, "body": body} for trip, body in bodies
            ],
        }
        async with self._database.transaction() as tx:
            for table, values in rows.items():
                new = insert(table)
                write = new.on_conflict_do_update(
                    index_elements=list(table.primary_key.columns), set_={"body": new.excluded.body}
                )
                await tx.connection.execute(write, values)

    async def verified(self, trips: Sequence[Trip]) -> list[Trip]:
        if not trips:
            return []
        ids = [trip.trip_id for trip in trips]
        riders = sorted({trip.rider_id for trip in trips})
        drivers = sorted({trip.driver_id for trip in trips})
        one = trips_by_trip
        queries = [
            sa.select(sa.literal(""), one.c.trip_id, one.c.body).where(one.c.trip_id.in_(ids)),
            _of_people(trips_by_rider, riders, ids),
            _of_people(trips_by_driver, drivers, ids),
        ]
        stored: list[dict[tuple[str, str], bytes]] = []
        async with self._database.reading() as connection:
            for query in queries:
                found = await connection.execute(query)
                stored.append({(person, trip_id): body for person, trip_id, body in found})
        by_trip, by_rider, by_driver = stored
        return [
            trip
            for trip in trips
            if encode(trip)
            == by_trip.get(("", trip.trip_id))
            == by_rider.get((trip.rider_id, trip.trip_id))
            == by_driver.get((trip.driver_id, trip.trip_id))
        ]

    async def get(self, trip_id: str) -> Trip | None:
        query = sa.select(trips_by_trip.c.body).where(trips_by_trip.c.trip_id == trip_id)
        async with self._database.reading() as connection:
            body = (await connection.execute(query)).scalar_one_or_none()
        return None if body is None else decode(body)

    async def list_of(self, party: Party, subject: str, before: str | None, limit: int) -> list[Trip]:
        table = trips_by_rider if party == "rider" else trips_by_driver
        query = (
            sa.select(table.c.body).where(table.c.person_id == subject).order_by(table.c.trip_id.desc()).limit(limit)
        )
        if before is not None:
            query = query.where(table.c.trip_id < before)
        async with self._database.reading() as connection:
            return [decode(body) for body in (await connection.execute(query)).scalars()]


def _of_people(table: sa.Table, people: list[str], ids: list[str]) -> sa.Select[tuple[str, str, bytes]]:
    return sa.select(table.c.person_id, table.c.trip_id, table.c.body).where(
        table.c.person_id.in_(people), table.c.trip_id.in_(ids)
    )
