"""What dispatch needs beside the supply: travel from maps, prices from payments, and trips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.wiring.supply import searchable
from core.errors import InvalidInput
from core.geo import FloatArray, IntArray, LatLng
from core.ids import Ids
from core.money import Money
from dispatch import model as dispatch
from location.ports import QueueStore, SupplyStore
from maps.cities import City
from maps.zonedesk import ZoneDesk
from payments.fares import fare, tariff_of
from payments.model import RoadLeg
from payments.quotes import QuoteDesk
from runtime.settings import FareSettings
from runtime.sql import Transaction
from trips.adapters.sql import SqlTripBook
from trips.model import NewTrip, TripPapers
from trips.ports import DriverCards, Quotes


class AirportQueues:
    """dispatch's DriverQueues: the zones of the city, the places that gateways keep, and where those drivers are."""

    def __init__(self, zones: ZoneDesk, places: QueueStore, supply: SupplyStore) -> None:
        self._zones = zones
        self._places = places
        self._supply = supply

    def at(self, pickup: LatLng) -> bool:
        return self._zones.queue_at(*pickup) is not None

    async def first(self, pickup: LatLng, limit: int) -> dispatch.SupplyRows:
        zone_id = self._zones.queue_at(*pickup)
        line = [] if zone_id is None else await self._places.first(zone_id, limit)
        if not line:
            return dispatch.SupplyRows.join(())
        found = await self._supply.of_drivers(line)
        place = {driver_id: number for number, driver_id in enumerate(found.driver_ids)}
        return searchable(found.take([place[driver_id] for driver_id in line if driver_id in place]))


class RoadPickup:
    """dispatch's Travel, along the city's roads."""

    def __init__(self, city: City) -> None:
        self._city = city

    async def to_pickup(self, lat: FloatArray, lng: FloatArray, pickup: LatLng) -> dispatch.PickupTravel:
        travel = self._city.eta.to_one(lat, lng, pickup)
        return dispatch.PickupTravel(travel.seconds, travel.metres)

    async def to_pickups(
        self, lat: FloatArray, lng: FloatArray, pickups: Sequence[LatLng], pickup: IntArray
    ) -> dispatch.PickupTravel:
        eta = self._city.eta
        ends = eta.snap(np.array([at.lat for at in pickups]), np.array([at.lng for at in pickups]))
        travel = eta.pairs(eta.snap(lat, lng), ends.take(pickup))
        return dispatch.PickupTravel(travel.seconds, travel.metres)


class Prices:
    """dispatch's QuoteBook."""

    def __init__(self, quotes: QuoteDesk, city: City, zones: ZoneDesk, settings: FareSettings) -> None:
        self._quotes = quotes
        self._city = city
        self._zones = zones
        self._tariff = tariff_of(settings)

    async def promised(self, quote_id: str, rider_id: str) -> dispatch.Quoted:
        quote = await self._quotes.get(quote_id, rider_id)
        return dispatch.Quoted(pickup=quote.pickup, dropoff=quote.dropoff, fare=quote.fare)

    async def estimate(self, pickup: LatLng, dropoff: LatLng) -> Money:
        metres, seconds = road_leg(self._city, self._zones, pickup, dropoff)
        return fare(self._tariff, metres, seconds, self._zones.surge_floor(pickup))


class Papers:
    """dispatch's TripPapers: the driver of accounts, the quote of payments, each from its own database."""

    def __init__(self, cards: DriverCards, quotes: Quotes) -> None:
        self._cards = cards
        self._quotes = quotes

    async def __call__(self, driver_id: str, quote_id: str | None) -> TripPapers:
        card = await self._cards(driver_id)
        return TripPapers(card, None if quote_id is None else await self._quotes(quote_id))


class TripOpener:
    """dispatch's TripBook, on the transaction in which the offer is accepted."""

    def __init__(self, tx: Transaction, ids: Ids) -> None:
        self._book = SqlTripBook(tx, ids)

    async def open(self, trip: dispatch.NewTrip, papers: object) -> str:
        assert isinstance(papers, TripPapers)
        opened = await self._book.open(
            NewTrip(
                request_id=trip.request_id,
                rider_id=trip.rider_id,
                driver_id=trip.driver_id,
                pickup=trip.pickup,
                dropoff=trip.dropoff,
                mode=trip.mode,
                segment=trip.segment,
                assigned_at=trip.assigned_at,
                papers=papers,
            )
        )
        return opened.trip_id


def road_leg(city: City, zones: ZoneDesk, start: LatLng, end: LatLng) -> tuple[float, float]:
    """Metres and seconds of the fastest way. Raises InvalidInput: outside_city, not_on_road or no_route."""
    for name, place in (("pickup", start), ("dropoff", end)):
        if not zones.contains(*place):
            raise InvalidInput(f"the {name} is outside {city.name}'s service area", code="outside_city")
    travel = city.eta.to_one(np.array([start.lat]), np.array([start.lng]), end)
    metres, seconds = float(travel.metres[0]), float(travel.seconds[0])
    if not np.isfinite(seconds):
        city.eta.snap_one(start)  # raises not_on_road where that is the reason
        raise InvalidInput("no road leads from the pickup to the dropoff", code="no_route")
    return metres, seconds


class RoadTravel:
    """payments' RoadTravel."""

    def __init__(self, city: City, zones: ZoneDesk) -> None:
        self._city = city
        self._zones = zones

    async def __call__(self, pickup: LatLng, dropoff: LatLng) -> RoadLeg:
        self._zones.check_pickup(pickup)
        return RoadLeg(*road_leg(self._city, self._zones, pickup, dropoff))
