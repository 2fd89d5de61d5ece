"""Where the tests' city keeps its rides: the real stores, with the trips room faked."""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec
import sqlalchemy as sa

from core.errors import Conflict
from core.events import AnyEvent, Event
from dispatch.adapters.memory import MemoryStore
from dispatch.adapters.sql import SqlStore, end_trip
from dispatch.model import NewTrip
from dispatch.ports import Store
from runtime.answers import StoredAnswer
from runtime.idempotency import answers
from runtime.sql import Database, Transaction, outbox
from runtime.sqlsettings import SqlSettings


class FakeTrips:
    """The trips room, with its one-active-trip-a-driver rule."""

    def __init__(self) -> None:
        self.opened: list[NewTrip] = []
        self.active: dict[str, str] = {}
        self.suspended: set[str] = set()

    async def papers(self, driver_id: str, quote_id: str | None) -> object:
        if driver_id in self.suspended:
            raise Conflict("the driver is suspended", code="not_approved")
        return driver_id, quote_id

    async def open(self, trip: NewTrip, papers: object) -> str:
        await asyncio.sleep(0)
        assert papers == (trip.driver_id, trip.quote_id)
        if trip.driver_id in self.active:
            raise Conflict("the driver is on another trip", code="driver_busy")
        self.opened.append(trip)
        self.active[trip.driver_id] = f"trip_{len(self.opened)}"
        return self.active[trip.driver_id]


class StoreKind(Protocol):
    """A store and a way to see all that it published."""

    store: Store

    async def start(self) -> None: ...
    async def trips_of(self, request_id: str) -> int: ...
    async def events(self) -> list[Event]: ...
    async def answers(self) -> dict[str, StoredAnswer]: ...
    async def end_trip(self, request_id: str) -> None: ...
    async def close(self) -> None: ...


class InMemory:
    def __init__(self, trips: FakeTrips) -> None:
        self._trips = trips
        self._store = MemoryStore(lambda: trips)
        self.store: Store = self._store

    async def start(self) -> None: ...

    async def trips_of(self, request_id: str) -> int:
        return sum(trip.request_id == request_id for trip in self._trips.opened)

    async def events(self) -> list[Event]:
        return self._store.events

    async def answers(self) -> dict[str, StoredAnswer]:
        return self._store.answers

    async def end_trip(self, request_id: str) -> None:
        await self._store.end_trip(request_id)

    async def close(self) -> None: ...


_opened = sa.Table("opened_in_test", sa.MetaData(), sa.Column("request_id", sa.String(60), nullable=False))


class TripsInSql:
    """The fake's book bound to a transaction: a trip whose commit was cut off was never opened."""

    def __init__(self, trips: FakeTrips, tx: Transaction) -> None:
        self._trips = trips
        self._tx = tx

    async def open(self, trip: NewTrip, papers: object) -> str:
        trip_id = await self._trips.open(trip, papers)
        await self._tx.connection.execute(sa.insert(_opened).values(request_id=trip.request_id))
        return trip_id


class InSql:
    def __init__(self, trips: FakeTrips, url: str) -> None:
        self.database = Database(url, SqlSettings(sqlite_synchronous="NORMAL"))
        self.store: Store = SqlStore(self.database, lambda tx: TripsInSql(trips, tx))

    async def start(self) -> None:
        await self.database.create_all()
        async with self.database.transaction() as tx:
            await tx.connection.run_sync(_opened.create, checkfirst=True)

    async def trips_of(self, request_id: str) -> int:
        query = sa.select(sa.func.count()).where(_opened.c.request_id == request_id)
        async with self.database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def events(self) -> list[Event]:
        async with self.database.reading() as connection:
            bodies = (await connection.execute(sa.select(outbox.c.body).order_by(outbox.c.seq))).scalars().all()
        decode = msgspec.json.Decoder(AnyEvent).decode
        return [decode(body) for body in bodies]

    async def answers(self) -> dict[str, StoredAnswer]:
        async with self.database.reading() as connection:
            rows = (await connection.execute(sa.select(answers))).all()
        return {row.scope_key: StoredAnswer(row.status, row.body) for row in rows}

    async def end_trip(self, request_id: str) -> None:
        async with self.database.transaction() as tx:
            await end_trip(tx, request_id)

    async def close(self) -> None:
        await self.database.close()
