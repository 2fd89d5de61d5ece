"""What trips needs: the distance of a trail, the tariff, driver cards, and everybody who watches a trip."""

from __future__ import annotations

import numpy as np

from app.wiring.board import Board
from app.wiring.rides import Apps
from core.events import AnyEvent, TripAssigned
from core.geo import haversine_m
from core.money import Money
from dispatch.adapters.sql import end_trip
from location.ports import TrailLog
from location.supply import Supply
from maps.routes import RouteWorkers
from payments.adapters.sql import find_quote
from payments.fares import Drive, Promise, final_fare, tariff_of
from runtime.settings import FareSettings
from runtime.sql import Transaction
from trips.model import QuoteTerms, Trip
from trips.ports import Driven, FareAsk, LiveTrips
from trips.views import trip_body


class Audience:
    """trips' TripAudience: the rider, the driver, the supply and the operators' board."""

    def __init__(self, apps: Apps, supply: Supply, board: Board, live: LiveTrips) -> None:
        self._apps = apps
        self._supply = supply
        self._board = board
        self._live = live

    async def assigned(self, event: AnyEvent) -> None:
        """A trip was opened; told again after a crash, as it is now."""
        if not isinstance(event, TripAssigned):
            return
        trip = await self._live.get(event.trip_id)
        if trip is None:  # it ended and is archived already
            return
        await self.changed(trip)
        now = await self._live.get(event.trip_id)
        if now is not None and now.status != trip.status:  # a step was taken while we told of the one before
            await self.changed(now)

    async def changed(self, trip: Trip) -> None:
        self._board.note(trip)
        if trip.active:
            self._supply.set_busy(trip.driver_id, trip.trip_id)
        else:
            driver = self._supply.live.get(trip.driver_id)
            if driver is not None and driver.trip_id == trip.trip_id:
                self._supply.set_free(trip.driver_id)
        await self._tell(trip)

    async def priced(self, trip: Trip) -> None:
        await self._tell(trip)

    async def _tell(self, trip: Trip) -> None:
        await self._apps.tell_rider(trip.rider_id, {"type": "trip", **trip_body(trip, "rider")})
        await self._apps.deliver(trip.driver_id, {"type": "trip", **trip_body(trip, "driver")})


class MatchedDistance:
    """trips' TripDistance: the trail of the ride itself, matched to the roads by Valhalla."""

    def __init__(self, trails: TrailLog, routes: RouteWorkers) -> None:
        self._trails = trails
        self._routes = routes

    async def __call__(self, trip: Trip) -> Driven:
        trail = await self._trails.of_trip(trip.trip_id)
        since_ms = (trip.started_at or trip.assigned_at) * 1000
        riding = trail.ts >= since_ms  # the way to the pickup is not the rider's to pay
        lat, lng, at_s = trail.lat[riding], trail.lng[riding], trail.ts[riding] / 1000
        if len(lat) < 2:  # too short a trail says nothing: the straight line is a lower bound, and graded so
            return Driven(haversine_m(trip.pickup, trip.dropoff), "raw")
        matched = await self._routes.match(lat, lng, np.asarray(at_s, dtype=np.float64))
        return Driven(matched.distance_m, matched.grade)


class CityFares:
    """trips' Fares: the city's tariff, and the quote where it holds."""

    def __init__(self, settings: FareSettings) -> None:
        self._tariff = tariff_of(settings)
        self._tolerance = settings.quote_tolerance

    def __call__(self, ask: FareAsk) -> Money:
        promise = None
        if ask.quote is not None:
            promise = Promise(ask.quote.fare, ask.quote.distance_m, ask.quote.surge)
        drive = Drive(ask.driven.distance_m, ask.driven.grade, ask.duration_s)
        return final_fare(self._tariff, promise, drive, self._tolerance)


class RequestEnds:
    """trips' RequestBook: frees the rider in the transaction that ends the trip."""

    async def end_trip(self, tx: Transaction, request_id: str) -> None:
        await end_trip(tx, request_id)


async def quote_terms(tx: Transaction, quote_id: str) -> QuoteTerms | None:
    """trips' Quotes: what was promised, read in the transaction that opens the trip."""
    quote = await find_quote(tx.connection, quote_id)
    if quote is None:
        return None
    return QuoteTerms(quote.quote_id, quote.fare, quote.distance_m, quote.duration_s, quote.surge)
