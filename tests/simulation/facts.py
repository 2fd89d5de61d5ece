"""What the engine says once it rests: read through its API, and its events from its store, by who only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from tests.simulation.history import Body, Record
from tests.simulation.http import Http

AT_ONCE = 16
_PAGE = 50
_TRIES = 20


class Spot(NamedTuple):
    """A point of a trail: epoch milliseconds, degrees."""

    ts: int
    lat: float
    lng: float


class Facts(msgspec.Struct):
    """The final reads. What the engine does not know is not in here."""

    requests: dict[str, Body] = {}
    trips: dict[str, Body] = {}
    trails: dict[str, list[Spot]] = {}
    rides_of: dict[str, list[str]] = {}  # a rider's or driver's trips over all pages, newest first
    events: list[Body] = []  # in the order of their commits, each with the `state` of its row
    delivered: set[str] | None = None  # ids of the events on the bus, where that keeps them


class Named(NamedTuple):
    """What a history and the events speak of."""

    requests: set[str]
    trips: set[str]
    riders: set[str]
    drivers: set[str]


def named(records: Sequence[Record], events: Sequence[Body]) -> Named:
    """Every id that a client or an event has mentioned."""
    found = Named(set(), set(), set(), set())
    for told in (*(record.told for record in records), *events):
        for name, ids in zip(("request_id", "trip_id", "rider_id", "driver_id"), found, strict=True):
            if told.get(name) is not None:
                ids.add(told[name])
    return found


class FactReader:
    """Reads what is new, and with `everything` all of it again, as what is over must not change any more."""

    def __init__(self, http: Http, events: Callable[[], Awaitable[list[Body]]]) -> None:
        self._http = http
        self._events = events
        self._facts = Facts()

    async def read(self, records: Sequence[Record], *, everything: bool = False) -> Facts:
        """The facts about everything that the records and the events name; nothing new was committed meanwhile."""
        events = await self._events()
        for _ in range(_TRIES):
            facts = await self._read(records, events, everything)
            before, events = events, await self._events()
            facts.events = events
            if len(events) == len(before):
                break
        return facts

    async def _read(self, records: Sequence[Record], events: Sequence[Body], everything: bool) -> Facts:
        ids = named(records, events)
        known = Facts() if everything else self._facts
        facts = Facts(dict(known.requests), dict(known.trips), dict(known.trails))
        await self._each(ids.requests - facts.requests.keys(), lambda each: self._request(facts, each))
        trips = ids.trips | {body["trip_id"] for body in facts.requests.values() if body["trip_id"]}
        await self._each(trips - facts.trips.keys(), lambda each: self._trip(facts, each))
        await self._each(ids.riders, lambda each: self._rides(facts, "riders", each))
        await self._each(ids.drivers, lambda each: self._rides(facts, "drivers", each))
        listed = {trip_id for rides in facts.rides_of.values() for trip_id in rides}
        await self._each(listed - facts.trips.keys(), lambda each: self._trip(facts, each))
        settled = {key for key, body in facts.trips.items() if is_settled(body)}
        self._facts = Facts(
            {key: body for key, body in facts.requests.items() if body["status"] not in ("searching", "offered")},
            {key: facts.trips[key] for key in settled},
            {key: facts.trails[key] for key in settled},
        )
        return facts

    async def _each(self, ids: Iterable[str], read: Callable[[str], Awaitable[None]]) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(each: str) -> None:
            async with gate:
                await read(each)

        await asyncio.gather(*(one(each) for each in sorted(ids)))

    async def _request(self, facts: Facts, request_id: str) -> None:
        if (body := await self._http.known(f"/v1/ride-requests/{request_id}")) is not None:
            facts.requests[request_id] = body

    async def _trip(self, facts: Facts, trip_id: str) -> None:
        if (body := await self._http.known(f"/v1/trips/{trip_id}")) is None:
            return
        facts.trips[trip_id] = body
        trail = await self._http.known(f"/v1/trips/{trip_id}/trail")
        facts.trails[trip_id] = [] if trail is None else spots(trail)

    async def _rides(self, facts: Facts, kind: str, person_id: str) -> None:
        rides: list[str] = []
        cursor: str | None = None
        while True:
            more = f"&cursor={cursor}" if cursor else ""
            page = await self._http.known(f"/v1/{kind}/{person_id}/trips?limit={_PAGE}{more}")
            if page is None:
                return
            rides += [trip["trip_id"] for trip in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        facts.rides_of[person_id] = rides


def is_settled(trip: Body) -> bool:
    """Whether nothing more will happen to a trip."""
    return trip["status"] == "cancelled" or (trip["status"] == "completed" and trip["fare"] is not None)


def spots(trail: Body) -> list[Spot]:
    """The pings of a trail."""
    pings: Body = trail["properties"]["pings"]
    return [
        Spot(round(datetime.fromisoformat(at).timestamp() * 1000), lat, lng)
        for at, (lng, lat) in zip(pings["times"], pings["coordinates"], strict=True)
    ]
