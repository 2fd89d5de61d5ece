"""A small city for the tests: the real desk on a real store, with everything outside of it faked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from core.errors import NotFound
from core.events import AnyEvent, CabFound, Event, NoCabFound, OfferEnded
from core.geo import FloatArray, IntArray, LatLng, haversine_many_m
from core.ids import Ids
from core.money import Money
from dispatch.model import (
    BUSY,
    ONLINE,
    Offer,
    PickupTravel,
    ProfileRows,
    Quoted,
    RequestRide,
    RideRequest,
    SupplyRows,
)
from dispatch.ports import DriverQueues, PickupRules, Ports, SharedClaims
from dispatch.searches import ONE_LANE, LaneOf, one_lane
from dispatch.service import RideDesk
from maps import segments
from maps.adapters.memory import MemorySegments
from maps.knownsegments import KnownSegments
from maps.segmentdesk import SegmentDesk
from runtime.batch_settings import BatchSettings
from runtime.clocks import ManualClock
from runtime.segment_settings import SegmentSettings
from runtime.settings import DispatchSettings, Settings
from tests.dispatch.stores import FakeTrips, StoreKind

CENTRE = LatLng(57.7041, 11.9697)
AIRPORT = LatLng(57.6688, 12.2923)


def north_of(place: LatLng, metres: float) -> LatLng:
    return LatLng(place.lat + metres / 111_195.0, place.lng)


def supply_rows(drivers: Sequence[dict[str, Any]]) -> SupplyRows:
    """Rows from dicts; what a dict leaves out is an idle, fresh driver at the centre at time 0."""

    def column(name: str, default: object, dtype: Any) -> Any:
        return np.array([driver.get(name, default) for driver in drivers], dtype=dtype)

    return SupplyRows(
        driver=column("driver", "", "U40"),
        lat=column("lat", CENTRE.lat, np.float64),
        lng=column("lng", CENTRE.lng, np.float64),
        seen_at=column("seen_at", 0.0, np.float64),
        idle_since=column("idle_since", 0.0, np.float64),
        flags=column("flags", ONLINE, np.int64),
        vehicle_class=column("vehicle_class", "standard", "U20"),
        seats=column("seats", 4, np.int64),
    )


class FakeSupply:
    """Drivers who ping all the time unless they are `silent`."""

    def __init__(self, clock: ManualClock) -> None:
        self.drivers: dict[str, dict[str, Any]] = {}
        self._clock = clock

    def add(self, driver: str, place: LatLng, **fields: Any) -> None:
        idle_since = self._clock.now() - 60
        row = {"driver": driver, "lat": place.lat, "lng": place.lng, "flags": ONLINE, "idle_since": idle_since}
        self.drivers[driver] = row | fields

    async def in_segments(self, wanted: Sequence[int]) -> SupplyRows:
        await asyncio.sleep(0)
        inside = [
            {"seen_at": self._clock.now(), **driver}
            for driver in self.drivers.values()
            if segments.segment_of(driver["lat"], driver["lng"]) in set(wanted)
        ]
        return supply_rows(inside)

    async def by_segment(self, wanted: Sequence[int]) -> dict[int, SupplyRows]:
        occupied = {segments.segment_of(driver["lat"], driver["lng"]) for driver in self.drivers.values()}
        return {segment: await self.in_segments([segment]) for segment in wanted if segment in occupied}


class FakeTravel:
    """Straight streets at 10 m/s."""

    def __init__(self) -> None:
        self.calls = 0
        self.failure: Exception | None = None

    async def to_pickup(self, lat: FloatArray, lng: FloatArray, pickup: LatLng) -> PickupTravel:
        self.calls += 1
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        metres = haversine_many_m(lat, lng, pickup)
        return PickupTravel(metres / 10.0, metres)

    async def to_pickups(
        self, lat: FloatArray, lng: FloatArray, pickups: Sequence[LatLng], pickup: IntArray
    ) -> PickupTravel:
        self.calls += 1
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        metres = np.zeros(len(lat))
        for number, at in enumerate(pickups):
            mine = pickup == number
            metres[mine] = haversine_many_m(lat[mine], lng[mine], at)
        return PickupTravel(metres / 10.0, metres)


class FakeProfiles:
    async def of(self, driver_ids: Sequence[str]) -> ProfileRows:
        unknown = np.full(len(driver_ids), np.nan)
        return ProfileRows(unknown, unknown)


class FakeDelivery:
    """Remembers what was said; drivers in `away` cannot be reached."""

    def __init__(self) -> None:
        self.to_drivers: list[tuple[str, dict[str, Any]]] = []
        self.to_riders: list[tuple[str, dict[str, Any]]] = []
        self.away: set[str] = set()
        self.failing = False

    async def deliver(self, driver_id: str, message: dict[str, Any]) -> bool:
        await asyncio.sleep(0)
        if self.failing:
            raise ConnectionError("the gateway is away")
        if driver_id in self.away:
            return False
        self.to_drivers.append((driver_id, message))
        return True

    async def tell_rider(self, rider_id: str, message: dict[str, Any]) -> None:
        if self.failing:
            raise ConnectionError("the edge is away")
        self.to_riders.append((rider_id, message))

    def statuses(self, rider_id: str) -> list[str]:
        return [message["status"] for told, message in self.to_riders if told == rider_id]

    def offers(self) -> list[tuple[str, str]]:
        """(driver, offer) in the order they went out."""
        return [(driver, message["offer_id"]) for driver, message in self.to_drivers if message["type"] == "offer"]

    def closed(self) -> dict[str, str]:
        """Driver -> reason of the last offer_closed."""
        return {driver: m["reason"] for driver, m in self.to_drivers if m["type"] == "offer_closed"}


class FakeQuotes:
    def __init__(self) -> None:
        self.quotes: dict[tuple[str, str], Quoted] = {}

    async def promised(self, quote_id: str, rider_id: str) -> Quoted:
        if (quote_id, rider_id) not in self.quotes:
            raise NotFound(f"there is no quote {quote_id}")
        return self.quotes[quote_id, rider_id]

    async def estimate(self, pickup: LatLng, dropoff: LatLng) -> Money:
        return Money(12_300, "SEK")


@dataclass
class World:
    """The desk and all its fakes."""

    clock: ManualClock
    kind: StoreKind
    trips: FakeTrips
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.supply = FakeSupply(self.clock)
        self.travel = FakeTravel()
        self.delivery = FakeDelivery()
        self.quotes = FakeQuotes()
        known = KnownSegments(SegmentSettings(), lambda: 0.0)
        self.segments = SegmentDesk(MemorySegments(), known, self.clock)
        self.claims: SharedClaims | None = None  # as one process has it
        self.pickups: PickupRules | None = None
        self.queues: DriverQueues | None = None
        self.request_ids: list[str] = []
        self.store = self.kind.store
        self._ids = Ids(self.clock, random.Random(5))
        self.desk = self.new_desk()
        self.workers: list[RideDesk] = []  # other processes on the same store

    def new_desk(self, lane_of: LaneOf = one_lane) -> RideDesk:
        ports = Ports(
            self.store,
            self.supply,
            self.travel,
            FakeProfiles(),
            self.delivery,
            self.quotes,
            self.trips.papers,
            self.segments,
            self.claims,
            self.pickups,
            self.queues,
        )
        return RideDesk(ports, self.settings, self.clock, self._ids, lane_of=lane_of)

    async def restart(self) -> None:
        """Drop the desk as a crash would (nothing is told, nothing ends) and start another on the same store."""
        await self.desk.close()
        self.desk = self.new_desk()
        await self.desk.searches.take(ONE_LANE)
        await self.settled()

    async def crash(self) -> None:
        """Cut off every search in the middle of whatever it does, and start another desk on the same store."""
        searches = [task for task in asyncio.all_tasks() if task.get_name().startswith("search-")]
        for task in searches:
            task.cancel()
        await asyncio.gather(*searches, return_exceptions=True)
        self.desk = self.new_desk()
        await self.desk.searches.take(ONE_LANE)
        await self.settled()

    def drivers(self, *names: str, apart_m: float = 100.0) -> None:
        """Drivers in a row north of the centre, the first one nearest."""
        for place, name in enumerate(names):
            self.supply.add(name, north_of(CENTRE, apart_m * (place + 1)))

    async def ask(self, rider_id: str = "rdr_1", **fields: Any) -> RideRequest:
        """Ask for a ride and wait until the first look is over."""
        request = await self.desk.request_ride(
            RequestRide(**{"rider_id": rider_id, "pickup": CENTRE, "dropoff": AIRPORT, **fields})
        )
        self.request_ids.append(request.request_id)
        await self.settled()
        return request

    async def settled(self) -> None:
        """Until every search rests."""
        quiet = 0
        while quiet < 8:
            await asyncio.sleep(0)
            quiet = quiet + 1 if all(desk.resting for desk in (self.desk, *self.workers)) else 0

    async def advance(self, seconds: float) -> None:
        """Let engine time pass in steps of a second, with the searches at rest after each."""
        end = self.clock.now() + seconds
        while (left := end - self.clock.now()) > 1e-6:
            await self.clock.advance(min(left, 1.0), settle_s=0)
            await self.settled()

    async def now(self, request: RideRequest) -> RideRequest:
        stored = await self.store.request(request.request_id)
        assert stored is not None
        return stored

    async def offers(self, request: RideRequest) -> list[Offer]:
        found = await self.store.request_and_offers(request.request_id)
        assert found is not None
        return found[1]

    async def offer_to(self, request: RideRequest, driver_id: str) -> Offer:
        return next(offer for offer in await self.offers(request) if offer.driver_id == driver_id)

    async def by_driver(self, request: RideRequest) -> dict[str, str]:
        return {offer.driver_id: offer.status for offer in await self.offers(request)}

    async def events_of(self, kind: type[Event]) -> list[Any]:
        return [event for event in await self.kind.events() if isinstance(event, kind)]

    async def check_truths(self) -> None:
        """What must hold at any moment, whatever happened."""
        events = await self.kind.events()
        open_riders: list[str] = []
        open_drivers: list[str] = []
        for request_id in self.request_ids:
            found = await self.store.request_and_offers(request_id)
            assert found is not None, "an acknowledged request is lost"
            request, offers = found
            endings = [e for e in events if isinstance(e, CabFound | NoCabFound) and e.request_id == request_id]
            accepted = [offer for offer in offers if offer.status == "accepted"]
            trips = await self.kind.trips_of(request_id)
            regions = {e.region for e in events if isinstance(e, AnyEvent) and e.request_id == request_id}
            assert regions == {segments.region_of(request.segment)}, "events of a ride go to one worker"
            assert len(endings) == (0 if request.is_open else 1)
            assert len(accepted) == trips == (1 if request.status == "assigned" else 0)
            still_open = [offer for offer in offers if offer.is_open]
            assert request.is_open or not still_open
            ended_ids = [e.offer_id for e in events if isinstance(e, OfferEnded) and e.request_id == request_id]
            assert sorted(ended_ids) == sorted(o.offer_id for o in offers if not o.is_open and o not in accepted)
            open_drivers += [offer.driver_id for offer in still_open]
            open_riders += [request.rider_id] if request.is_open else []
        assert len(set(open_riders)) == len(open_riders)
        assert len(set(open_drivers)) == len(open_drivers)

    async def close(self) -> None:
        for desk in (self.desk, *self.workers):
            await desk.close()
        await self.kind.close()


def tuned(batch: BatchSettings | None = None, **fields: Any) -> Settings:
    """The default settings with some of dispatch's changed, and perhaps those of batches."""
    return Settings(dispatch=msgspec.structs.replace(DispatchSettings(), **fields), batch=batch or BatchSettings())


ON_TRIP = ONLINE | BUSY
