"""The embedded engine: every room in one process, on stores that need no installation.

Starting order: data directory, stores, rooms, recovery, sockets. Stopping goes the other way round, so that nothing is
accepted that could not be finished.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

from app.rooms import Rooms, Stores, connect_rooms
from app.schema import upgrade
from app.server import Server
from app.watch import Watch
from core.clock import Clock
from core.ids import Ids
from location.adapters.redis import RedisSupply
from location.adapters.sqlite_trail import SqliteTrail
from maps.cities import City
from maps.routes import RouteWorkers
from runtime.auth import Scope, Tickets, Tokens
from runtime.bus import MemoryBus
from runtime.clocks import SystemClock
from runtime.datadir import DataDir
from runtime.outbox import Relay
from runtime.settings import Settings
from runtime.sql import Database
from runtime.telemetry import Metrics
from runtime.valkey import LocalValkey, connect
from trips.adapters.sqlite_archive import SqliteTripArchive


@dataclass(frozen=True, slots=True)
class Start:
    """What an engine is started with. `data` is held already."""

    city: City
    data: DataDir
    settings: Settings
    clock: Clock


@dataclass(frozen=True, slots=True)
class EmbeddedEngine:
    """A running engine."""

    rooms: Rooms
    server: Server
    settings: Settings
    tokens: Tokens
    started: float  # time.monotonic()

    @property
    def url(self) -> str:
        """The API's address."""
        return self.server.url

    @property
    def gateway_url(self) -> str:
        """The address of drivers' sockets."""
        return f"ws://{self.settings.web.host}:{self.rooms.gateway.port}/v1/driver/ws"

    @property
    def speed(self) -> float:
        """Engine seconds per wall second."""
        return self.settings.runtime.clock_speed

    def mint(self, scope: str, subject: str) -> str:
        """A token for a rider, a driver or an operator of this engine."""
        return self.tokens.sign(cast(Scope, scope), subject, self.settings.web.token_s)


@contextlib.asynccontextmanager
async def embedded_engine(start: Start) -> AsyncIterator[EmbeddedEngine]:
    """Run an engine for as long as the block lasts; whatever an earlier one left open goes on.

    Raises Unavailable when a port is taken or a store does not start.
    """
    async with contextlib.AsyncExitStack() as stack:
        stores = await _open_stores(start, stack)
        tokens = Tokens(start.data.key())
        rooms = connect_rooms(start.city, stores, tokens, start.settings)
        await rooms.recover()
        server = Server(rooms.edge, start.settings)
        server.open()  # takes the port before drivers connect, so that a taken port leaves nothing half started
        stack.push_async_callback(server.close)
        await rooms.gateway.start()
        stack.push_async_callback(rooms.gateway.close)
        stores.relay.start()
        stack.push_async_callback(stores.relay.close)
        stack.push_async_callback(rooms.rides.close)
        watch = Watch(rooms, stores)
        for work in (
            server.serve(),
            rooms.archiver.run_forever(),
            watch.run_forever(),
            rooms.purge_forever(start.clock),
        ):
            task = asyncio.create_task(work)
            stack.push_async_callback(_end, task)
        yield EmbeddedEngine(rooms, server, start.settings, tokens, time.monotonic())


async def _open_stores(start: Start, stack: contextlib.AsyncExitStack) -> Stores:
    settings = start.settings
    valkey = LocalValkey(start.data.valkey_socket, settings.runtime.valkey_start_timeout_s)
    await valkey.start()
    stack.push_async_callback(valkey.stop)
    client = connect(valkey.url)
    stack.push_async_callback(client.aclose)
    main = _opened(Database(start.data.sql_url, settings.runtime), stack)
    await upgrade(main)
    archive = _opened(Database(start.data.archive_url, settings.runtime), stack)
    trail, trips = SqliteTrail(archive), SqliteTripArchive(archive)
    await trail.prepare()
    await trips.prepare()
    routes = RouteWorkers(start.city.valhalla_config, settings.maps, settings.runtime.route_workers)
    stack.push_async_callback(routes.aclose)
    bus = MemoryBus()
    return Stores(
        main=main,
        archive=archive,
        redis=client,
        supply=RedisSupply(client),
        trails=trail,
        trips=trips,
        routes=routes,
        bus=bus,
        relay=Relay(main, bus, start.clock, settings.runtime),
        clock=start.clock,
        wall=SystemClock(),
        ids=Ids(start.clock, random.SystemRandom()),
        tickets=Tickets(settings.web.ticket_s),
        metrics=Metrics(),
    )


def _opened(database: Database, stack: contextlib.AsyncExitStack) -> Database:
    stack.push_async_callback(database.close)
    return database


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
