"""The pings of a real morning in Porto, through real sockets, come out right: segments, drops by reason, trails."""

from __future__ import annotations

import asyncio
import collections
import json
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h3
import pyarrow.parquet as pq
import pytest
from websockets.asyncio.client import ClientConnection, connect

from location.adapters.memory import MemorySupply
from location.adapters.sqlite_trail import SqliteTrail
from location.gateway import Gateway, GatewayParts
from location.live import LiveDrivers
from location.supply import Supply
from location.table import USED, PingRows
from maps.segments import segment_of
from runtime.auth import Identity
from runtime.clocks import ManualClock
from runtime.settings import LocationSettings
from runtime.sql import Database
from tests.location.conftest import FakeDesk

_log = logging.getLogger(__name__)

SETTINGS = LocationSettings(
    tick_s=0.02,
    ack_every_s=0.02,
    max_frames_per_s=1e6,
    flood_burst=100_000,
    fresh_s=2 * 86_400.0,  # it is a replay: the morning's last pings are to be found in the supply
)
WINDOW = 64  # pings of one driver on their way
AREA = (41.05, 41.30, -8.75, -8.45)  # south, north, west, east: some of the trips leave it


def in_area(lat: float, lng: float, /) -> bool:
    south, north, west, east = AREA
    return south <= lat <= north and west <= lng <= east


@dataclass
class Leg:
    """One trip of one cab: its pings as messages, numbered over the cab's whole day."""

    trip_id: str
    pings: list[dict[str, Any]]


@dataclass
class Expected:
    """What should come out, computed in plain Python without anything of the engine."""

    segments: dict[tuple[str, int], str] = field(default_factory=dict)  # (driver, seq) of the accepted -> cell
    dropped: collections.Counter[str] = field(default_factory=collections.Counter)
    trails: dict[str, list[int]] = field(default_factory=lambda: collections.defaultdict(list))


class Noting(Gateway):
    """A gateway that notes the segment of each used ping; it sees every ping of the lane and of single messages."""

    def __init__(self, parts: GatewayParts) -> None:
        super().__init__(parts, "127.0.0.1", 0)
        self.noted: dict[tuple[str, int], int] = {}
        self._use, self._path.use = self._path.use, self._note  # type: ignore[method-assign]

    def _note(self, pings: PingRows, now: float) -> None:
        self._use(pings, now)
        for row in pings[pings["fate"] == USED]:
            key = self._live.at(int(row["slot"])).id, int(row["seq"])
            assert key not in self.noted
            self.noted[key] = int(row["segment"])


def days_of(folder: Path) -> dict[str, list[Leg]]:
    """Driver -> trips by start. Two trips of a cab may overlap: the source has such, and then pings go back in time."""
    rows = pq.read_table(folder / "porto_traces.parquet").to_pylist()
    trips: dict[tuple[str, str], list[dict[str, Any]]] = collections.defaultdict(list)
    for row in rows:
        trips[f"drv_{row['taxi_id']}", row["trip_id"]].append(row)
    days: dict[str, list[Leg]] = collections.defaultdict(list)
    seqs: collections.Counter[str] = collections.Counter()
    for (driver_id, trip_id), points in sorted(trips.items(), key=lambda item: (item[1][0]["time"], item[0])):
        pings = []
        for point in sorted(points, key=lambda point: point["seq"]):
            seqs[driver_id] += 1
            ts = round(point["time"].timestamp() * 1000)
            pings.append(
                {"type": "ping", "seq": seqs[driver_id], "ts": ts, "lat": point["lat"], "lng": point["lng"]}
            )  # fmt: skip
        days[driver_id].append(Leg(trip_id, pings))
    return days


def expect(days: dict[str, list[Leg]]) -> Expected:
    """The contract's rules, written down a second time."""
    expected = Expected()
    for driver_id, legs in days.items():
        last: dict[str, Any] | None = None
        for leg in legs:
            for ping in leg.pings:
                reason = None
                gap_s = (ping["ts"] - last["ts"]) / 1000 if last else math.inf
                if gap_s < 0:
                    reason = "out_of_order"
                elif gap_s < 0.5:
                    reason = "too_soon"
                elif not (AREA[0] <= ping["lat"] <= AREA[1] and AREA[2] <= ping["lng"] <= AREA[3]):
                    reason = "outside"
                elif last and metres(last, ping) / gap_s > 70:
                    reason = "too_fast"
                if reason:
                    expected.dropped[reason] += 1
                    continue
                cell = h3.cell_to_parent(h3.latlng_to_cell(ping["lat"], ping["lng"], 10), 8)
                expected.segments[driver_id, ping["seq"]] = cell
                expected.trails[leg.trip_id].append(ping["ts"])
                last = ping
    return expected


def metres(a: dict[str, Any], b: dict[str, Any]) -> float:
    """Great circle by the law of cosines on vectors, a third way beside haversine and H3."""

    def vector(p: dict[str, Any]) -> tuple[float, float, float]:
        lat, lng = math.radians(p["lat"]), math.radians(p["lng"])
        return math.cos(lat) * math.cos(lng), math.cos(lat) * math.sin(lng), math.sin(lat)

    return 6_371_008.8 * 2 * math.asin(min(1.0, math.dist(vector(a), vector(b)) / 2))


class Fleet:
    """Every cab's app, in a thread of its own so that the gateway's processor time can be told apart."""

    def __init__(
        self, port: int, days: dict[str, list[Leg]], begin_trip: Callable[[str, str], Awaitable[None]]
    ) -> None:
        self._port = port
        self._days = days
        self._begin_trip = begin_trip

    async def drive_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for driver_id, legs in self._days.items():
                group.create_task(self._drive(driver_id, legs))

    async def _drive(self, driver_id: str, legs: list[Leg]) -> None:
        headers = {"Authorization": f"Bearer {driver_id}"}
        url = f"ws://127.0.0.1:{self._port}/v1/driver/ws"
        async with connect(url, additional_headers=headers, compression=None, ping_interval=None) as socket:
            assert json.loads(await socket.recv())["last_seq"] == 0
            await socket.send('{"type":"status","online":true}')
            for leg in legs:
                await self._begin_trip(driver_id, leg.trip_id)
                for start in range(0, len(leg.pings), WINDOW):
                    window = leg.pings[start : start + WINDOW]
                    for ping in window:
                        await socket.send(json.dumps(ping))
                    await self._acked(socket, window[-1]["seq"])

    @staticmethod
    async def _acked(socket: ClientConnection, seq: int) -> None:
        while (message := json.loads(await socket.recv()))["seq"] < seq:
            assert message["type"] == "ack"


async def in_thread(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in another thread's loop."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:
            failures.append(error)
        loop.call_soon_threadsafe(done.set)

    thread = threading.Thread(target=run)
    thread.start()
    await done.wait()
    thread.join()
    if failures:
        raise failures[0]


@pytest.mark.slow
@pytest.mark.data
async def test_a_morning_in_porto_comes_out_right(shared_data: Path, tmp_path: Path) -> None:
    days = days_of(shared_data)
    expected = expect(days)
    sent = sum(len(leg.pings) for legs in days.values() for leg in legs)
    assert (len(days), sent) == (340, 60_997)

    clock = ManualClock(start=1_372_700_000.0)  # after the last of them
    live, store = LiveDrivers(), MemorySupply()
    supply = Supply(live, store, clock, fresh_s=SETTINGS.fresh_s)
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'archive.db'}")
    trail = SqliteTrail(database)
    await trail.prepare()
    parts = GatewayParts(
        authorize=lambda token, _ticket: Identity("driver", str(token)),
        desk=FakeDesk(),
        supply=supply,
        trail=trail,
        clock=clock,
        settings=SETTINGS,
        segment_of=segment_of,
        inside=in_area,
    )
    gateway = Noting(parts)
    await gateway.start()
    here = asyncio.get_running_loop()

    async def set_busy(driver_id: str, trip_id: str) -> None:
        supply.set_busy(driver_id, trip_id)

    async def begin_trip(driver_id: str, trip_id: str) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(set_busy(driver_id, trip_id), here))

    fleet = Fleet(gateway.port, days, begin_trip)
    cpu = time.thread_time()
    await in_thread(fleet.drive_all())
    cpu = time.thread_time() - cpu
    await supply.flush()

    counts = gateway.counts()
    assert {reason: n for reason, n in counts.pings_dropped.items() if n} == dict(expected.dropped)
    assert expected.dropped["too_fast"] > 0
    assert counts.pings_accepted == len(expected.segments)
    assert counts.pings_accepted + sum(counts.pings_dropped.values()) == sent

    # every driver was in the right segment after every used ping, and is in the right one now
    assert {key: h3.int_to_str(cell) for key, cell in gateway.noted.items()} == expected.segments
    newest = {driver_id: cell for (driver_id, _), cell in expected.segments.items()}
    rows = await store.in_segments([h3.str_to_int(cell) for cell in set(newest.values())])
    found = dict(zip(rows.driver_ids, map(h3.int_to_str, rows.segment.tolist()), strict=True))
    assert found == {driver_id: newest[driver_id] for driver_id in newest}

    await gateway.close()
    for trip_id in {leg.trip_id for legs in days.values() for leg in legs}:
        assert (await trail.of_trip(trip_id)).ts.tolist() == expected.trails.get(trip_id, [])
    await database.close()
    _log.info("%d pings, %d per CPU second of the gateway's thread", sent, sent / cpu)
