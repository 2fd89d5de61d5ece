"""The rooms as the edge sees them, in memory and without opinions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from core.clock import Clock
from core.errors import Conflict, FieldError, Forbidden, InvalidInput, NotFound, TooMany, Unauthorized, Unavailable
from core.events import Party
from core.geo import LatLng, haversine_m
from location.messages import schemas as driver_schemas
from maps.adapters.memory import MemorySegments
from maps.knownsegments import KnownSegments
from maps.segmentdesk import SegmentDesk
from runtime.answers import KEY_KEPT, FirstAnswer, StoredAnswer
from runtime.auth import Identity, MemoryTicketUses, Tickets, Tokens
from runtime.clocks import ManualClock, SystemClock
from runtime.settings import Settings, TripSettings, WebSettings
from runtime.telemetry import Metrics
from web.engine import Engine, Security
from web.hub import Hub
from web.map_ports import TravelTime
from web.ports import Body, FleetSnapshot, Listed, Page, Position, RideAsk, Role

CENTRE = LatLng(57.7041, 11.9697)
BOUNDS = (57.65, 11.85, 57.76, 12.08)
KEY = b"k" * 32
MONEY = {"amount_minor": 12_300, "currency": "SEK"}


class FakeSessions:
    async def start(self, phone: str, role: Role) -> None:
        if phone.endswith("99"):
            raise TooMany("too many codes for this phone", retry_after_s=61.5)

    async def verify(self, phone: str, code: str) -> Identity:
        if code != "123456":
            raise Unauthorized("the code is wrong or expired", code="bad_code")
        return Identity("rider", "rdr_1")


def _ops_only(changes: Body, fields: set[str], by_ops: bool) -> None:
    if fields & changes.keys() and not by_ops:
        raise Forbidden("only ops may change this", code="ops_only")


class FakeAccounts:
    def __init__(self) -> None:
        self.riders: dict[str, Body] = {}
        self.drivers: dict[str, Body] = {}
        self.created = 0

    async def create_rider(self, rider: Body) -> Body:
        if any(other["phone"] == rider["phone"] for other in self.riders.values()):
            raise Conflict("this phone number is taken", code="phone_taken")
        self.created += 1
        rider_id = f"rdr_{self.created}"
        self.riders[rider_id] = {"rider_id": rider_id, "class": "standard", **rider}
        return self.riders[rider_id]

    async def rider(self, rider_id: str) -> Body:
        if rider_id not in self.riders:
            raise NotFound("no such rider")
        return self.riders[rider_id]

    async def change_rider(self, rider_id: str, changes: Body, by_ops: bool) -> Body:
        _ops_only(changes, {"class"}, by_ops)
        self.riders[rider_id] = {**await self.rider(rider_id), **changes}
        return self.riders[rider_id]

    async def create_driver(self, driver: Body, approved: bool) -> Body:
        driver_id = f"drv_{len(self.drivers) + 1}"
        status = "approved" if approved else "pending"
        self.drivers[driver_id] = {"driver_id": driver_id, "status": status, "rating": None, **driver}
        return self.drivers[driver_id]

    async def driver(self, driver_id: str) -> Body:
        if driver_id not in self.drivers:
            raise NotFound("no such driver")
        return self.drivers[driver_id]

    async def change_driver(self, driver_id: str, changes: Body, by_ops: bool) -> Body:
        _ops_only(changes, {"status", "vehicle"}, by_ops)
        self.drivers[driver_id] = {**await self.driver(driver_id), **changes}
        return self.drivers[driver_id]


class FakeQuotes:
    async def quote(self, rider_id: str, pickup: LatLng, dropoff: LatLng) -> Body:
        if pickup.lat < 57:
            raise InvalidInput("pickup is not near a road", code="not_on_road")
        return {
            "quote_id": "quo_1",
            "distance_m": haversine_m(pickup, dropoff),
            "duration_s": 300.0,
            "pickup_eta_s": None,
            "fare": MONEY,
            "surge": 1.0,
            "expires_at": "2026-09-21T00:00:00.000Z",
        }


class FakeRides:
    def __init__(self) -> None:
        self.requests: dict[str, Body] = {}
        self.asks: list[RideAsk] = []
        self.recent_s = 0.0
        self.failing = False
        self.broken = False
        self.keeps_in: FakeAnswers | None = None  # where the answer is kept with the request
        self.answered_elsewhere: StoredAnswer | None = None  # before it is

    async def request(self, ask: RideAsk) -> Body:
        before, asked = dict(self.requests), len(self.asks)
        body = await self._request(ask)
        if len(self.asks) > asked and self.keeps_in is not None and ask.answer is not None:
            first = ask.answer(body)
            if first.scope_key in self.keeps_in.kept:  # then nothing happens
                self.requests = before
                del self.asks[asked:]
                raise Conflict("answered before", code=KEY_KEPT)
            kept = self.answered_elsewhere or first.answer
            self.keeps_in.kept[first.scope_key] = (first.body_hash, kept)
            if kept is not first.answer:
                raise Conflict("answered before", code=KEY_KEPT)
            first.kept = True
        return body

    async def _request(self, ask: RideAsk) -> Body:
        if self.failing:
            raise Unavailable("the store is away", retry_after_s=2.2)
        if self.broken:
            raise RuntimeError("secret of the inside")
        if ask.request_id in self.requests:
            return self.requests[ask.request_id]
        if any(r["rider_id"] == ask.rider_id and r["status"] == "searching" for r in self.requests.values()):
            raise Conflict("the rider has an open request", code="open_request")
        self.asks.append(ask)
        request_id = ask.request_id or f"req_{len(self.asks)}"
        self.requests[request_id] = {
            "request_id": request_id,
            "rider_id": ask.rider_id,
            "status": "searching",
            "trip_id": None,
            "pickup": ask.pickup._asdict(),
            "dropoff": ask.dropoff._asdict(),
            "mode": ask.mode or "broadcast",
        }
        return self.requests[request_id]

    async def get(self, request_id: str) -> Body:
        if request_id not in self.requests:
            raise NotFound("no such ride request")
        return self.requests[request_id]

    async def explain(self, request_id: str) -> Body:
        request = await self.get(request_id)
        candidate = {"driver_id": "drv_1", "outcome": "offline", "away_m": 10.0, "position_age_s": 1.0}
        look: Body = {"look_id": "lok_1", "at": "2026-09-21T00:00:00Z", "mode": "best", "weights": {}, "counts": {}}
        shown = {name: request[name] for name in ("request_id", "status", "mode", "trip_id")}
        return {**shown, "offers": [], "looks": [{**look, "candidates": [candidate], "left_out": 0}]}

    async def recent_of_rider(self, rider_id: str, within_s: float) -> Body | None:
        self.recent_s = within_s
        return next((r for r in reversed(self.requests.values()) if r["rider_id"] == rider_id), None)

    async def cancel(self, request_id: str, by: Party) -> Body:
        self.requests[request_id] = {**await self.get(request_id), "status": "cancelled"}
        return self.requests[request_id]


def trip_body(status: str = "assigned", trip_id: str = "trip_1") -> Body:
    return {
        "trip_id": trip_id,
        "request_id": "req_1",
        "rider_id": "rdr_1",
        "driver_id": "drv_1",
        "status": status,
        "start_code": "1234",
        "driver": {"name": "Grace"},
        "vehicle": {"plate": "ABC123"},
        "fare": None,
        "events": [{"type": "assigned", "at": "2026-09-21T00:00:00.000Z"}],
        "pickup": CENTRE._asdict(),
        "dropoff": {"lat": 57.71, "lng": 11.98},
    }


class FakeTrips:
    def __init__(self) -> None:
        self.trips: dict[str, Body] = {}
        self.rated: list[tuple[str, str, int]] = []

    async def get(self, trip_id: str, by: Identity) -> Body:
        if trip_id not in self.trips:
            raise NotFound("no such trip")
        body = dict(self.trips[trip_id])
        if by.scope != "rider":
            del body["start_code"]
        return body

    async def active_of_rider(self, rider_id: str) -> Body | None:
        running = (t for t in self.trips.values() if t["rider_id"] == rider_id and t["status"] == "assigned")
        return next(running, None)

    async def cancel(self, trip_id: str, by: Identity, reason: str) -> Body:
        if self.trips[trip_id]["status"] == "completed":
            raise Conflict("the trip has ended", code="wrong_status")
        self.trips[trip_id]["status"] = "cancelled"
        return await self.get(trip_id, by)

    async def rate(self, trip_id: str, by: Identity, stars: int) -> Body:
        self.rated.append((trip_id, by.scope, stars))
        return await self.get(trip_id, by)

    async def trail(self, trip_id: str) -> Body:
        line = {"type": "LineString", "coordinates": [[11.96, 57.7], [11.97, 57.71]]}
        return {"type": "Feature", "geometry": line, "properties": {"distance_m": 1_250.0, "grade": "matched"}}

    async def of_rider(self, rider_id: str, page: Page) -> Listed:
        return self._listed("rider_id", rider_id, page)

    async def of_driver(self, driver_id: str, page: Page) -> Listed:
        return self._listed("driver_id", driver_id, page)

    def _listed(self, field: str, subject: str, page: Page) -> Listed:
        found = [trip for trip in self.trips.values() if trip[field] == subject]
        first = int(page.cursor or 0)
        last = first + page.limit
        return Listed(found[first:last], str(last) if last < len(found) else None)


class FakeCabs:
    def __init__(self) -> None:
        self.positions: dict[str, Position] = {}

    async def near(self, at: LatLng, limit: int) -> list[Body]:
        if at.lat < 57:
            raise InvalidInput("the place is not near a road", code="not_on_road")
        cab = {"driver_id": "drv_1", "lat": at.lat, "lng": at.lng, "heading": 90.0, "eta_s": 61.0, "age_s": 1.5}
        return [cab] * min(limit, 3)

    async def position(self, driver_id: str) -> Position | None:
        return self.positions.get(driver_id)


class FakeCity:
    name = "gothenburg"
    centre = CENTRE
    bounds = BOUNDS

    def __init__(self) -> None:
        self.drawn = 0
        self.slow = False
        self.streets: Body | None = None

    async def eta(self, origin: LatLng, to: LatLng) -> TravelTime:
        if to.lat < 57:
            raise InvalidInput("to is more than 250 m from every road", code="not_on_road")
        if to.lat > 89:
            return TravelTime(float("inf"), float("inf"))
        return TravelTime(120.0, 1_000.0)

    async def matrix(self, sources: Sequence[LatLng], targets: Sequence[LatLng]) -> Body:
        rows = [[120.0] * len(targets)] * len(sources)
        return {"durations_s": rows, "distances_m": rows, "off_road": {"sources": [], "targets": []}}

    async def route(self, origin: LatLng, to: LatLng, *, manoeuvres: bool) -> Body:
        if self.slow:
            raise Unavailable("no route answer within 10 s", code="routes_late")
        if to.lat > 89:
            raise InvalidInput("no road leads from the start to the end", code="no_route")
        line = {"type": "LineString", "coordinates": [[11.95, 57.70], [11.96, 57.705]]}
        step = {"name": "Avenyn", "distance_m": 900.0, "duration_s": 100.0}
        whole = {"distance_m": 900.0, "duration_s": 100.0}
        told = whole | {"instruction": "Turn left.", "kind": 15, "streets": ["Avenyn"], "at": 0}
        return whole | {"geometry": line, "steps": [step], "manoeuvres": [told] if manoeuvres else []}

    async def isochrone(self, start: LatLng, minutes: float) -> Body:
        square = [[11.9, 57.7], [12.0, 57.7], [12.0, 57.8], [11.9, 57.7]]
        geometry = {"type": "MultiPolygon", "coordinates": [[square]]}
        return {"type": "Feature", "properties": {"minutes": minutes}, "geometry": geometry}

    def roads(self) -> Body:
        self.drawn += 1
        line = {"type": "LineString", "coordinates": [[11.95, 57.70], [11.96, 57.705], [11.97, 57.70]]}
        feature = {"type": "Feature", "properties": {"class": "primary"}, "geometry": line}
        return self.streets or {"type": "FeatureCollection", "features": [feature]}


class FakeTracks:
    async def track(self, driver_id: str, start: float, end: float) -> Body:
        point = {"at": "2026-09-21T00:00:00.000Z", "lat": 57.7, "lng": 11.9, "trip_id": None}
        return {"driver_id": driver_id, "items": [point], "removed_before": None}


class FakeFleet:
    def __init__(self) -> None:
        self.failing = False
        self.fleet = FleetSnapshot(
            ["drv_1", "drv_2"],
            np.array([57.70, 57.71]),
            np.array([11.95, 11.96]),
            np.array([90.0, 359.9]),
            np.array([1, 3], dtype=np.uint8),
        )

    async def snapshot(self) -> FleetSnapshot:
        return self.fleet

    async def demand(self) -> Mapping[int, int]:
        return {}

    def surge_at(self, place: LatLng) -> float:
        return 1.0

    async def kpis(self, shown: FleetSnapshot) -> Body:
        if self.failing:
            raise Unavailable("the store is away")
        figures = {"drivers_online": 2, "open_requests": 1, "active_trips": 1, "completed_trips": 7}
        return {**figures, "pickup_wait_s": 180.5}


class FakeAnswers:
    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, StoredAnswer]] = {}
        self.failing = False

    async def find(self, scope_key: str, body_hash: str) -> StoredAnswer | None:
        if scope_key not in self.kept:
            return None
        known, answer = self.kept[scope_key]
        if known != body_hash:
            raise Conflict("this Idempotency-Key was used with another body", code="idempotency_conflict")
        return answer

    async def keep(self, first: FirstAnswer) -> None:
        if self.failing:
            raise Unavailable("the store is away")
        self.kept.setdefault(first.scope_key, (first.body_hash, first.answer))


class FakeRoads:
    async def conditions(self, state: str | None) -> Body:
        feature = {"type": "Feature", "id": "1", "geometry": None, "properties": {"state": state}}
        return {"type": "FeatureCollection", "features": [feature]}


class FakeZones:
    def __init__(self) -> None:
        self.features: dict[str, Body] = {}

    def shown(self) -> Body:
        return {"type": "FeatureCollection", "features": list(self.features.values()), "version": len(self.features)}

    async def put(self, geojson: Any) -> Body:
        if geojson.get("type") != "Feature":
            raise InvalidInput(
                "type: must be Feature", code="bad_zone", errors=(FieldError("type", "must be Feature"),)
            )
        self.features[geojson["id"]] = geojson
        return {**self.shown(), "features": [geojson]}

    async def remove(self, zone_id: str) -> None:
        if self.features.pop(zone_id, None) is None:
            raise NotFound(f"there is no zone {zone_id}")


class Fakes:
    """Every fake, the engine made of them, and tokens for its callers."""

    def __init__(self, clock: Clock | None = None, wall: Clock | None = None, **web: Any) -> None:
        lists = TripSettings(history_page=3, history_page_max=4)
        self.settings = Settings(web=WebSettings(**{"max_body_bytes": 4_096, **web}), trips=lists)
        self.tokens = Tokens(KEY)
        self.tickets = Tickets(b"t" * 32, self.settings.web.ticket_s, MemoryTicketUses())
        self.answers = FakeAnswers()
        self.hub = Hub(self.settings.web.max_watchers)
        self.sessions, self.accounts, self.quotes = FakeSessions(), FakeAccounts(), FakeQuotes()
        self.rides, self.trips, self.cabs = FakeRides(), FakeTrips(), FakeCabs()
        self.rides.keeps_in = self.answers
        self.city, self.tracks, self.fleet = FakeCity(), FakeTracks(), FakeFleet()
        self.zones, self.closures = FakeZones(), FakeZones()
        known = KnownSegments(self.settings.segments, lambda: 0.0)
        self.segments = SegmentDesk(MemorySegments(), known, ManualClock())
        self.clock, self.wall = clock or ManualClock(), wall or SystemClock()
        self.checks: dict[str, Any] = {"sql": self._answers_well, "redis": self._answers_well}
        self._keys = itertools.count()

    @staticmethod
    async def _answers_well() -> None:
        return None

    def engine(self) -> Engine:
        return Engine(
            clock=self.clock,
            wall=self.wall,
            security=Security(self.tokens, self.tickets, self.answers),
            hub=self.hub,
            metrics=Metrics(),
            sessions=self.sessions,
            accounts=self.accounts,
            quotes=self.quotes,
            rides=self.rides,
            trips=self.trips,
            cabs=self.cabs,
            city=self.city,
            tracks=self.tracks,
            fleet=self.fleet,
            zones=self.zones,
            segments=self.segments,
            closures=self.closures,
            roads=FakeRoads(),
            readiness=self.checks,
            driver_schemas=driver_schemas(),
        )

    def bearer(self, scope: Any, subject: str, ttl_s: float = 60.0) -> dict[str, str]:
        """The header of a caller."""
        return {"Authorization": f"Bearer {self.tokens.sign(scope, subject, ttl_s)}"}

    def move_to(self, driver_ids: list[str]) -> None:
        """Only these drivers are there from now on."""
        n = len(driver_ids)
        ones = np.ones(n)
        self.fleet.fleet = replace(
            self.fleet.fleet,
            driver_ids=driver_ids,
            lat=57.7 * ones,
            lng=11.95 * ones,
            heading=0 * ones,
            status=np.ones(n, dtype=np.uint8),
        )
