"""The driver gateway alone, as the engine composes it, with the supply in memory and nobody behind the desk.

    python -m benchmarks.servers.gateway KEY SOUTH WEST NORTH EAST [TRAIL.db]

KEY signs the drivers' tokens. Prints "port N"; at SIGTERM, its counters and a check of the supply as JSON. With a trail
file, idle pings are logged there too, as an embedded engine does by default.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import signal
import sys
from pathlib import Path

import h3
import msgspec
import shapely
import uvloop

from core.errors import Unauthorized
from location.adapters.memory import MemorySupply, MemoryTrail
from location.adapters.sqlite_trail import SqliteTrail
from location.gateway import Gateway, GatewayParts
from location.live import LiveDrivers
from location.model import DriverState
from location.ports import TrailLog
from location.supply import Supply
from maps.cellrules import CellRules
from maps.segmenttable import SegmentTable
from maps.zones import Zone, Zones
from runtime.auth import Identity, Tokens
from runtime.clocks import SystemClock
from runtime.settings import LocationSettings
from runtime.sql import Database


class EmptyDesk:
    """A driver desk without trips and offers: everyone may work."""

    async def state(self, driver_id: str) -> DriverState:
        return DriverState()

    async def status(self, driver_id: str, online: bool) -> None: ...

    async def disconnected(self, driver_id: str) -> None: ...

    async def accept(self, driver_id: str, offer_id: str) -> None: ...

    async def decline(self, driver_id: str, offer_id: str, reason: str | None) -> None: ...

    async def arrive(self, driver_id: str, trip_id: str) -> None: ...

    async def board(self, driver_id: str, trip_id: str, start_code: str) -> None: ...

    async def complete(self, driver_id: str, trip_id: str) -> None: ...

    async def cancel(self, driver_id: str, trip_id: str, reason: str) -> None: ...


def surroundings(south: float, west: float, north: float, east: float) -> shapely.Polygon:
    """A service area with slanted edges around the box in which drivers drive."""
    lat, lng = (north - south) / 2, (east - west) / 2
    return shapely.Polygon(
        [(west - lng, south), (west, south - lat), (east, south - lat), (east + lng, north), (east, north + lat),
         (west, north + lat)]
    )  # fmt: skip


async def serve(key: str, box: tuple[float, float, float, float], trail_file: Path | None) -> None:
    """Serve until SIGTERM."""
    tokens = Tokens(bytes.fromhex(key))
    clock = SystemClock()
    # the client's drives begin a day back, and every driver is to be kept in the supply as if it were now
    settings = LocationSettings(keep_idle_pings=trail_file is not None, fresh_s=2 * 86_400.0)
    store = MemorySupply()
    supply = Supply(LiveDrivers(), store, clock, fresh_s=settings.fresh_s)

    def authorize(token: str | None, ticket: str | None) -> Identity:
        if token is None:
            raise Unauthorized("a token is needed")
        return tokens.verify(token)

    async with contextlib.AsyncExitStack() as stack:
        trail: TrailLog = MemoryTrail()
        if trail_file is not None:
            database = Database(f"sqlite+aiosqlite:///{trail_file}")
            stack.push_async_callback(database.close)
            trail = log = SqliteTrail(database)
            await log.prepare()
        table = SegmentTable()
        zones = Zones([Zone("area", "service_area", "area", surroundings(*box))])
        parts = GatewayParts(
            authorize=authorize,
            desk=EmptyDesk(),
            supply=supply,
            trail=trail,
            clock=clock,
            settings=settings,
            segment_of=table.locate,
            inside=zones.contains,
            cells=CellRules(lambda: table, lambda: zones),
        )
        gateway = Gateway(parts, "127.0.0.1", 0)
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        await gateway.start()
        gc.set_threshold(100_000, 20, 20)  # as `hexcab serve` does
        gc.freeze()
        print(f"port {gateway.port}", flush=True)
        await stopping.wait()
        counts = msgspec.to_builtins(gateway.counts())
        wrong = 0
        for driver in (each for each in supply.live if each.placed):
            finest = h3.latlng_to_cell(driver.lat, driver.lng, 10)
            wrong += h3.cell_to_parent(finest, 8) != f"{driver.segment:x}"
        print(json.dumps(counts | {"drivers": len(supply.live), "wrong_segments": wrong}), flush=True)
        await gateway.close()


if __name__ == "__main__":
    south, west, north, east = map(float, sys.argv[2:6])
    uvloop.run(serve(sys.argv[1], (south, west, north, east), Path(sys.argv[6]) if len(sys.argv) > 6 else None))
