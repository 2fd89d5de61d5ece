"""Billing: a completed trip gets its distance and its fare, once, however often it is asked."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from core.clock import Clock
from core.errors import HexcabError, Unavailable
from core.events import AnyEvent, TripCompleted
from runtime.settings import TripSettings
from runtime.telemetry import of_trip
from trips.announce import announcement
from trips.model import Trip, fix_fare
from trips.ports import FareAsk, Fares, LiveTrips, Transactions, TripAudience, TripDistance

_log = logging.getLogger("hexcab.billing")


@dataclass(frozen=True, slots=True)
class BillingPorts:
    """What billing works with."""

    transactions: Transactions
    live: LiveTrips
    distance: TripDistance
    fares: Fares
    audience: TripAudience


class Billing:
    """Subscribe `handle` to TripCompleted as the group "billing"."""

    def __init__(self, ports: BillingPorts, clock: Clock, settings: TripSettings) -> None:
        self._ports = ports
        self._clock = clock
        self._settings = settings

    async def handle(self, event: AnyEvent) -> None:
        """Price the trip of a TripCompleted. Raises Unavailable to be called again later."""
        if not isinstance(event, TripCompleted):
            return
        with of_trip(event.trip_id):
            trip = await self._ports.live.get(event.trip_id)
            if trip is not None:  # otherwise it is archived, which it is only once priced
                await self._price(trip)

    async def catch_up(self) -> int:
        """Try each completed trip that was left without a fare once; how many got one.

        Raises Unavailable when the trips cannot be read.
        """
        priced, after = 0, ""
        while trips := await self._ports.live.unpriced(self._settings.archive_batch, after):
            for trip in trips:
                priced += await self._tried(trip)
            after = trips[-1].trip_id  # those that failed are not met again
        return priced

    async def _tried(self, trip: Trip) -> bool:
        with of_trip(trip.trip_id):
            try:
                await self._price(trip)
            except HexcabError as error:
                _log.warning("a trip is still without a fare: %s", error.detail, extra={"code": error.code})
                return False
            except Exception:
                _log.exception("a trip cannot be priced")
                return False
            return True

    async def _price(self, trip: Trip) -> None:
        if trip.fare is not None:
            return
        assert trip.started_at is not None
        assert trip.completed_at is not None
        try:
            async with asyncio.timeout(self._settings.distance_timeout_s):
                driven = await self._ports.distance(trip)
        except TimeoutError as error:
            raise Unavailable("matching the trail took too long", code="distance_timeout") from error
        duration_s = max(0.0, trip.completed_at - trip.started_at)
        fare = self._ports.fares(FareAsk(trip.trip_id, trip.quote, driven, duration_s, trip.pickup))
        async with self._ports.transactions() as uow:
            stored = await uow.trips.get(trip.trip_id)
            if stored is None or stored.fare is not None:
                return
            priced = fix_fare(stored, fare, driven.distance_m, driven.grade, self._clock.now())
            await uow.trips.save(priced)
            uow.publish(announcement(priced))
        await self._ports.audience.priced(priced)
