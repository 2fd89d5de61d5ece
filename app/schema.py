"""The schema of each room's tables, brought up to date at each start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from accounts.adapters import sql as accounts
from app.databases import ROOMS, Databases, Room
from dispatch.adapters import looks
from dispatch.adapters import tables as dispatch
from location.adapters import sql as location
from maps.adapters import roads, segments_sql, versions
from maps.adapters import sql as maps
from payments.adapters import sql as payments
from runtime import idempotency, lease, migrations
from runtime.sql import Database, Table, outbox
from trips.adapters import tables as trips

TABLES: Mapping[Room, Sequence[Table]] = {
    "riders": (accounts.riders, accounts.rider_ratings, accounts.one_time_codes),
    "drivers": (accounts.drivers, accounts.driver_ratings),
    "trips": (
        *(dispatch.ride_requests, dispatch.offers, looks.looks, trips.trips, trips.trip_events, trips.trip_ratings),
        *(outbox, idempotency.answers, lease.leases, location.queue_places, segments_sql.segment_tables),
        *(maps.zones, versions.map_versions, roads.closures, roads.learned),
    ),
    "payments": (payments.quotes,),
}
SCRIPTS = Path(__file__).parent / "migrations"


async def upgrade(databases: Databases) -> None:
    """Bring every database to the newest schema of the rooms that it holds; see runtime.migrations."""
    for database, rooms in databases.each():
        await upgrade_one(database, rooms)


async def upgrade_one(database: Database, rooms: Sequence[Room] = ROOMS) -> None:
    """The same for one database."""
    await migrations.upgrade(database, SCRIPTS, rooms)
