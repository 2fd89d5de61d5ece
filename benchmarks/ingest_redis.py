"""The supply of moving drivers in Redis: what a ping costs there and here, beside GEOADD for every ping.

Drivers send a ping every five seconds, a fiftieth of them in each tick of a tenth of a second. Ours: the pings are
judged, and the tick tells RedisSupply what it must know (a new segment at once, a position every position_every_s).
The peer: GEOADD for each ping of the tick, in one pipeline of redis-py with hiredis. The server is the same Valkey on
a unix socket; its cost is its CPU time as the scheduler booked it, the client's that of `Supply.flush` or the pipeline.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import redis

from benchmarks.harness import Ask, Result, Rounds, fail, machine, rounded, today, versions
from benchmarks.peers.geosearch import ValkeyServer
from benchmarks.processes import children, cpu_s
from benchmarks.servers.gateway import surroundings
from location.adapters.memory import MemoryTrail
from location.adapters.redis import RedisSupply
from location.live import LiveDrivers
from location.pings import PingPath
from location.supply import Supply
from location.table import PING, PingRows
from location.trail import TrailWriter
from maps.cellrules import CellRules
from maps.segmenttable import SegmentTable
from maps.zones import Zone, Zones
from runtime.clocks import ManualClock
from runtime.redis import connect
from runtime.redis_settings import RedisSettings
from runtime.settings import LocationSettings

DRIVERS = 20_000
TICKS = 50  # in five seconds
STEP_M = 41.5  # of five seconds of driving
WARM_TURNS = 4  # of five seconds
TURNS = 6
BOX = (57.66, 11.85, 57.76, 12.05)
_METRES_PER_DEGREE = 111_195.0


@dataclass
class Fleet:
    """Drivers who drive on, the heading drifting, and turn round at the edge of the town."""

    rng: np.random.Generator
    now: float
    seq: int = 0
    place: np.ndarray = field(init=False)
    heading: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.place = self.rng.uniform(BOX[:2], BOX[2:], (DRIVERS, 2))
        self.heading = self.rng.uniform(0, 2 * np.pi, DRIVERS)

    def tick(self, number: int) -> PingRows:
        """The pings of this tick, as rows of PING."""
        who = np.arange(number % TICKS, DRIVERS, TICKS)
        self.seq += number % TICKS == 0
        self.heading[who] += self.rng.uniform(-0.17, 0.17, len(who))
        step = np.stack([np.cos(self.heading[who]), np.sin(self.heading[who]) / np.cos(np.radians(57.7))], axis=1)
        there = self.place[who] + step * STEP_M / _METRES_PER_DEGREE
        stays = ((there >= BOX[:2]) & (there <= BOX[2:])).all(axis=1)
        self.place[who] = np.where(stays[:, None], there, self.place[who])
        self.heading[who] += np.where(stays, 0, np.pi)
        pings = np.zeros(len(who), dtype=PING)
        pings["slot"], pings["seq"], pings["ts"] = who, self.seq, int(self.now * 1000)
        pings["lat"], pings["lng"] = self.place[who].T
        pings["heading"] = pings["speed"] = pings["accuracy"] = np.nan
        return pings


@dataclass
class Spent:
    """CPU seconds."""

    server: float = 0.0
    client: float = 0.0
    pings: int = 0
    changes: int = 0


class Ours:
    """The engine's way."""

    def __init__(self, server: ValkeyServer, clock: ManualClock) -> None:
        settings = LocationSettings(keep_idle_pings=False)
        self.live, self.clock, self._pid = LiveDrivers(), clock, server.pid
        self.client = connect(RedisSettings(url=f"unix://{server.socket}"))
        self.store = RedisSupply(self.client)
        self.supply = Supply(self.live, self.store, clock, fresh_s=settings.fresh_s)
        table, zones = SegmentTable(), Zones([Zone("area", "service_area", "area", surroundings(*BOX))])
        cells = CellRules(lambda: table, lambda: zones)
        writer = TrailWriter(MemoryTrail(), self.live, settings)
        self.path = PingPath(self.live, writer, table.locate, settings, cells=cells)
        for number in range(DRIVERS):
            driver_id = f"drv_{number:06d}"
            self.live.set_connected(driver_id, True)
            self.live.own(driver_id, 1 + number)
            self.live.set_online(driver_id, True, clock.now())

    async def take(self, pings: PingRows, spent: Spent) -> None:
        self.path.use(pings, self.clock.now())
        before, client = cpu_s(self._pid), time.process_time()
        spent.changes += await self.supply.flush()
        spent.client += time.process_time() - client
        spent.server += cpu_s(self._pid) - before
        spent.pings += len(pings)

    async def check(self) -> int:
        """Everyone stands in the right segment of the store, and no farther from the truth than is promised."""
        rows = await self.store.of_drivers([f"drv_{number:06d}" for number in range(DRIVERS)])
        if len(rows.driver_ids) != DRIVERS:
            fail(f"{DRIVERS} drivers, but {len(rows.driver_ids)} in Redis")
        slots = np.array([int(each[4:]) for each in rows.driver_ids])
        here = self.live.rows[slots]
        if (rows.segment.astype(np.int64) != here["segment"]).any():
            fail("a driver stands in a segment that was left")
        behind = float((here["seen_at"] - rows.seen_at).max())
        if behind >= LocationSettings().position_every_s:
            fail(f"a position in Redis is {behind:.1f} s older than the last ping")
        return DRIVERS


class Peer:
    """GEOADD for every ping."""

    def __init__(self, server: ValkeyServer) -> None:
        self._pid = server.pid
        self.client = redis.Redis(unix_socket_path=str(server.socket))

    def take(self, pings: PingRows, spent: Spent) -> None:
        rows = list(zip(pings["slot"].tolist(), pings["lat"].tolist(), pings["lng"].tolist(), strict=True))
        before, client = cpu_s(self._pid), time.process_time()
        pipe = self.client.pipeline(transaction=False)
        for slot, lat, lng in rows:
            pipe.geoadd("drivers", (lng, lat, f"drv_{slot:06d}"))
        pipe.execute()
        spent.client += time.process_time() - client
        spent.server += cpu_s(self._pid) - before
        spent.pings += len(rows)


def run(ask: Ask) -> Result:
    """Measure; see the module."""
    before = machine()
    rounds = Rounds()
    with children() as running, tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer(Path(folder), running)
        checked, changes = asyncio.run(_measure(ask, server, rounds))
    ratios = {
        "vs_geoadd_server": rounds.add_ratio("vs_geoadd_server", "geoadd_server_us", "supply_server_us"),
        "vs_redispy_client": rounds.add_ratio("vs_redispy_client", "redispy_client_us", "supply_client_us"),
    }
    figures = {name: value for name, value in rounds.medians().items() if name not in ratios}
    return Result(
        name="ingest-redis",
        figures={**figures, "changes_per_ping": rounded(changes)},
        ratios=ratios,
        spread=rounds.spreads(),
        checked=checked,
        machine=before,
        versions=versions(),
        date=today(),
        quick=ask.quick,
        notes=[
            f"{DRIVERS:,} drivers at 8.3 m/s, a ping every 5 s; microseconds of CPU per ping. changes_per_ping: how "
            "many drivers a ping makes the supply tell Redis of.",
            "Ours writes more than a position: the members of segments, whole rows, epochs of hosts, who is silent.",
        ],
    )


async def _measure(ask: Ask, server: ValkeyServer, rounds: Rounds) -> tuple[int, float]:
    clock = ManualClock()
    ours, peer = Ours(server, clock), Peer(server)
    fleet = Fleet(np.random.default_rng(5), clock.now())
    told = Spent()
    for turn in range(WARM_TURNS + (2 if ask.quick else TURNS)):
        mine, theirs = Spent(), Spent()
        for number in range(TICKS):
            await clock.advance(5.0 / TICKS, settle_s=0)
            fleet.now = clock.now()
            pings = fleet.tick(number)
            await ours.take(pings.copy(), mine)
            peer.take(pings, theirs)
        if turn < WARM_TURNS:
            continue
        for name, spent in (("supply", mine), ("geoadd", theirs)):
            rounds.add(f"{name}_server_us", spent.server / spent.pings * 1e6)
            client = "supply_client_us" if name == "supply" else "redispy_client_us"
            rounds.add(client, spent.client / spent.pings * 1e6)
        told.pings, told.changes = told.pings + mine.pings, told.changes + mine.changes
        ask.say(
            f"server {mine.server / mine.pings * 1e6:.2f} us of {theirs.server / theirs.pings * 1e6:.2f}, "
            f"client {mine.client / mine.pings * 1e6:.2f} us of {theirs.client / theirs.pings * 1e6:.2f}"
        )
    checked = await ours.check()
    await ours.client.aclose()
    peer.client.close()
    return checked, told.changes / told.pings
