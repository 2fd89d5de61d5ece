"""Accounts, dispatch, trips, billing and a gateway as the engine wires them, on SQLite, with fakes at the edges."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import sqlalchemy as sa
from websockets.asyncio.client import connect

from accounts.adapters.sql import SqlDriverWork, SqlPeople, SqlRiderWork, drivers
from accounts.adapters.sql import SqlTransactions as AccountTransactions
from accounts.model import DriverPatch, NewDriver, Vehicle
from accounts.ratings import RatingDesk
from accounts.service import DriverDesk, RiderDesk
from app.databases import open_databases
from app.wiring import rides, trips
from app.wiring.apps import Alone, Apps
from app.wiring.board import Board
from app.wiring.drivers import AccountWatch, Desk, DriverRooms
from app.wiring.duty import Duty
from app.wiring.people import Cards
from app.wiring.supply import StoredSupply, SupplyReads
from core.errors import Unavailable
from core.events import AnyEvent
from core.geo import FloatArray, LatLng
from core.ids import Ids
from dispatch.adapters.sql import SqlStore
from dispatch.model import RequestRide, RideRequest
from dispatch.ports import Ports
from dispatch.searches import ONE_LANE
from dispatch.service import RideDesk
from location.adapters.memory import MemorySupply
from location.adapters.sqlite_trail import SqliteTrail
from location.gateway import Gateway, GatewayParts
from location.live import LiveDrivers
from location.model import TrailPoint
from location.supply import Supply
from maps.adapters.memory import MemorySegments
from maps.knownsegments import KnownSegments
from maps.matching import Matched, Part
from maps.paths import NoRoute, Paths
from maps.paths import Path as RoadPath
from maps.routes import RouteWorkers
from maps.segmentdesk import SegmentDesk
from maps.segments import segment_of
from payments.adapters.sql import SqlQuoteReader
from runtime.auth import Identity
from runtime.clocks import ManualClock
from runtime.settings import LocationSettings, Settings
from runtime.sql import Database, outbox
from tests.dispatch.world import AIRPORT, CENTRE, FakeProfiles, FakeQuotes, FakeTravel
from tests.location.conftest import App
from trips.adapters.memory import MemoryTripArchive
from trips.adapters.sql import SqlLiveTrips
from trips.adapters.sql import SqlTransactions as TripTransactions
from trips.archive import Archiver
from trips.billing import Billing, BillingPorts
from trips.history import History
from trips.model import Trip
from trips.service import DeskPorts, TripDesk
from web.hub import Hub

SETTINGS = Settings(location=LocationSettings(tick_s=0.01, ack_every_s=0.03, idle_trail_s=0.02, close_grace_s=0.3))


class Trails(SqliteTrail):
    """A trail log that can be away."""

    away = False

    async def append(self, points: Sequence[TrailPoint]) -> None:
        if self.away:
            raise Unavailable("the archive is away")
        await super().append(points)


class RestedTrips(MemoryTripArchive):
    """An archive of trips that can be away."""

    away = False

    async def get(self, trip_id: str) -> Trip | None:
        if self.away:
            raise Unavailable("the archive is away")
        return await super().get(trip_id)


class Nobody:
    """The TripAudience of a process whose calls do not get here."""

    async def changed(self, trip: Trip) -> None: ...

    async def priced(self, trip: Trip) -> None: ...


class Routes:
    """Route workers who remember the trails that they were asked to match."""

    def __init__(self) -> None:
        self.trails: list[int] = []

    async def match(self, lat: FloatArray, lng: FloatArray, at_s: FloatArray) -> Matched:
        self.trails.append(len(at_s))
        shape = [LatLng(*place) for place in zip(lat.tolist(), lng.tolist(), strict=True)]
        return Matched([Part(100.0 * len(shape), shape, 0, len(shape) - 1)])


class NoPaths:
    """A town without roads between its places."""

    def path(self, start: LatLng, end: LatLng) -> RoadPath:
        raise NoRoute("no road")


class Riders(Hub):
    """Remembers what riders are told."""

    def __init__(self) -> None:
        super().__init__(10)
        self.told: list[dict[str, Any]] = []

    def tell(self, rider_id: str, message: dict[str, Any]) -> bool:
        self.told.append(message)
        return True


class Town:
    """All of it. Nobody relays events but `relay`."""

    def __init__(self, folder: Path, clock: ManualClock, settings: Settings) -> None:
        self.clock, self.settings = clock, settings
        ids = Ids(clock, random.Random(7))
        self.databases = open_databases(settings.sql, f"sqlite+aiosqlite:///{folder / 'main.db'}")
        self.main = self.databases.trips
        self.archive = Database(f"sqlite+aiosqlite:///{folder / 'archive.db'}")
        self.trails, self.routes = Trails(self.archive), Routes()
        self.riders, self.board, self.live, self.store = Riders(), Board(), LiveDrivers(), MemorySupply()
        self.elsewhere = Alone()
        self.apps = Apps(self.riders, self.elsewhere)
        self.supply = Supply(self.live, self.store, clock, fresh_s=settings.location.fresh_s)
        self.live_trips, self.rested = SqlLiveTrips(self.main), RestedTrips()
        self.audience = trips.Audience(self.apps, Duty(self.supply), self.live_trips, self.rested, self.elsewhere)
        transactions = TripTransactions(self.main, trips.RequestEnds())
        history = History(self.live_trips, self.rested, settings.trips)
        self.trips = TripDesk(DeskPorts(transactions, self.live_trips, history, self.audience), clock, settings.trips)
        self.trips_elsewhere = TripDesk(
            DeskPorts(transactions, self.live_trips, history, Nobody()), clock, settings.trips
        )
        self.archiver = Archiver(transactions, self.live_trips, self.rested, settings.trips)
        routes, paths = cast(RouteWorkers, self.routes), cast(Paths, NoPaths())
        ways = trips.TrailWays(self.trails, routes, paths, settings.driven)
        distance = trips.TrailDistance(ways, trips.TrailsHere(self.live))
        billing = BillingPorts(
            transactions, self.live_trips, distance, trips.CityFares(settings.fares, lambda _: 1.0), self.audience
        )  # fmt: skip
        self.billing = Billing(billing, clock, settings.trips)
        people = SqlPeople(self.databases.riders, self.databases.drivers)
        driver_work = AccountTransactions(self.databases.drivers, SqlDriverWork)
        rider_work = AccountTransactions(self.databases.riders, SqlRiderWork)
        self.ratings = RatingDesk(rider_work, driver_work)
        self.people = RiderDesk(rider_work, people, ids, clock)
        self.papers = rides.Papers(Cards(people), trips.Promises(SqlQuoteReader(self.databases.payments)))
        ports = Ports(
            store=SqlStore(self.main, lambda tx: rides.TripOpener(tx, ids)),
            supply=StoredSupply(SupplyReads(self.store, settings)),
            travel=FakeTravel(),
            profiles=FakeProfiles(),
            delivery=self.apps,
            quotes=FakeQuotes(),
            papers=self.papers,
            segments=SegmentDesk(MemorySegments(), KnownSegments(settings.segments, lambda: 0.0), clock),
        )
        self.rides = RideDesk(ports, settings, clock, ids)
        watch = AccountWatch(self.supply, self.rides, self.elsewhere)
        self.accounts = DriverDesk(driver_work, people, watch, ids, clock)
        self.rooms = DriverRooms(self.accounts, self.rides, self.trips, self.supply, self.audience)
        self.gateway: Gateway

    async def open(self, desk: Desk | None = None) -> None:
        """Serve; with another desk than the engine's where one is given."""
        await self.rides.searches.take(ONE_LANE)
        parts = GatewayParts(
            authorize=lambda token, _ticket: Identity("driver", str(token)),
            desk=desk or Desk(self.rooms),
            supply=self.supply,
            trail=self.trails,
            clock=self.clock,
            settings=self.settings.location,
            segment_of=segment_of,
        )
        self.gateway = self.apps.gateway = Gateway(parts, "127.0.0.1", 0)
        await self.gateway.start()

    async def close(self) -> None:
        await self.rides.close()
        await self.gateway.close()
        await self.databases.close()
        await self.archive.close()

    async def hire(self, name: str = "Bo", vehicle_class: str = "standard") -> str:
        """A driver who may work."""
        phone = f"+4670{random.Random(name).randrange(1_000_000, 9_999_999)}"
        vehicle = Vehicle("ABC123", cast(Any, vehicle_class), 4)
        return (await self.accounts.create(NewDriver(name, phone, vehicle), by_ops=True)).driver_id

    async def suspend(self, driver_id: str) -> None:
        """As an operator does."""
        await self.accounts.change(driver_id, DriverPatch(status="suspended"), by_ops=True)

    async def suspend_unheard(self, driver_id: str) -> None:
        """Suspended in the store, while this process has not heard of it."""
        async with self.databases.drivers.transaction() as tx:
            await tx.connection.execute(
                sa.update(drivers).where(drivers.c.driver_id == driver_id).values(status="suspended")
            )

    @contextlib.asynccontextmanager
    async def app(self, driver_id: str) -> AsyncIterator[App]:
        """A driver's app that has not heard its welcome yet."""
        headers = {"Authorization": f"Bearer {driver_id}"}
        url = f"ws://127.0.0.1:{self.gateway.port}/v1/driver/ws"
        async with connect(url, additional_headers=headers, compression=None, ping_interval=None) as socket:
            yield App(socket, binary=False)

    @contextlib.asynccontextmanager
    async def working(self, driver_id: str, north_m: float = 100.0) -> AsyncIterator[App]:
        """A driver's app, online and seen at a place north of the centre."""
        async with self.app(driver_id) as app:
            await app.hear("welcome")
            await app.say("status", online=True)
            await self.until(lambda: self.live.driver(driver_id).online)
            await app.say("ping", **self.ping(1, north_m))
            await self.until(lambda: self.live.driver(driver_id).in_supply)
            await self.supply.flush()
            yield app

    def ping(self, seq: int, north_m: float = 0.0) -> dict[str, Any]:
        """A ping of now."""
        here = LatLng(CENTRE.lat + north_m / 111_200, CENTRE.lng)
        return {"seq": seq, "ts": int(self.clock.now() * 1000), "lat": here.lat, "lng": here.lng}

    async def ask(self, rider_id: str = "rdr_1") -> RideRequest:
        """A ride request."""
        return await self.rides.request_ride(RequestRide(rider_id=rider_id, pickup=CENTRE, dropoff=AIRPORT))

    async def assigned(self, driver_id: str, app: App) -> Trip:
        """A trip of this driver."""
        await self.ask()
        await app.say("accept", offer_id=(await app.hear("offer"))["offer_id"])
        await self.until(lambda: self.live.driver(driver_id).trip_id is not None)
        trip = await self.live_trips.active_of("driver", driver_id)
        assert trip is not None
        return trip

    async def events(self) -> list[AnyEvent]:
        """What stands in the outbox, in order."""
        async with self.main.reading() as connection:
            bodies = (await connection.execute(sa.select(outbox.c.body).order_by(outbox.c.seq))).scalars().all()
        return [msgspec.json.decode(body, type=AnyEvent) for body in bodies]

    async def relay(self) -> None:
        """Hand out every event so far, again where that was done."""
        for event in await self.events():
            await self.audience.handle(event)
            await self.board.heard(event)
            await self.billing.handle(event)
            await self.ratings.handle(event)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.005)
