"""TrailLog in an SQLite file of its own, beside the archive: one row per ping, and one per driver for the newest."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from location.model import LastPosition, Trail, TrailPoint
from runtime.sql import Database

_PURGE_AT_ONCE = 5_000  # rows per transaction, so that appends get their turn

tables = sa.MetaData()

pings = sa.Table(
    "pings",
    tables,
    sa.Column("driver_id", sa.String(64), primary_key=True),
    sa.Column("ts", sa.BigInteger, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("lat", sa.Double, nullable=False),
    sa.Column("lng", sa.Double, nullable=False),
    sa.Column("heading", sa.Double),
    sa.Column("speed", sa.Double),
    sa.Column("accuracy", sa.Double),
    sa.Column("trip_id", sa.String(64)),
    sqlite_with_rowid=False,
)
_of_trips = sa.Index("ix_pings_trip", pings.c.trip_id, sqlite_where=pings.c.trip_id.is_not(None))
_of_nobody = sa.Index("ix_pings_idle", pings.c.ts, sqlite_where=pings.c.trip_id.is_(None))

last_pings = sa.Table(
    "last_pings",
    tables,
    sa.Column("driver_id", sa.String(64), primary_key=True),
    sa.Column("ts", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("lat", sa.Double, nullable=False),
    sa.Column("lng", sa.Double, nullable=False),
    sa.Column("heading", sa.Double),
    sa.Column("speed", sa.Double),
    sa.Column("online", sa.Boolean, nullable=False),
    sa.Column("trip_id", sa.String(64)),
    sqlite_with_rowid=False,
)

# the hot statements take plain tuples: building a dictionary per ping costs more than storing it
_INSERT = "INSERT OR IGNORE INTO pings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPSERT = (
    "INSERT INTO last_pings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (driver_id) DO UPDATE SET "
    + ", ".join(f"{column.name} = excluded.{column.name}" for column in last_pings.c if not column.primary_key)
    + " WHERE excluded.ts >= last_pings.ts"
)


class SqliteTrail:
    """Pings of trips stay; the others until `purge`. Each call raises Unavailable when the file cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Make the tables where they are missing."""
        async with self._database.transaction() as tx:
            await tx.connection.run_sync(tables.create_all)

    async def append(self, points: Sequence[TrailPoint]) -> None:
        """Keep points, all or none; on disk on return."""
        if not points:
            return
        rows = []
        newest: dict[str, tuple[object, ...]] = {}
        for driver_id, trip_id, online, ping in points:
            rows.append(
                (
                    driver_id, ping.ts, ping.seq, ping.lat, ping.lng, ping.heading, ping.speed, ping.accuracy, trip_id,
                )
            )  # fmt: skip
            newest[driver_id] = (
                driver_id, ping.ts, ping.seq, ping.lat, ping.lng, ping.heading, ping.speed, online, trip_id,
            )  # fmt: skip
        async with self._database.transaction() as tx:
            await tx.connection.exec_driver_sql(_INSERT, rows)
            await tx.connection.exec_driver_sql(_UPSERT, list(newest.values()))

    async def of_trip(self, trip_id: str) -> Trail:
        """The points of a trip by time."""
        return await self._select(pings.c.trip_id == trip_id)

    async def track(self, driver_id: str, start_ms: int, end_ms: int) -> Trail:
        """The points of a driver with start_ms <= ts < end_ms by time."""
        return await self._select((pings.c.driver_id == driver_id) & (pings.c.ts >= start_ms) & (pings.c.ts < end_ms))

    async def last_position(self, driver_id: str) -> LastPosition | None:
        """The newest point of a driver."""
        wanted = sa.select(last_pings).where(last_pings.c.driver_id == driver_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(wanted)).mappings().first()
        return None if row is None else LastPosition(**row)

    async def purge(self, before_ms: int) -> int:
        """Remove points without a trip that are older than this `ts`; returns how many."""
        idle = pings.c.trip_id.is_(None) & (pings.c.ts < before_ms)
        key = (pings.c.driver_id, pings.c.ts, pings.c.seq)
        some = sa.select(*key).where(idle).limit(_PURGE_AT_ONCE)
        removed = 0
        while True:
            async with self._database.transaction() as tx:
                done = await tx.connection.execute(sa.delete(pings).where(sa.tuple_(*key).in_(some)))
            removed += done.rowcount
            if done.rowcount < _PURGE_AT_ONCE:
                return removed

    async def _select(self, where: sa.ColumnElement[bool]) -> Trail:
        columns = pings.c
        wanted = sa.select(
            columns.seq, columns.ts, columns.lat, columns.lng, columns.heading, columns.speed, columns.accuracy,
            columns.trip_id,
        )  # fmt: skip
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted.where(where).order_by(columns.ts, columns.seq))).all()
        return Trail.of(rows)
