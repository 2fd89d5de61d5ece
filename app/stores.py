"""The stores of a process: each engine of the settings, or where it is not named the embedded one."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import httpx
import msgspec

from app.archives import Archives, open_archives
from app.databases import Databases, open_databases
from app.keeper import RedisKeeper
from app.roles import ALL, Role
from app.schema import upgrade
from core.bus import Bus
from core.clock import Clock
from core.ids import Ids
from dispatch.adapters.redis import RedisClaims
from dispatch.ports import SharedClaims
from location.adapters.kafka import KafkaPositions
from location.adapters.redis import RedisSupply
from location.ports import PositionStream, SupplyStore
from maps.cities import City
from maps.livespeeds import LiveSpeeds
from maps.routes import RouteWorkers
from runtime.auth import Tickets, Tokens
from runtime.bus import MemoryBus
from runtime.clocks import EngineClock, SystemClock
from runtime.datadir import DataDir
from runtime.geographies import Geographies, HttpProbe
from runtime.kafka.bus import KafkaBus
from runtime.lease import Lease
from runtime.outbox import Relay
from runtime.redis import Client, connect
from runtime.redis_tickets import RedisTicketUses
from runtime.redis_watch import RedisWatch
from runtime.settings import Settings
from runtime.telemetry import Metrics
from runtime.valkey import LocalValkey

_ONLY_OWNER = "the engine of this data directory"  # there is one at a time: the next takes over at once


@dataclass(frozen=True, slots=True)
class Stores:
    """Where things are kept and what time it is: all that differs between compositions."""

    client: Client  # of Redis
    databases: Databases
    archives: Archives
    redis: RedisWatch
    keeper: RedisKeeper | None  # of an embedded Redis
    supply: SupplyStore
    routes: RouteWorkers
    speeds: LiveSpeeds | None  # that they go by; None for a city without tiles
    bus: Bus
    relay: Relay
    owner: str  # of leases: the name of this process
    clock: Clock
    wall: Clock
    ids: Ids
    tickets: Tickets
    metrics: Metrics
    geographies: Geographies
    claims: SharedClaims | None = None
    positions: PositionStream | None = None  # nobody follows them in one process


@dataclass(frozen=True, slots=True)
class Start:
    """What an engine is started with. `data` is held already by a process that plays every role."""

    city: City
    data: DataDir
    settings: Settings
    clock: EngineClock
    roles: AbstractSet[Role] = ALL


async def open_stores(start: Start, tokens: Tokens, stack: contextlib.AsyncExitStack) -> Stores:
    """Open them; `stack` closes them. Raises Unavailable when one that is needed does not answer."""
    settings = start.settings
    client, keeper = await _redis(start, stack)
    ids = Ids(start.clock, random.SystemRandom())
    watch = RedisWatch(client, ids.new("host"))
    await watch.look()
    databases = open_databases(settings.sql, start.data.sql_url)
    stack.push_async_callback(databases.close)
    await upgrade(databases)
    archives = await open_archives(start.data, settings, start.clock, stack)
    speeds = None
    if start.city.valhalla_config is not None:
        speeds = LiveSpeeds(start.city.pack_dir, start.city.roads)
        stack.callback(speeds.close)
    routes = RouteWorkers(start.city.valhalla_config, settings.maps, settings.runtime.route_workers, speeds)
    stack.push_async_callback(routes.aclose)
    http = await stack.enter_async_context(httpx.AsyncClient())
    owner = ids.new("relay") if settings.sql.url else _ONLY_OWNER
    bus: Bus = MemoryBus()
    if settings.kafka.brokers:
        bus = KafkaBus(settings.kafka, settings.runtime, start.clock, random.Random())
    return Stores(
        client=client,
        databases=databases,
        archives=archives,
        redis=watch,
        keeper=keeper,
        supply=RedisSupply(client),
        routes=routes,
        speeds=speeds,
        bus=bus,
        owner=owner,
        relay=Relay(Lease(databases.trips, "relay", owner), bus, start.clock, settings.runtime, random.Random()),
        clock=start.clock,
        wall=SystemClock(),
        ids=ids,
        tickets=Tickets(tokens.derived_key("tickets"), settings.web.ticket_s, RedisTicketUses(client)),
        metrics=Metrics(),
        geographies=Geographies(settings.cluster, HttpProbe(http, settings.cluster.probe_timeout_s)),
        claims=RedisClaims(client) if settings.redis.url else None,
        positions=await _positions(start, stack),
    )


async def _redis(start: Start, stack: contextlib.AsyncExitStack) -> tuple[Client, RedisKeeper | None]:
    settings, keeper = start.settings.redis, None
    if not settings.url:
        valkey = LocalValkey(start.data.valkey_socket, start.settings.runtime.valkey_start_timeout_s)
        await valkey.start()
        stack.push_async_callback(valkey.stop)
        settings = msgspec.structs.replace(settings, url=valkey.url)
        keeper = RedisKeeper(valkey)
    client = connect(settings)
    stack.push_async_callback(client.aclose)
    return client, keeper


async def _positions(start: Start, stack: contextlib.AsyncExitStack) -> KafkaPositions | None:
    """The stream of positions, which gateways alone write to."""
    if not start.settings.kafka.brokers or "gateway" not in start.roles:
        return None
    positions = KafkaPositions(start.settings.kafka)
    await positions.start()
    stack.push_async_callback(positions.close)
    return positions
