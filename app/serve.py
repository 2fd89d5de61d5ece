"""`hexcab serve`: run the engine until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys

import msgspec
import uvloop

from app.cities import ready_city
from app.clock import engine_clock
from app.engine import running_engine
from app.roles import ALL, roles_of
from app.stores import Start
from core.errors import Conflict, InvalidInput
from runtime.clocks import WallClock
from runtime.datadir import DataDir
from runtime.settings import Settings, load_settings
from runtime.telemetry import log_to

_log = logging.getLogger("hexcab.serve")

# what a tick makes is gone before so much is made that the collector looks at it
_GC_AFTER = 100_000, 20, 20


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. Raises HexcabError when the engine cannot go on."""
    settings = with_ports(load_settings(arguments.settings), arguments.port, arguments.gateway_port)
    log_to(sys.stderr, settings.runtime.log_level)
    roles = roles_of(arguments.role)
    if roles != ALL:
        check_cluster(settings)
        city = ready_city(arguments.city, settings.maps)
        uvloop.run(serve(Start(city, DataDir(arguments.data_dir), settings, WallClock(), roles)))
        return 0
    with DataDir(arguments.data_dir) as data:
        check_city(data, arguments.city)
        city = ready_city(arguments.city, settings.maps)
        data.remember("city", city.name)  # only now: a name that is no city's must not stay
        clock = engine_clock(data, settings.runtime.clock_speed)
        uvloop.run(serve(Start(city, data, settings, clock)))
    return 0


def check_cluster(settings: Settings) -> None:
    """Raises InvalidInput where one process of several would keep something to itself."""
    engines = {
        "sql.url": settings.sql.url,
        "redis.url": settings.redis.url,
        "kafka.brokers": settings.kafka.brokers,
        "cassandra.hosts": settings.cassandra.hosts,
    }
    missing = [name for name, value in engines.items() if not value]
    if missing:
        raise InvalidInput(
            f"a role of its own needs stores that other processes share: set {', '.join(missing)} in --settings",
            code="engines_missing",
        )
    if settings.runtime.clock_speed != 1.0:
        raise InvalidInput("runtime.clock_speed: several processes can only follow the wall's clock, at speed 1")


async def serve(start: Start) -> None:
    """Run an engine until this process is asked to stop."""
    stopping = stop_signal()
    async with running_engine(start) as engine:
        gc.collect()
        gc.set_threshold(*_GC_AFTER)
        gc.freeze()  # what is there now stays: no collection needs to go through a city and its libraries again
        _log.info("serving", extra={"url": engine.url, "gateway_url": engine.gateway_url, "city": start.city.name})
        await engine.run_until(stopping)
        _log.info("stopping")


def stop_signal() -> asyncio.Event:
    """Set when this process is asked to stop."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def with_ports(settings: Settings, port: int | None, gateway_port: int | None) -> Settings:
    """The settings with ports from the command line; the gateway's port follows the API's unless it is given."""
    web = settings.web
    if port is not None:
        web = msgspec.structs.replace(web, port=port, gateway_port=port + 1 if port else 0)
    if gateway_port is not None:
        web = msgspec.structs.replace(web, gateway_port=gateway_port)
    return msgspec.structs.replace(settings, web=web)


def check_city(data: DataDir, city: str) -> None:
    """Raises Conflict when a data directory holds the rides of another city: they would make no sense on this one."""
    known = data.recall("city")
    if known not in (None, city):
        raise Conflict(
            f"{data.path} holds the rides of {known}; choose another --data-dir for {city}", code="other_city"
        )
