"""All rooms of one engine, connected: made of stores, whatever those are."""

from __future__ import annotations

import random
from dataclasses import dataclass

from accounts.adapters.sql import SqlCodeWork, SqlDriverWork, SqlPeople, SqlRiderWork
from accounts.adapters.sql import SqlTransactions as AccountTransactions
from accounts.ratings import RatingDesk
from accounts.service import DriverDesk, RiderDesk
from accounts.sessions import CodeMaker, SessionDesk, SessionPorts
from app.link import Link
from app.readiness import readiness
from app.stores import Stores
from app.wiring import board, edge, rides, trips
from app.wiring.apps import Alone, Apps, Elsewhere
from app.wiring.board import Board
from app.wiring.cabs import Cabs
from app.wiring.drivers import AccountWatch, Desk, DriverRooms, DriverTokens
from app.wiring.duty import Duty
from app.wiring.elsewhere import SocketsHere, TrailsAnywhere, answer_hosts
from app.wiring.journal import Journal
from app.wiring.lanes import Lanes
from app.wiring.people import Cards, LoggedCodes, People, SignIn, StarRatings
from app.wiring.segments import segment_desk
from app.wiring.supply import StoredSupply, SupplyReads
from app.wiring.traffic import TripsDriven
from core.events import ClosuresChanged, Event, SegmentsChanged, TripCompleted, TripRated, ZonesChanged
from dispatch.adapters.profiles import SqlProfiles
from dispatch.adapters.sql import SqlStore
from dispatch.ports import Ports
from dispatch.searches import SEARCH_EVENTS
from dispatch.service import RideDesk
from location.adapters.sql import SqlQueues
from location.gateway import Gateway, GatewayParts
from location.live import LiveDrivers
from location.messages import schemas
from location.queues import QueueParts
from location.supply import Supply
from maps.adapters.roads import SqlClosures, SqlTraffic
from maps.adapters.sql import SqlZones
from maps.cellrules import CellRules
from maps.cities import City
from maps.learner import LearnerPorts, TrafficLearner
from maps.roaddesk import RoadDesk
from maps.segmentdesk import SegmentDesk
from maps.segments import region_of
from maps.zonedesk import ZoneDesk
from payments.adapters.sql import SqlQuoteReader
from payments.adapters.sql import SqlTransactions as QuoteTransactions
from payments.quotes import QuoteDesk, QuotePorts
from runtime.auth import Tokens
from runtime.idempotency import IdempotencyStore
from runtime.kafka.topics import partition_of
from runtime.lease import Lease
from runtime.settings import Settings
from trips.adapters.sql import SqlLiveTrips
from trips.adapters.sql import SqlTransactions as TripTransactions
from trips.archive import Archiver
from trips.billing import Billing, BillingPorts
from trips.history import History
from trips.ports import LiveTrips
from trips.service import DeskPorts, TripDesk
from web.engine import Engine, Security
from web.hub import Hub


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
    zones: ZoneDesk
    roads: RoadDesk
    segments: SegmentDesk
    learner: TrafficLearner
    board_group: str  # of this host alone, like the next one
    maps_group: str

    async def prepare(self) -> None:
        """Know zones, segments and the times of the roads, and show again which trips are under way.

        What keeps a driver busy is read when the driver connects.
        """
        await self.zones.refresh()
        await self.roads.refresh()
        await self.segments.refresh()
        self.board.begin(await self.live_trips.active())


class _Connector:
    """Builds the rooms in the order in which they need each other; used once."""

    def __init__(self, city: City, stores: Stores, tokens: Tokens, settings: Settings, link: Link | None) -> None:
        self._link = link
        self._city = city
        self._stores = stores
        self._tokens = tokens
        self._settings = settings
        self.hub = Hub(settings.web.max_watchers, roll=link.roll.of("rider") if link else None)
        self.elsewhere: Elsewhere = link.elsewhere if link else Alone()
        self.apps = Apps(self.hub, self.elsewhere)
        self.board = Board()
        self.zones = ZoneDesk(city, SqlZones(stores.databases.trips), stores.ids, stores.clock, settings.maps)
        self.queues = SqlQueues(stores.databases.trips)
        self.times = SqlTraffic(stores.databases.trips)
        closures = SqlClosures(stores.databases.trips)
        self.roads = RoadDesk(city, (closures, self.times), stores.ids, stores.clock, settings, stores.speeds)
        self.live = LiveDrivers()
        self.segments = segment_desk(stores.databases.trips, self.live, stores.wall, settings.segments)
        stores.redis.on_loss(self.live.tell_again)
        self.supply = Supply(
            self.live, stores.supply, stores.clock, fresh_s=settings.location.fresh_s, stream=stores.positions
        )
        self.people = SqlPeople(stores.databases.riders, stores.databases.drivers)
        self.rider_work = AccountTransactions(stores.databases.riders, SqlRiderWork)
        self.driver_work = AccountTransactions(stores.databases.drivers, SqlDriverWork)
        self.live_trips = SqlLiveTrips(stores.databases.trips)
        self.history = History(self.live_trips, stores.archives.trips, settings.trips)
        self.transactions = TripTransactions(stores.databases.trips, trips.RequestEnds())
        rested = stores.archives.trips
        self.audience = trips.Audience(self.apps, Duty(self.supply), self.live_trips, rested, self.elsewhere)
        self.trails_here = trips.TrailsHere(self.live)
        self.ways = trips.TrailWays(stores.archives.trails, stores.routes, city.paths, settings.driven)
        self.reads = SupplyReads(stores.supply, settings)
        self.cabs = Cabs(self.reads, self.segments, self.live, city, stores.clock)

    def quotes(self) -> QuoteDesk:
        stores, database = self._stores, self._stores.databases.payments
        ports = QuotePorts(
            transactions=QuoteTransactions(database),
            quotes=SqlQuoteReader(database),
            travel=rides.RoadTravel(self._city, self.zones),
            pickup_eta=self.cabs,
            surge_floor=self.zones.surge_floor,
        )
        return QuoteDesk(ports, stores.ids, stores.clock, self._settings.fares)

    def rides(self, quotes: QuoteDesk) -> RideDesk:
        stores, settings = self._stores, self._settings
        database, promises = stores.databases.trips, trips.Promises(SqlQuoteReader(stores.databases.payments))
        ports = Ports(
            store=SqlStore(database, lambda tx: rides.TripOpener(tx, stores.ids)),
            supply=StoredSupply(self.reads),
            travel=rides.RoadPickup(self._city),
            profiles=SqlProfiles(database, StarRatings(self.people), stores.clock, settings.dispatch),
            delivery=self.apps,
            quotes=rides.Prices(quotes, self._city, self.zones, settings.fares),
            papers=rides.Papers(Cards(self.people), promises),
            pickups=self.zones,
            queues=rides.AirportQueues(self.zones, self.queues, stores.supply),
            segments=self.segments,
            claims=stores.claims,
        )
        partitions = stores.bus.partitions
        return RideDesk(
            ports,
            settings,
            stores.clock,
            stores.ids,
            lane_of=lambda segment: partition_of(region_of(segment), partitions),
        )

    def trips(self) -> TripDesk:
        ports = DeskPorts(self.transactions, self.live_trips, self.history, self.audience)
        return TripDesk(ports, self._stores.clock, self._settings.trips)

    def billing(self) -> Billing:
        link = self._link
        complete = (
            TrailsAnywhere(self.trails_here, link.presence, link.calls, link.host.id) if link else self.trails_here
        )
        fares = trips.CityFares(self._settings.fares, self.zones.surge_floor)
        distance = trips.TrailDistance(self.ways, complete)
        ports = BillingPorts(self.transactions, self.live_trips, distance, fares, self.audience)
        return Billing(ports, self._stores.clock, self._settings.trips)

    def learner(self) -> TrafficLearner:
        stores = self._stores
        ports = LearnerPorts(
            driving=TripsDriven(self.live_trips, stores.archives.trails),
            trace=stores.routes.trace,
            store=self.times,
            lease=Lease(stores.databases.trips, "traffic", stores.owner),
        )
        return TrafficLearner(self._city, ports, stores.clock, self._settings.traffic)

    def riders(self) -> RiderDesk:
        return RiderDesk(self.rider_work, self.people, self._stores.ids, self._stores.clock)

    def drivers(self, watch: AccountWatch) -> DriverDesk:
        return DriverDesk(self.driver_work, self.people, watch, self._stores.ids, self._stores.clock)

    def sessions(self) -> SignIn:
        stores = self._stores
        codes = AccountTransactions(stores.databases.riders, SqlCodeWork)
        ports = SessionPorts(codes, self.people, LoggedCodes(), self._tokens.sign)
        maker = CodeMaker(random.SystemRandom(), self._tokens.derived_key("codes"))
        return SignIn(SessionDesk(ports, maker, stores.ids, stores.clock, self._settings.web))

    def gateway(self, desk: Desk) -> Gateway:
        parts = GatewayParts(
            authorize=DriverTokens(self._tokens, self._stores.tickets, self._stores.redis.check),
            use_ticket=self._stores.tickets.use,
            desk=desk,
            supply=self.supply,
            trail=self._stores.archives.trails,
            clock=self._stores.clock,
            settings=self._settings.location,
            segment_of=self.segments.known.locate,
            inside=self.zones.contains,
            cells=CellRules(lambda: self.segments.known.placing, lambda: self.zones.zones),
            queues=QueueParts(self.zones.queue_at, self.queues),
            roll=self._link.roll.of("driver") if self._link else None,
        )
        gateway = Gateway(parts, self._settings.web.host, self._settings.web.gateway_port)
        self.apps.gateway = gateway
        return gateway


def connect_rooms(city: City, stores: Stores, tokens: Tokens, settings: Settings, link: Link | None = None) -> Rooms:
    """Build every room and join them; nothing runs yet. `link`: None where no other host is."""
    made = _Connector(city, stores, tokens, settings, link)
    quotes = made.quotes()
    ride_desk, trip_desk, billing = made.rides(quotes), made.trips(), made.billing()
    watch = AccountWatch(made.supply, ride_desk, made.elsewhere)
    riders, drivers = made.riders(), made.drivers(watch)
    gateway = made.gateway(Desk(DriverRooms(drivers, ride_desk, trip_desk, made.supply, made.audience)))
    if link is not None:
        answer_hosts(link.server, SocketsHere(made.apps, gateway), made.audience, watch, made.trails_here)
    bus, here = stores.bus, f".{link.host.id}" if link else ""
    board_group, maps_group = f"board{here}", f"maps{here}"
    bus.subscribe("dispatch", SEARCH_EVENTS, ride_desk.searches.heard)
    bus.share("dispatch", Lanes(ride_desk.searches))
    bus.subscribe("audience", trips.TRIP_EVENTS, made.audience.handle)
    bus.subscribe("billing", [TripCompleted], billing.handle)
    bus.subscribe("ratings", [TripRated], RatingDesk(made.rider_work, made.driver_work).handle)
    bus.subscribe(board_group, board.EVENTS, made.board.heard, from_now=True)
    bus.subscribe(maps_group, [ZonesChanged], made.zones.heard, from_now=True)
    bus.subscribe(maps_group, [ClosuresChanged], made.roads.heard, from_now=True)
    bus.subscribe(maps_group, [SegmentsChanged], made.segments.heard, from_now=True)
    bus.subscribe("journal", [Event], Journal(stores.metrics).note)
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
        rides=edge.Rides(ride_desk, riders, stores.redis.check),
        trips=edge.Trips(trip_desk, made.history, made.ways),
        cabs=made.cabs,
        city=edge.CityMap(city, stores.routes),
        tracks=edge.Tracks(stores.archives.trails, stores.clock, settings),
        fleet=edge.Fleet(stores.supply, ride_desk, made.board, made.segments, made.zones),
        zones=made.zones,
        segments=made.segments,
        closures=made.roads,
        roads=made.roads,
        readiness=readiness(stores),
        driver_schemas=schemas(),
        gateway_port=lambda: gateway.port,
        geographies=stores.geographies,
    )
    archiver = Archiver(made.transactions, made.live_trips, stores.archives.trips, settings.trips)
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
        zones=made.zones,
        roads=made.roads,
        learner=made.learner(),
        board_group=board_group,
        segments=made.segments,
        maps_group=maps_group,
    )
