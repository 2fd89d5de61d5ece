"""The embedded engine: every room in one process, on stores that need no installation.

Starting order: stores, rooms, the ports, then drivers, events, searches, and last the API. Stopping goes the other way
round, so that nothing is accepted that could not be finished. A port that is taken is found before anything moves.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, cast

import httpx

from app.clock import ClockMark
from app.databases import open_databases
from app.rooms import Rooms, Stores, connect_rooms
from app.schema import upgrade
from app.server import Server, reachable
from app.watch import RedisKeeper, Watch
from core.ids import Ids
from dispatch.searches import ONE_LANE
from location.adapters.redis import RedisSupply
from location.adapters.sqlite_trail import SqliteTrail
from maps.cities import City
from maps.routes import RouteWorkers
from runtime.auth import Scope, Tickets, Tokens
from runtime.bus import MemoryBus
from runtime.clocks import EngineClock, SystemClock
from runtime.datadir import DataDir
from runtime.geographies import Geographies, HttpProbe
from runtime.lease import Lease
from runtime.outbox import Relay
from runtime.settings import Settings
from runtime.sql import Database
from runtime.tasks import Tasks, repeat
from runtime.telemetry import Metrics
from runtime.valkey import LocalValkey, connect
from trips.adapters.sqlite_archive import SqliteTripArchive

_LOOK_EVERY_S = 1.0  # wall time
_PURGE_EVERY_S = 600.0
_PRICE_EVERY_S = 300.0
_OWNER = "the engine of this data directory"  # there is one at a time: the next takes over at once


@dataclass(frozen=True, slots=True)
class Start:
    """What an engine is started with. `data` is held already."""

    city: City
    data: DataDir
    settings: Settings
    clock: EngineClock


@dataclass(frozen=True, slots=True)
class EmbeddedEngine:
    """A running engine."""

    rooms: Rooms
    server: Server
    settings: Settings
    tokens: Tokens
    failed: asyncio.Future[None]  # raises what ended the engine's work; never done while all is well
    started: float  # time.monotonic()

    @property
    def url(self) -> str:
        """The API's address."""
        return self.server.url

    @property
    def gateway_url(self) -> str:
        """The address of drivers' sockets, from this machine."""
        return f"ws://{reachable(self.settings.web.host)}:{self.rooms.gateway.port}/v1/driver/ws"

    @property
    def speed(self) -> float:
        """Engine seconds per wall second."""
        return self.settings.runtime.clock_speed

    async def run_until(self, stopping: asyncio.Event) -> None:
        """Return when told to stop; raises what ended the engine's work before."""
        stop = asyncio.ensure_future(stopping.wait())
        waited: list[asyncio.Future[Any]] = [stop, self.failed]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if self.failed.done():
            self.failed.result()

    def mint(self, scope: str, subject: str) -> str:
        """A token for a rider, a driver or an operator of this engine."""
        return self.tokens.sign(cast(Scope, scope), subject, self.settings.web.token_s)


@contextlib.asynccontextmanager
async def embedded_engine(start: Start) -> AsyncIterator[EmbeddedEngine]:
    """Run an engine for as long as the block lasts; whatever an earlier one left open goes on.

    Raises Unavailable when a port is taken or a store does not start; nothing is left running then.
    """
    async with contextlib.AsyncExitStack() as stack:
        tasks = Tasks()
        try:
            yield await _started(start, tasks, stack)
        finally:
            tasks.stop()


async def _started(start: Start, tasks: Tasks, stack: contextlib.AsyncExitStack) -> EmbeddedEngine:
    """What is pushed on the stack last is closed first."""
    mark = ClockMark(start.data, start.clock)
    stack.callback(mark.close)
    valkey = LocalValkey(start.data.valkey_socket, start.settings.runtime.valkey_start_timeout_s)
    await valkey.start()
    stack.push_async_callback(valkey.stop)
    stores = await _open_stores(start, valkey, stack)
    tokens = Tokens(start.data.key())
    rooms = connect_rooms(start.city, stores, tokens, start.settings)
    stack.push_async_callback(tasks.close)

    server = Server(rooms.edge, start.settings)
    stack.callback(server.release)
    server.open()
    await rooms.note_trips()
    stack.push_async_callback(stores.relay.close)
    stack.push_async_callback(rooms.rides.close)
    await rooms.gateway.start()
    stack.push_async_callback(rooms.gateway.close)

    stores.relay.start()
    tasks.start("the relay", stores.relay.wait())
    await rooms.rides.searches.take(ONE_LANE)
    for name, work in _repeated(start, rooms, stores):
        tasks.start(name, work)
    tasks.start("the mark of engine time", repeat(mark.keep, _LOOK_EVERY_S, asyncio.sleep))
    keeper = RedisKeeper(valkey, rooms.live)
    tasks.start("the watch over Redis", repeat(keeper.look, _LOOK_EVERY_S, asyncio.sleep))
    stack.push_async_callback(server.close)
    tasks.watch(server.start())
    return EmbeddedEngine(rooms, server, start.settings, tokens, tasks.failed, time.monotonic())


def _repeated(start: Start, rooms: Rooms, stores: Stores) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
    """What runs now and then beside the rides, by name."""
    clock = start.clock.sleep

    async def price() -> None:
        while await rooms.billing.catch_up():
            pass

    yield "the archiver", repeat(rooms.archiver.run_once, start.settings.trips.archive_every_s, clock)
    yield "the pricing of trips without a fare", repeat(price, _PRICE_EVERY_S, clock)
    yield "the purge of old quotes", repeat(rooms.quotes.purge, _PURGE_EVERY_S, clock)
    yield "the purge of old answers", repeat(rooms.answers.purge, _PURGE_EVERY_S, clock)
    if start.settings.cluster.geographies:
        probe_s = start.settings.cluster.probe_every_s
        yield "the look at the geographies", repeat(stores.geographies.look, probe_s, asyncio.sleep)
    yield "the watch over gauges", repeat(Watch(rooms, stores).look, _LOOK_EVERY_S, asyncio.sleep)


async def _open_stores(start: Start, valkey: LocalValkey, stack: contextlib.AsyncExitStack) -> Stores:
    settings = start.settings
    client = connect(valkey.url)
    stack.push_async_callback(client.aclose)
    databases = open_databases(settings.sql, start.data.sql_url)
    stack.push_async_callback(databases.close)
    await upgrade(databases)
    archive = Database(start.data.archive_url, settings.sql)
    stack.push_async_callback(archive.close)
    trail, trips = SqliteTrail(archive), SqliteTripArchive(archive)
    await trail.prepare()
    await trips.prepare()
    routes = RouteWorkers(start.city.valhalla_config, settings.maps, settings.runtime.route_workers)
    stack.push_async_callback(routes.aclose)
    http = await stack.enter_async_context(httpx.AsyncClient())
    bus = MemoryBus()
    return Stores(
        databases=databases,
        archive=archive,
        redis=client,
        supply=RedisSupply(client),
        trails=trail,
        trips=trips,
        routes=routes,
        bus=bus,
        relay=Relay(Lease(databases.trips, "relay", _OWNER), bus, start.clock, settings.runtime, random.Random()),
        clock=start.clock,
        wall=SystemClock(),
        ids=Ids(start.clock, random.SystemRandom()),
        tickets=Tickets(settings.web.ticket_s),
        metrics=Metrics(),
        geographies=Geographies(settings.cluster, HttpProbe(http, settings.cluster.probe_timeout_s)),
    )
