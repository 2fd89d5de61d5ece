"""How near the times of the EtaIndex are to those of Valhalla's routes, and how long single routes take.

Random points on streets of the whole city, asked by coordinates, as riders' apps do: both snap for themselves. Valhalla
answers through the product's route workers, with the weights in force written for it as live speeds.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, closing

import numpy as np

from benchmarks.harness import fail
from core.geo import FloatArray, LatLng
from maps.cities import City
from maps.livespeeds import LiveSpeeds, slowest
from maps.paths import NoRoute
from maps.routes import RouteWorkers

PAIRS, QUICK_PAIRS = 1_000, 100
_SLOWER = (0.8, 4.0)  # times the free-flow time, of each edge for itself
_UNANSWERED_MAX = 0.01
_SEED = 31


def agreement(city: City, *, quick: bool) -> dict[str, float]:
    """By free-flow times, and by random ones: correlation, median and 95th percentile of the relative difference."""
    return asyncio.run(_agreement(city, QUICK_PAIRS if quick else PAIRS))


async def _agreement(city: City, count: int) -> dict[str, float]:
    rng, roads, figures = np.random.default_rng(_SEED), city.roads, dict[str, float]()
    lat, lng = _places(city, 2 * count, rng)
    slow = np.minimum(roads.seconds * rng.uniform(*_SLOWER, roads.edge_count), slowest(roads))
    with closing(LiveSpeeds(city.pack_dir, roads)) as speeds:
        async with aclosing(RouteWorkers(city.valhalla_config, speeds=speeds)) as workers:
            for name, seconds in (("valhalla_free_flow", roads.seconds), ("valhalla", slow)):
                city.eta.update(seconds)
                speeds.write(seconds)
                origins, ends = city.eta.snap(lat[:count], lng[:count]), city.eta.snap(lat[count:], lng[count:])
                ours = city.eta.pairs(origins, ends).seconds
                theirs, took_ms = await _routes(workers, lat, lng)
                figures |= {f"{name}_{key}": value for key, value in _compare(city, ours, theirs).items()}
                figures["valhalla_route_p50_ms"], figures["valhalla_route_p99_ms"] = np.percentile(took_ms, [50, 99])
    city.eta.update(roads.seconds)
    figures["route_p50_ms"], figures["route_p99_ms"] = np.percentile(_own_routes(city, lat, lng), [50, 99])
    return {f"{city.name}_{key}": float(value) for key, value in figures.items()}


def _places(city: City, count: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Points between two neighbouring points of a street's shape, on random edges."""
    roads = city.roads
    edge = rng.integers(0, roads.edge_count, count)
    row = rng.integers(roads.point_at[edge], roads.point_at[edge + 1] - 1)
    share = rng.uniform(0, 1, count)
    return tuple(part[row] * (1 - share) + part[row + 1] * share for part in (roads.point_lat, roads.point_lng))  # type: ignore[return-value]


async def _routes(workers: RouteWorkers, lat: FloatArray, lng: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Seconds and wall milliseconds of Valhalla's route of each pair; NaN where it knows none."""
    count = len(lat) // 2
    seconds, took_ms = np.full(count, np.nan), np.empty(count)
    for row in range(count):
        begin = time.perf_counter()
        try:
            route = await workers.route(_place(lat, lng, row), _place(lat, lng, count + row))
            seconds[row] = route.duration_s
        except NoRoute:
            pass
        took_ms[row] = 1_000 * (time.perf_counter() - begin)
    return seconds, took_ms


def _own_routes(city: City, lat: FloatArray, lng: FloatArray) -> FloatArray:
    """Wall milliseconds of our own route of each pair, with its line."""
    count = len(lat) // 2
    took_ms = np.empty(count)
    for row in range(count):
        begin = time.perf_counter()
        city.paths.path(_place(lat, lng, row), _place(lat, lng, count + row))
        took_ms[row] = 1_000 * (time.perf_counter() - begin)
    return took_ms


def _place(lat: FloatArray, lng: FloatArray, row: int) -> LatLng:
    return LatLng(float(lat[row]), float(lng[row]))


def _compare(city: City, ours: FloatArray, theirs: FloatArray) -> dict[str, float]:
    both = np.isfinite(ours) & np.isfinite(theirs)
    if (~both).mean() > _UNANSWERED_MAX:
        fail(f"{(~both).sum()} of {len(both)} pairs in {city.name} have no way by one of the two")
    apart = np.abs(ours[both] / np.maximum(theirs[both], 1.0) - 1)
    median, late = np.percentile(apart, [50, 95])
    return {
        "correlation": float(np.corrcoef(ours[both], theirs[both])[0, 1]),
        "median_difference_pct": 100 * median,
        "p95_difference_pct": 100 * late,
        "pairs": float(both.sum()),
    }
