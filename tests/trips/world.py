"""The trips room on SQLite with small fakes around it, for its tests."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import sqlalchemy as sa

from core.events import AnyEvent
from core.geo import LatLng
from core.ids import Ids
from core.money import Money
from runtime.clocks import ManualClock
from runtime.settings import TripSettings
from runtime.sql import Database, Transaction, outbox
from trips.adapters.memory import MemoryTripArchive
from trips.adapters.sql import SqlLiveTrips, SqlTransactions, SqlTripBook
from trips.archive import Archiver
from trips.billing import Billing, BillingPorts
from trips.history import History
from trips.model import DriverCard, NewTrip, QuoteTerms, Trip, TripDriver, TripPapers, TripVehicle, fix_fare
from trips.ports import Driven, FareAsk, TripArchive
from trips.service import DeskPorts, TripDesk

HAGA, LINNE = LatLng(57.6989, 11.9573), LatLng(57.6965, 11.9520)
QUOTE = QuoteTerms("quo_1", Money(20_000, "SEK"), 8_000.0, 900.0, 1.0)
SETTINGS = TripSettings(archive_batch=4)


class Requests:
    """Remembers which requests were ended, in transactions that committed or not."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.fails = False

    async def end_trip(self, tx: Transaction, request_id: str) -> None:
        if self.fails:
            raise RuntimeError("the request cannot be ended")
        self.ended.append(request_id)


class Audience:
    """Remembers what was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def changed(self, trip: Trip) -> None:
        self.told.append((trip.trip_id, trip.status))

    async def priced(self, trip: Trip) -> None:
        self.told.append((trip.trip_id, "priced"))


class Trail:
    """The distance of any trip; raises what it is given."""

    def __init__(self) -> None:
        self.driven = Driven(8_200.0, "matched")
        self.error: Exception | None = None
        self.asked = 0

    async def __call__(self, trip: Trip, /) -> Driven:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.driven


class Tariff:
    """Prices everything the same and remembers what it was asked."""

    def __init__(self) -> None:
        self.asks: list[FareAsk] = []

    def __call__(self, ask: FareAsk, /) -> Money:
        self.asks.append(ask)
        return Money(21_000, "SEK")


CARD = DriverCard(TripDriver("Dora", 4.8), TripVehicle("ABC123", "standard", 4))


@dataclass
class World:
    """Everything together. `database` is the main store; the archive is in memory unless given."""

    database: Database
    clock: ManualClock
    ids: Ids
    archive: TripArchive = field(default_factory=MemoryTripArchive)
    requests: Requests = field(default_factory=Requests)
    audience: Audience = field(default_factory=Audience)
    trail: Trail = field(default_factory=Trail)
    tariff: Tariff = field(default_factory=Tariff)

    def __post_init__(self) -> None:
        self.live = SqlLiveTrips(self.database)
        self.transactions = SqlTransactions(self.database, self.requests)
        self.history = History(self.live, self.archive, SETTINGS)
        ports = DeskPorts(self.transactions, self.live, self.history, self.audience)
        self.desk = TripDesk(ports, self.clock, SETTINGS)
        billing = BillingPorts(self.transactions, self.live, self.trail, self.tariff, self.audience)
        self.billing = Billing(billing, self.clock, SETTINGS)
        self.archiver = Archiver(self.transactions, self.live, self.archive, SETTINGS)

    async def open(self, n: int = 1, rider: str = "rdr_1", driver: str = "drv_1", quote_id: str | None = None) -> Trip:
        """A fresh trip of request `n`."""
        new = NewTrip(
            request_id=f"req_{n}",
            rider_id=rider,
            driver_id=driver,
            pickup=HAGA,
            dropoff=LINNE,
            mode="best",
            segment="881f25a5b7fffff",
            assigned_at=self.clock.now(),
            papers=TripPapers(CARD, QUOTE if quote_id == QUOTE.quote_id else None),
        )
        async with self.database.transaction() as tx:
            return await SqlTripBook(tx, self.ids).open(new)

    async def ride(self, n: int = 1, rider: str = "rdr_1", driver: str = "drv_1", quote_id: str | None = None) -> Trip:
        """A trip driven to its end."""
        trip = await self.open(n, rider, driver, quote_id)
        await self.desk.arrive(driver, trip.trip_id)
        await self.desk.board(driver, trip.trip_id, trip.start_code)
        self.clock._now += 600  # no sleepers to wake: turning the clock by hand is quicker than advancing it
        return await self.desk.complete(driver, trip.trip_id)

    async def price(self, trip: Trip) -> Trip:
        """Fix the fare without the billing."""
        async with self.transactions() as uow:
            stored = await uow.trips.get(trip.trip_id)
            assert stored is not None
            priced = fix_fare(stored, Money(9_500, "SEK"), 8_000.0, "matched", self.clock.now())
            await uow.trips.save(priced)
        return priced

    async def published(self) -> list[AnyEvent]:
        """What stands in the outbox, in order."""
        async with self.database.reading() as connection:
            bodies = (await connection.execute(sa.select(outbox.c.body).order_by(outbox.c.seq))).scalars().all()
        return [msgspec.json.decode(body, type=AnyEvent) for body in bodies]


async def new_world(url: str, clock: ManualClock, ids: Ids, archive: TripArchive | None = None) -> World:
    """A world on an empty database; close it in the end."""
    database = Database(url)
    await database.create_all()
    return World(database, clock, ids, archive or MemoryTripArchive())
