"""All rooms of one engine, connected: made of stores, whatever those are."""

from __future__ import annotations

import random
from dataclasses import dataclass

from accounts.adapters.sql import SqlCodeWork, SqlDriverWork, SqlPeople, SqlRiderWork
from accounts.adapters.sql import SqlTransactions as AccountTransactions
from accounts.ratings import RatingDesk
from accounts.service import DriverDesk, RiderDesk
from accounts.sessions import CodeMaker, SessionDesk, SessionPorts
from app.databases import Databases
from app.wiring import board, edge, rides, trips
from app.wiring.apps import Alone, Apps
from app.wiring.board import Board
from app.wiring.drivers import AccountWatch, Desk, DriverRooms, DriverTokens
from app.wiring.duty import Duty
from app.wiring.journal import Journal
from app.wiring.people import Cards, LoggedCodes, People, SignIn, StarRatings
from core.clock import Clock
from core.events import Event, TripCompleted, TripRated
from core.ids import Ids
from dispatch.adapters.profiles import SqlProfiles
from dispatch.adapters.sql import SqlStore
from dispatch.ports import Ports
from dispatch.service import RideDesk
from location.area import ServiceArea
from location.gateway.server import Gateway, GatewayParts
from location.live import LiveDrivers
from location.messages import schemas
from location.ports import SupplyStore, TrailLog
from location.supply import Supply
from maps.cities import City
from maps.routes import RouteWorkers
from maps.segments import segment_of
from payments.adapters.sql import SqlQuoteReader
from payments.adapters.sql import SqlTransactions as QuoteTransactions
from payments.quotes import QuoteDesk, QuotePorts
from runtime.auth import Tickets, Tokens
from runtime.bus import MemoryBus
from runtime.geographies import Geographies
from runtime.idempotency import IdempotencyStore
from runtime.outbox import Relay
from runtime.settings import Settings
from runtime.sql import Database
from runtime.telemetry import Metrics
from runtime.valkey import Client
from trips.adapters.sql import SqlLiveTrips
from trips.adapters.sql import SqlTransactions as TripTransactions
from trips.archive import Archiver
from trips.billing import Billing, BillingPorts
from trips.history import History
from trips.ports import LiveTrips, TripArchive
from trips.service import DeskPorts, TripDesk
from web.engine import Engine, Security
from web.hub import Hub
from web.ports import Check


@dataclass(frozen=True, slots=True)
class Stores:
    """Where things are kept and what time it is: all that differs between compositions."""

    databases: Databases
    archive: Database
    redis: Client
    supply: SupplyStore
    trails: TrailLog
    trips: TripArchive
    routes: RouteWorkers
    bus: MemoryBus
    relay: Relay
    clock: Clock
    wall: Clock
    ids: Ids
    tickets: Tickets
    metrics: Metrics
    geographies: Geographies


@dataclass(frozen=True, slots=True)
class Rooms:
    """The services of one engine."""

    edge: Engine
    gateway: Gateway
    supply: Supply
    rides: RideDesk
    trips: TripDesk
    billing: Billing
    archiver: Archiver
    quotes: QuoteDesk
    answers: IdempotencyStore
    board: Board
    live: LiveDrivers
    live_trips: LiveTrips

    async def note_trips(self) -> None:
        """Show again which trips are under way; what keeps a driver busy is read when the driver connects."""
        self.board.begin(await self.live_trips.active())


class _Connector:
    """Builds the rooms in the order in which they need each other; used once."""

    def __init__(self, city: City, stores: Stores, tokens: Tokens, settings: Settings) -> None:
        self._city = city
        self._stores = stores
        self._tokens = tokens
        self._settings = settings
        self.hub = Hub(settings.web.max_watchers)
        elsewhere = Alone()
        self.apps = Apps(self.hub, elsewhere)
        self.board = Board()
        self.live = LiveDrivers()
        self.supply = Supply(self.live, stores.supply, stores.clock, fresh_s=settings.location.fresh_s)
        databases = stores.databases
        self.people = SqlPeople(databases.riders, databases.drivers)
        self.rider_work = AccountTransactions(databases.riders, SqlRiderWork)
        self.driver_work = AccountTransactions(databases.drivers, SqlDriverWork)
        self.live_trips = SqlLiveTrips(databases.trips)
        self.history = History(self.live_trips, stores.trips, settings.trips)
        self.transactions = TripTransactions(databases.trips, trips.RequestEnds())
        self.audience = trips.Audience(self.apps, Duty(self.supply), self.live_trips, elsewhere)
        self.cabs = edge.Cabs(stores.supply, city, stores.clock, settings)

    def quotes(self) -> QuoteDesk:
        stores, database = self._stores, self._stores.databases.payments
        ports = QuotePorts(
            transactions=QuoteTransactions(database),
            quotes=SqlQuoteReader(database),
            travel=rides.RoadTravel(self._city),
            pickup_eta=self.cabs,
        )
        return QuoteDesk(ports, stores.ids, stores.clock, self._settings.fares)

    def rides(self, quotes: QuoteDesk) -> RideDesk:
        stores, settings = self._stores, self._settings
        database, promises = stores.databases.trips, trips.Promises(SqlQuoteReader(stores.databases.payments))
        ports = Ports(
            store=SqlStore(database, lambda tx: rides.TripOpener(tx, stores.ids)),
            supply=rides.StoredSupply(stores.supply),
            travel=rides.RoadPickup(self._city),
            profiles=SqlProfiles(database, StarRatings(self.people), stores.clock, settings.dispatch),
            delivery=self.apps,
            quotes=rides.Prices(quotes, self._city, settings.fares),
            papers=rides.Papers(Cards(self.people), promises),
        )
        return RideDesk(ports, settings, stores.clock, stores.ids)

    def trips(self) -> TripDesk:
        ports = DeskPorts(self.transactions, self.live_trips, self.history, self.audience)
        return TripDesk(ports, self._stores.clock, self._settings.trips)

    def billing(self) -> Billing:
        distance = trips.MatchedDistance(self._stores.trails, self._stores.routes, self.live)
        fares = trips.CityFares(self._settings.fares)
        ports = BillingPorts(self.transactions, self.live_trips, distance, fares, self.audience)
        return Billing(ports, self._stores.clock, self._settings.trips)

    def accounts(self, ride_desk: RideDesk) -> tuple[RiderDesk, DriverDesk]:
        stores = self._stores
        riders = RiderDesk(self.rider_work, self.people, stores.ids, stores.clock)
        watch = AccountWatch(self.supply, ride_desk)
        return riders, DriverDesk(self.driver_work, self.people, watch, stores.ids, stores.clock)

    def sessions(self) -> SignIn:
        stores = self._stores
        codes = AccountTransactions(stores.databases.riders, SqlCodeWork)
        ports = SessionPorts(codes, self.people, LoggedCodes(), self._tokens.sign)
        maker = CodeMaker(random.SystemRandom(), self._tokens.derived_key("codes"))
        return SignIn(SessionDesk(ports, maker, stores.ids, stores.clock, self._settings.web))

    def gateway(self, desk: Desk) -> Gateway:
        parts = GatewayParts(
            authorize=DriverTokens(self._tokens, self._stores.tickets),
            desk=desk,
            supply=self.supply,
            trail=self._stores.trails,
            clock=self._stores.clock,
            settings=self._settings.location,
            segment_of=segment_of,
            inside=ServiceArea(self._city.service_area),
        )
        gateway = Gateway(parts, self._settings.web.host, self._settings.web.gateway_port)
        self.apps.gateway = gateway
        return gateway


def connect_rooms(city: City, stores: Stores, tokens: Tokens, settings: Settings) -> Rooms:
    """Build every room and join them; nothing runs yet."""
    made = _Connector(city, stores, tokens, settings)
    quotes = made.quotes()
    ride_desk, trip_desk, billing = made.rides(quotes), made.trips(), made.billing()
    riders, drivers = made.accounts(ride_desk)
    gateway = made.gateway(Desk(DriverRooms(drivers, ride_desk, trip_desk, made.supply, made.audience)))
    stores.bus.subscribe("audience", trips.TRIP_EVENTS, made.audience.handle)
    stores.bus.subscribe("billing", [TripCompleted], billing.handle)
    stores.bus.subscribe("ratings", [TripRated], RatingDesk(made.rider_work, made.driver_work).handle)
    stores.bus.subscribe("board", board.EVENTS, made.board.heard)
    stores.bus.subscribe("journal", [Event], Journal(stores.metrics).note)
    answers = IdempotencyStore(stores.databases.trips, stores.clock, settings.runtime)
    engine = Engine(
        clock=stores.clock,
        wall=stores.wall,
        security=Security(tokens, stores.tickets, answers),
        hub=made.hub,
        metrics=stores.metrics,
        sessions=made.sessions(),
        accounts=People(riders, drivers),
        quotes=edge.Quotes(quotes),
        rides=edge.Rides(ride_desk, riders),
        trips=edge.Trips(trip_desk, made.history, stores.trails),
        cabs=made.cabs,
        city=edge.CityMap(city),
        tracks=edge.Tracks(stores.trails, stores.clock, settings),
        fleet=edge.Fleet(stores.supply, ride_desk, made.board),
        readiness=_readiness(stores),
        driver_schemas=schemas(),
        gateway_port=lambda: gateway.port,
        geographies=stores.geographies,
    )
    archiver = Archiver(made.transactions, made.live_trips, stores.trips, settings.trips)
    return Rooms(
        edge=engine,
        gateway=gateway,
        supply=made.supply,
        rides=ride_desk,
        trips=trip_desk,
        billing=billing,
        archiver=archiver,
        quotes=quotes,
        answers=answers,
        board=made.board,
        live=made.live,
        live_trips=made.live_trips,
    )


def _readiness(stores: Stores) -> dict[str, Check]:
    each = stores.databases.each()
    sql = {"sql" if len(each) == 1 else f"sql {', '.join(rooms)}": _Answers(database) for database, rooms in each}
    return {**sql, "archive": _Answers(stores.archive), "redis": _Redis(stores.redis)}


class _Answers:
    """web's Check of a SQL store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> None:
        await self._database.ping()


class _Redis:
    """web's Check of the supply's store."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self) -> None:
        await self._client.exists("ready")
