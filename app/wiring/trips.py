"""What trips needs: the distance of a trail, the tariff, driver cards, and everybody who watches a trip."""

from __future__ import annotations

import logging
from typing import Protocol

from app.wiring.apps import Apps, Elsewhere
from app.wiring.duty import Duty
from core.errors import Unavailable
from core.events import AnyEvent, FareFixed, TripArrived, TripAssigned, TripCancelled, TripCompleted, TripStarted
from core.money import Money
from core.recent import Recent
from dispatch.adapters.sql import end_trip
from location.live import LiveDrivers
from location.model import Trail
from location.ports import TrailLog
from maps.driven import Odometer, Ride, WayDriven
from maps.paths import Paths
from maps.routes import RouteWorkers
from maps.trails import DrivenTrail
from payments.adapters.sql import SqlQuoteReader
from payments.fares import Drive, Promise, final_fare, tariff_of
from payments.ports import SurgeFloor
from runtime.driven_settings import DrivenSettings
from runtime.settings import FareSettings
from runtime.sql import Transaction
from trips.model import QuoteTerms, Trip
from trips.ports import Driven, FareAsk, LiveTrips, TripArchive
from trips.views import trip_body

TRIP_EVENTS = (TripAssigned, TripArrived, TripStarted, TripCompleted, TripCancelled, FareFixed)

_log = logging.getLogger("hexcab.trips")
_RECENT_STEPS = 20_000  # of trips, that a repeated event is told apart by


class Audience:
    """trips' TripAudience: the rider and the driver, on this host and on others, and whether the driver is busy."""

    def __init__(self, apps: Apps, duty: Duty, live: LiveTrips, archive: TripArchive, elsewhere: Elsewhere) -> None:
        self.duty = duty
        self._apps = apps
        self._live = live
        self._archive = archive
        self._elsewhere = elsewhere
        self._told: Recent[tuple[str, int]] = Recent(_RECENT_STEPS)

    async def handle(self, event: AnyEvent) -> None:
        """A trip took a step somewhere: tell again, as it is now, whoever has not heard.

        Raises Unavailable, also for a trip that was archived meanwhile and whose archive is away.
        """
        if not isinstance(event, TRIP_EVENTS):
            return
        trip = await self._live.get(event.trip_id)
        if trip is None:
            self.duty.no_trip(event.driver_id, event.trip_id)  # only what has ended leaves SQL
            trip = await self._archive.get(event.trip_id)
        if trip is not None:
            await self._spread(trip)

    async def opened(self, trip_id: str) -> None:
        """A trip was opened: take it over and tell, unless that was done. Raises Unavailable."""
        trip = await self._live.get(trip_id)
        if trip is not None:
            await self.changed(trip)

    async def changed(self, trip: Trip) -> None:
        try:
            await self._spread(trip)
        except Unavailable as error:  # the trip's event tells again
            _log.info("a host has not heard of a trip yet: %s", error.detail, extra={"trip_id": trip.trip_id})

    async def priced(self, trip: Trip) -> None:
        await self.changed(trip)

    async def here(self, trip: Trip) -> None:
        """Note it, and tell whoever is connected to this host, once."""
        if self.duty.note(trip) and self._told.add((trip.trip_id, len(trip.steps))):
            self._apps.tell_rider_here(trip.rider_id, {"type": "trip", **trip_body(trip, "rider")})
            self._apps.deliver_here(trip.driver_id, {"type": "trip", **trip_body(trip, "driver")})

    async def _spread(self, trip: Trip) -> None:
        await self.here(trip)
        await self._elsewhere.trip(trip)


class TrailComplete(Protocol):
    """Whether every ping of a trip that a gateway has taken is in the durable log."""

    async def __call__(self, trip: Trip, /) -> bool:
        """Raises Unavailable where the host that has the driver cannot be asked."""
        ...


class TrailsHere:
    """TrailComplete where this process is the driver's gateway."""

    def __init__(self, drivers: LiveDrivers) -> None:
        self._drivers = drivers

    async def __call__(self, trip: Trip) -> bool:
        return self.is_complete(trip.trip_id)

    def is_complete(self, trip_id: str) -> bool:
        """Whether no ping of the trip is on its way to the durable log here."""
        return trip_id not in self._drivers.undurable


class TrailWays:
    """The way that a trip drove, by the odometer: that of the ride, before the rider gets in that to the pickup."""

    def __init__(self, trails: TrailLog, routes: RouteWorkers, paths: Paths, settings: DrivenSettings) -> None:
        self._trails = trails
        self._odometer = Odometer(routes.match, paths, settings)

    async def pings(self, trip: Trip) -> Trail:
        """All pings of a trip, by time. Raises Unavailable."""
        return await self._trails.of_trip(trip.trip_id)

    async def way(self, trip: Trip, trail: Trail) -> WayDriven:
        """How far a trip went by its pings. Raises Unavailable."""
        since_s = trip.started_at or trip.assigned_at
        riding = trail.ts >= since_s * 1000  # the way to the pickup is not the rider's to pay
        pings = DrivenTrail(trail.lat[riding], trail.lng[riding], trail.ts[riding] / 1000)
        if trip.started_at is None:  # where the cab came from, only its pings know
            return await self._odometer.read(pings, Ride(pings.point(0) if len(pings) else trip.pickup, since_s))
        end = trip.dropoff if trip.completed_at is not None else None
        return await self._odometer.read(pings, Ride(trip.pickup, since_s, end, trip.completed_at))


class TrailDistance:
    """trips' TripDistance: as the odometer has it, once the trail is whole."""

    def __init__(self, ways: TrailWays, complete: TrailComplete) -> None:
        self._ways = ways
        self._complete = complete

    async def __call__(self, trip: Trip) -> Driven:
        if not await self._complete(trip):  # the log is away: a part of the trail is no basis for a price
            raise Unavailable(f"the trail of trip {trip.trip_id} is not complete yet", code="trail_incomplete")
        way = await self._ways.way(trip, await self._ways.pings(trip))
        return Driven(way.distance_m, way.grade)


class CityFares:
    """trips' Fares: the city's tariff, and the quote where it holds. Without a quote the zones' surge counts."""

    def __init__(self, settings: FareSettings, surge_floor: SurgeFloor) -> None:
        self._tariff = tariff_of(settings)
        self._surge_floor = surge_floor
        self._tolerance = settings.quote_tolerance

    def __call__(self, ask: FareAsk) -> Money:
        promise = None
        if ask.quote is not None:
            promise = Promise(ask.quote.fare, ask.quote.distance_m, ask.quote.surge)
        drive = Drive(ask.driven.distance_m, ask.driven.grade, ask.duration_s)
        return final_fare(self._tariff, promise, drive, self._tolerance, self._surge_floor(ask.pickup))


class RequestEnds:
    """trips' RequestBook: frees the rider in the transaction that ends the trip."""

    async def end_trip(self, tx: Transaction, request_id: str) -> None:
        await end_trip(tx, request_id)


class Promises:
    """trips' Quotes: what was promised, expired or not."""

    def __init__(self, quotes: SqlQuoteReader) -> None:
        self._quotes = quotes

    async def __call__(self, quote_id: str) -> QuoteTerms | None:
        quote = await self._quotes.get(quote_id)
        if quote is None:
            return None
        return QuoteTerms(quote.quote_id, quote.fare, quote.distance_m, quote.duration_s, quote.surge)
