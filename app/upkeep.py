"""What a process does now and then beside the rides, by its roles."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

from app.link import Link
from app.rooms import Rooms
from app.stores import Start, Stores
from app.watch import Watch
from app.wiring.segments import segment_keeper
from runtime.tasks import repeat

_LOOK_EVERY_S = 1.0  # wall time
_PURGE_EVERY_S = 600.0
_PRICE_EVERY_S = 300.0


def upkeep(
    start: Start, rooms: Rooms, stores: Stores, link: Link | None
) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
    """Each piece of work by name; it may be done by several processes at once."""
    clock, settings = start.clock.sleep, start.settings

    async def price() -> None:
        while await rooms.billing.catch_up():
            pass

    if "dispatch" in start.roles:
        search_s = settings.dispatch.look_every_s
        yield "the look for open searches", repeat(rooms.rides.searches.look, search_s, asyncio.sleep)
        keeper = segment_keeper(rooms.segments, start.city, stores, rooms.rides, settings.segments)
        lead_s = stores.databases.trips.settings.lease_s / 3
        yield "the lease of the segments", repeat(keeper.lead, lead_s, asyncio.sleep)
        yield "the look at the load of segments", repeat(keeper.look, settings.segments.every_s, asyncio.sleep)
    if "trips" in start.roles:
        lead_s = stores.databases.trips.settings.lease_s / 3
        yield "the lease of the learner", repeat(rooms.learner.lead, lead_s, asyncio.sleep)
        yield "the learner", repeat(rooms.learner.learn, settings.traffic.every_s, clock)
        yield "the pricing of trips without a fare", repeat(price, _PRICE_EVERY_S, clock)
    if "archiver" in start.roles:
        trips = settings.trips
        yield "the archiver", repeat(rooms.archiver.run_once, trips.archive_every_s, clock, trips.archive_retry_s)
        yield "the purge of old quotes", repeat(rooms.quotes.purge, _PURGE_EVERY_S, clock)
        yield "the purge of old looks", repeat(rooms.rides.explanations.purge, _PURGE_EVERY_S, clock)
        yield "the purge of old answers", repeat(rooms.answers.purge, _PURGE_EVERY_S, clock)
    if "edge" in start.roles and settings.cluster.geographies:
        probe_s = settings.cluster.probe_every_s
        yield "the look at the geographies", repeat(stores.geographies.look, probe_s, asyncio.sleep)
    yield "the look for changed zones", repeat(rooms.zones.refresh, settings.maps.zones_look_s, asyncio.sleep)
    yield "the look for changed segments", repeat(rooms.segments.refresh, settings.segments.look_s, asyncio.sleep)
    yield "the look for changed roads", repeat(rooms.roads.refresh, settings.maps.roads_look_s, asyncio.sleep)
    yield "the watch over Redis", repeat(stores.redis.look, settings.redis.look_every_s, asyncio.sleep)
    if stores.keeper is not None:
        yield "the keeper of Redis", repeat(stores.keeper.look, _LOOK_EVERY_S, asyncio.sleep)
    yield "the watch over gauges", repeat(Watch(rooms, stores, link).look, _LOOK_EVERY_S, asyncio.sleep)
