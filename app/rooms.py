"""All rooms of one engine, connected: made of stores, whatever those are."""

from __future__ import annotations

import random
from dataclasses import dataclass

from accounts.adapters.sql import SqlPeople, SqlRatings
from accounts.adapters.sql import SqlTransactions as AccountTransactions
from accounts.service import DriverDesk, RiderDesk
from accounts.sessions import CodeMaker, SessionDesk, SessionPorts
from app.wiring import board, edge, rides, trips
from app.wiring.apps import Alone, Apps
from app.wiring.board import Board
from app.wiring.drivers import AccountWatch, Desk, DriverRooms, DriverTokens
from app.wiring.duty import Duty
from app.wiring.journal import Journal
from app.wiring.people import LoggedCodes, People, SignIn, StarRatings, driver_card
from core.clock import Clock
from core.events import Event, TripCompleted
from core.ids import Ids
from dispatch.adapters.profiles import SqlProfiles
from dispatch.adapters.sql import SqlStore
from dispatch.ports import Ports
from dispatch.service import RideDesk
from location.area import ServiceArea
from location.gateway import Gateway, GatewayParts
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
from runtime.redis_watch import RedisWatch
from runtime.settings import Settings
from runtime.sql import Database
from runtime.telemetry import Metrics
from trips.adapters.sql import SqlLiveTrips, TripSources
from trips.adapters.sql import SqlTransactions as TripTransactions
from trips.archive import Archiver
from trips.billing import Billing, BillingPorts
from trips.history import History
from trips.ports import LiveTrips, TripArchive
from trips.service import DeskPorts, TripDesk
from web.engine import Engine, Security
from web.hub import Hub


@dataclass(frozen=True, slots=True)
class Stores:
    """Where things are kept and what time it is: all that differs between compositions."""

    main: Database
    archive: Database
    redis: RedisWatch
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
        stores.redis.on_loss(self.live.tell_again)
        self.supply = Supply(self.live, stores.supply, stores.clock, fresh_s=settings.location.fresh_s)
        self.people = SqlPeople(stores.main)
        self.live_trips = SqlLiveTrips(stores.main)
        self.history = History(self.live_trips, stores.trips, settings.trips)
        self.transactions = TripTransactions(stores.main, trips.RequestEnds(), SqlRatings())
        self.audience = trips.Audience(self.apps, Duty(self.supply), self.live_trips, elsewhere)
        self.cabs = edge.Cabs(stores.supply, city, stores.clock, settings)

    def quotes(self) -> QuoteDesk:
        stores = self._stores
        ports = QuotePorts(
            transactions=QuoteTransactions(stores.main),
            quotes=SqlQuoteReader(stores.main),
            travel=rides.RoadTravel(self._city),
            pickup_eta=self.cabs,
        )
        return QuoteDesk(ports, stores.ids, stores.clock, self._settings.fares)

    def rides(self, quotes: QuoteDesk) -> RideDesk:
        stores, settings = self._stores, self._settings
        sources = TripSources(stores.ids, driver_card, trips.quote_terms)
        ports = Ports(
            store=SqlStore(stores.main, lambda tx: rides.TripOpener(tx, sources)),
            supply=rides.StoredSupply(stores.supply),
            travel=rides.RoadPickup(self._city),
            profiles=SqlProfiles(stores.main, StarRatings(self.people), stores.clock, settings.dispatch),
            delivery=self.apps,
            quotes=rides.Prices(quotes, self._city, settings.fares),
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
        transactions = AccountTransactions(stores.main)
        riders = RiderDesk(transactions, self.people, stores.ids, stores.clock)
        watch = AccountWatch(self.supply, ride_desk)
        return riders, DriverDesk(transactions, self.people, watch, stores.ids, stores.clock)

    def sessions(self) -> SignIn:
        stores = self._stores
        ports = SessionPorts(AccountTransactions(stores.main), self.people, LoggedCodes(), self._tokens.sign)
        maker = CodeMaker(random.SystemRandom(), self._tokens.derived_key("codes"))
        return SignIn(SessionDesk(ports, maker, stores.ids, stores.clock, self._settings.web))

    def gateway(self, desk: Desk) -> Gateway:
        parts = GatewayParts(
            authorize=DriverTokens(self._tokens, self._stores.tickets, self._stores.redis.check),
            use_ticket=self._stores.tickets.use,
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
    stores.bus.subscribe("board", board.EVENTS, made.board.heard)
    stores.bus.subscribe("journal", [Event], Journal(stores.metrics).note)
    engine = Engine(
        clock=stores.clock,
        wall=stores.wall,
        security=Security(tokens, stores.tickets, IdempotencyStore(stores.main, stores.clock, settings.runtime)),
        hub=made.hub,
        metrics=stores.metrics,
        sessions=made.sessions(),
        accounts=People(riders, drivers),
        quotes=edge.Quotes(quotes),
        rides=edge.Rides(ride_desk, riders, stores.redis.check),
        trips=edge.Trips(trip_desk, made.history, stores.trails),
        cabs=made.cabs,
        city=edge.CityMap(city),
        tracks=edge.Tracks(stores.trails, stores.clock, settings),
        fleet=edge.Fleet(stores.supply, ride_desk, made.board),
        readiness={"sql": _Answers(stores.main), "archive": _Answers(stores.archive), "redis": _Redis(stores.redis)},
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
        board=made.board,
        live=made.live,
        live_trips=made.live_trips,
    )


class _Answers:
    """web's Check of a SQL store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> None:
        async with self._database.reading():
            pass


class _Redis:
    """web's Check of the supply's store."""

    def __init__(self, watch: RedisWatch) -> None:
        self._watch = watch

    async def __call__(self) -> None:
        await self._watch.ready()
