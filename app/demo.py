"""`hexcab demo`: a city with simulated drivers and riders on the embedded engine, through the real sockets and API."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import Iterator

import msgspec
import uvloop

from app.cities import ready_city
from app.clock import engine_clock
from app.engine import RunningEngine, running_engine
from app.serve import check_city, stop_signal, with_ports
from app.stores import Start
from app.summary import Summary, show
from core.geo import LatLng
from maps.cities import City
from runtime.datadir import DataDir
from runtime.settings import Settings
from runtime.telemetry import log_to
from simulator.agents.codes import StartCodes
from simulator.agents.fleet import Fleet, FleetPlan
from simulator.agents.recorder import Tally
from simulator.agents.world import World
from trips.model import By

_ARCHIVE_EVERY_S = 600.0  # so that archived trips are seen in a short demo


def run(arguments: argparse.Namespace) -> int:
    """Run until the time is over or Ctrl-C; both end well."""
    settings = demo_settings(arguments)
    with DataDir(arguments.data_dir) as data, _logging_into(data, settings):
        check_city(data, arguments.city)
        city = ready_city(arguments.city, settings.maps, quiet=arguments.json)
        data.remember("city", city.name)
        start = Start(city, data, settings, engine_clock(data, arguments.speed))
        summary = uvloop.run(_demo(arguments, start))
    if arguments.json:
        print(json.dumps(summary.as_json()))
    else:
        print(summary.as_text())
    return 0


def demo_settings(arguments: argparse.Namespace) -> Settings:
    """The defaults, with a console that anybody on this machine may watch."""
    settings = with_ports(Settings(), arguments.port, None)
    return msgspec.structs.replace(
        settings,
        web=msgspec.structs.replace(settings.web, open_console=True),
        trips=msgspec.structs.replace(settings.trips, archive_every_s=_ARCHIVE_EVERY_S),
        runtime=msgspec.structs.replace(settings.runtime, clock_speed=arguments.speed),
    )


async def _demo(arguments: argparse.Namespace, start: Start) -> Summary:
    stopping = stop_signal()
    async with running_engine(start) as engine:
        await _end_old_rides(engine)
        tally = Tally(start.clock)
        fleet = Fleet(FleetPlan(arguments.drivers, arguments.rate, arguments.seed), _world(engine, start, tally))
        fleet.start()
        ends_at = None if arguments.minutes is None else time.monotonic() + arguments.minutes * 60
        shown = asyncio.create_task(show(engine, tally, quiet=arguments.json))
        ends: list[asyncio.Task[None]] = [
            asyncio.create_task(engine.run_until(stopping)),
            asyncio.create_task(fleet.wait()),
        ]
        try:
            left_s = None if ends_at is None else ends_at - time.monotonic()
            done, _ = await asyncio.wait(ends, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            summary = Summary.of(engine, tally)
            for each in done:
                each.result()  # raises what ended the engine or the fleet
        finally:
            for task in (shown, *ends):
                task.cancel()
            await asyncio.gather(shown, *ends, return_exceptions=True)
            await fleet.stop()
    return summary


async def _end_old_rides(engine: RunningEngine) -> None:
    """The drivers of an earlier demo on this data directory are gone for good, and their riders with them."""
    for trip in await engine.rooms.live_trips.active():
        await engine.rooms.trips.cancel(trip.trip_id, By("ops", "demo"), "its demo has ended")


def _world(engine: RunningEngine, start: Start, tally: Tally) -> World:
    city = start.city
    return World(
        clock=start.clock,
        base_url=engine.url,
        gateway_url=engine.gateway_url,
        mint=engine.mint,
        path=city.paths.path,
        place=lambda rng: random_place(city, rng),
        recorder=tally,
        codes=StartCodes(),
    )


def random_place(city: City, rng: random.Random) -> LatLng:
    """A crossing of the city's roads; crossings are dense where people are."""
    return city.roads.node(rng.randrange(city.roads.node_count))


@contextlib.contextmanager
def _logging_into(data: DataDir, settings: Settings) -> Iterator[None]:
    """Logs go to a file, as the terminal shows the summary; what is wrong is said on stderr as well."""
    with (data.path / "hexcab.log").open("a", encoding="utf-8") as stream:
        handler = log_to(stream, settings.runtime.log_level)
        try:
            yield
        except BaseException:
            print(f"hexcab: the log is in {data.path / 'hexcab.log'}", file=sys.stderr)
            raise
        finally:
            handler.flush()
