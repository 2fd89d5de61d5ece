"""What the HTTP edge needs: each class here is one of web's ports on the rooms' services."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from accounts.model import RiderClass
from accounts.service import RiderDesk
from app.wiring.board import Board
from app.wiring.trailbody import trail_body
from app.wiring.trips import TrailWays
from app.wiring.ways import guided_body, isochrone_body, matrix_body, route_body
from core.clock import Clock, rfc3339
from core.errors import NotFound, Unavailable
from core.events import Party
from core.geo import LatLng
from dispatch.model import RequestRide
from dispatch.service import RideDesk
from dispatch.views import request_body
from location.ports import SupplyStore, TrailLog
from maps.cities import City
from maps.routes import RouteWorkers
from maps.segmentdesk import SegmentDesk
from maps.segments import parse
from maps.zonedesk import ZoneDesk
from payments.quotes import QuoteDesk
from runtime.auth import Identity
from runtime.settings import Settings
from trips.history import History, TripPage
from trips.model import By
from trips.service import TripDesk
from trips.views import trip_body
from web.auth import party
from web.map_ports import TravelTime
from web.ports import Body, FleetSnapshot, Listed, Page, RideAsk


class Rides:
    """web's Rides. `drivers_known` raises Unavailable while nobody could be found: then no request is taken."""

    def __init__(self, desk: RideDesk, riders: RiderDesk, drivers_known: Callable[[], None]) -> None:
        self._desk = desk
        self._riders = riders
        self._drivers_known = drivers_known

    async def request(self, ask: RideAsk) -> Body:
        self._drivers_known()
        rider_class, answer = await self._class_of(ask), ask.answer
        request = await self._desk.request_ride(
            RequestRide(
                rider_id=ask.rider_id,
                pickup=ask.pickup,
                dropoff=ask.dropoff,
                rider_class=rider_class,
                quote_id=ask.quote_id,
                mode=ask.mode,
                vehicle_class=ask.vehicle_class,
                seats=ask.seats,
                by_ops=ask.by_ops,
                request_id=ask.request_id,
                answer=None if answer is None else lambda request: answer(request_body(request)),
            )
        )
        return request_body(request)

    async def _class_of(self, ask: RideAsk) -> RiderClass:
        """The rider's class. A rider's own token is enough to ride; operators must name a rider who exists."""
        try:
            return (await self._riders.get(ask.rider_id)).rider_class
        except NotFound:
            if ask.by_ops:
                raise
            return "standard"

    async def get(self, request_id: str) -> Body:
        return request_body(await self._desk.get(request_id, None))  # the edge has checked whose it is

    async def explain(self, request_id: str) -> Body:
        return await self._desk.explanations.of(request_id)

    async def recent_of_rider(self, rider_id: str, within_s: float) -> Body | None:
        request = await self._desk.recent_of_rider(rider_id, within_s)
        return None if request is None else request_body(request)

    async def cancel(self, request_id: str, by: Party) -> Body:
        return request_body(await self._desk.cancel(request_id, None))


class Trips:
    """web's Trips."""

    def __init__(self, desk: TripDesk, history: History, ways: TrailWays) -> None:
        self._desk = desk
        self._history = history
        self._ways = ways

    async def get(self, trip_id: str, by: Identity) -> Body:
        who = _by(by)
        return trip_body(await self._desk.get(trip_id, who), who.party)

    async def active_of_rider(self, rider_id: str) -> Body | None:
        trip = await self._desk.active_of_rider(rider_id)
        return None if trip is None else trip_body(trip, "rider")

    async def cancel(self, trip_id: str, by: Identity, reason: str) -> Body:
        who = _by(by)
        return trip_body(await self._desk.cancel(trip_id, who, reason), who.party)

    async def rate(self, trip_id: str, by: Identity, stars: int) -> Body:
        await self._desk.rate(trip_id, _by(by), stars)
        return await self.get(trip_id, by)

    async def trail(self, trip_id: str) -> Body:
        trip = await self._history.trip(trip_id, By("ops", "edge"))
        trail = await self._ways.pings(trip)
        try:
            way = await self._ways.way(trip, trail)
        except Unavailable:  # the route workers are busy: the pings are better than nothing
            way = None
        return trail_body(trip, trail, way)

    async def of_rider(self, rider_id: str, page: Page) -> Listed:
        return _listed(await self._history.of_rider(rider_id, page.cursor, page.limit), "rider")

    async def of_driver(self, driver_id: str, page: Page) -> Listed:
        return _listed(await self._history.of_driver(driver_id, page.cursor, page.limit), "driver")


class Quotes:
    """web's Quotes."""

    def __init__(self, desk: QuoteDesk) -> None:
        self._desk = desk

    async def quote(self, rider_id: str, pickup: LatLng, dropoff: LatLng) -> Body:
        answer = await self._desk.quote(rider_id, pickup, dropoff)
        quote = answer.quote
        return {
            "quote_id": quote.quote_id,
            "distance_m": round(quote.distance_m, 1),
            "duration_s": round(quote.duration_s, 1),
            "pickup_eta_s": None if answer.pickup_eta_s is None else round(answer.pickup_eta_s, 1),
            "fare": msgspec.structs.asdict(quote.fare),
            "surge": quote.surge,
            "expires_at": rfc3339(quote.expires_at),
        }


class CityMap:
    """web's CityMap."""

    def __init__(self, city: City, routes: RouteWorkers) -> None:
        self._city, self._routes = city, routes

    @property
    def name(self) -> str:
        return self._city.name

    @property
    def centre(self) -> LatLng:
        return self._city.centre

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        return self._city.bounds

    async def eta(self, origin: LatLng, to: LatLng) -> TravelTime:
        self._city.eta.snap_one(origin)  # raises not_on_road
        travel = self._city.eta.to_one(np.array([origin.lat]), np.array([origin.lng]), to)
        return TravelTime(float(travel.seconds[0]), float(travel.metres[0]))

    async def matrix(self, sources: Sequence[LatLng], targets: Sequence[LatLng]) -> Body:
        return await asyncio.to_thread(matrix_body, self._city.eta, sources, targets)

    async def route(self, origin: LatLng, to: LatLng, *, manoeuvres: bool) -> Body:
        if not manoeuvres:
            return await asyncio.to_thread(route_body, self._city.paths, origin, to)
        for place in (origin, to):
            self._city.eta.snap_one(place)  # raises not_on_road
        return guided_body(await self._routes.route(origin, to, manoeuvres=True))

    async def isochrone(self, start: LatLng, minutes: float) -> Body:
        self._city.eta.snap_one(start)  # raises not_on_road
        return isochrone_body(await self._routes.isochrone(start, minutes), minutes)

    def roads(self) -> Body:
        return self._city.roads.lines_geojson()


class Tracks:
    """web's Tracks."""

    def __init__(self, trails: TrailLog, clock: Clock, settings: Settings) -> None:
        self._trails = trails
        self._clock = clock
        self._keep_s = settings.location.raw_ping_retention_s

    async def track(self, driver_id: str, start: float, end: float) -> Body:
        trail = await self._trails.track(driver_id, int(start * 1000), int(end * 1000))
        kept_since = self._clock.now() - self._keep_s
        items = [
            {"at": rfc3339(ts / 1000), "lat": lat, "lng": lng, "trip_id": trip_id}
            for ts, lat, lng, trip_id in zip(
                trail.ts.tolist(), trail.lat.tolist(), trail.lng.tolist(), trail.trip_ids, strict=True
            )
        ]
        return {
            "driver_id": driver_id,
            "items": items,
            "removed_before": rfc3339(kept_since) if start < kept_since else None,
        }


class Fleet:
    """web's Fleet."""

    def __init__(
        self, store: SupplyStore, rides: RideDesk, board: Board, segments: SegmentDesk, zones: ZoneDesk
    ) -> None:
        self._store = store
        self._rides = rides
        self._board = board
        self._segments = segments
        self._zones = zones

    async def snapshot(self) -> FleetSnapshot:
        rows = await self._store.in_segments(await self._store.occupied())
        return FleetSnapshot(
            driver_ids=rows.driver_ids,
            lat=rows.lat,
            lng=rows.lng,
            heading=rows.heading,
            status=np.array([self._board.status(driver_id) for driver_id in rows.driver_ids], dtype=np.uint8),
        )

    async def demand(self) -> Mapping[int, int]:
        return self._segments.as_now({parse(name): count for name, count in (await self._rides.demand()).items()})

    def surge_at(self, place: LatLng) -> float:
        return self._zones.surge_floor(place)

    async def kpis(self, shown: FleetSnapshot) -> Body:
        wait_s = self._board.pickup_wait_s
        return {
            "drivers_online": len(shown.driver_ids),
            "open_requests": sum((await self._rides.demand()).values()),
            "active_trips": self._board.active,
            "completed_trips": self._board.completed,
            "pickup_wait_s": None if wait_s is None else round(wait_s, 1),
        }


def _by(who: Identity) -> By:
    return By(party(who), who.subject)


def _listed(page: TripPage, party: Party) -> Listed:
    return Listed([trip_body(trip, party) for trip in page.items], page.next_cursor)
