"""Road ETAs: 30 drivers to one rider beside Valhalla's matrix on the same tiles, pairs, and new weights for a city.

Every answer is compared with scipy's Dijkstra on the same graph of turns, also after new weights and closures. CPU
seconds of this process are counted; Valhalla runs in it, too, as pyvalhalla does, and uses one thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import valhalla

from benchmarks.agreement import agreement
from benchmarks.harness import (
    Ask,
    Result,
    Rounds,
    fail,
    growth_exponent,
    interleaved,
    machine,
    rounded,
    today,
    versions,
)
from benchmarks.packs import HOME, city_of
from benchmarks.peers.dijkstra import Reference
from benchmarks.processes import ROOT
from core.geo import FloatArray, LatLng
from maps.cities import City
from maps.eta import EtaIndex, Travel
from maps.snap import METRES_PER_DEGREE, Snaps
from maps.tilebuild import TILES_FILE

CITIES = ("manhattan", "gothenburg", "porto")  # by size
DRIVERS, NEAR_M, NOISE_M = 30, 4_000.0, 10.0
OUR_QUERIES, PEER_QUERIES = 200, 5  # of a turn
PAIRS = 200_000
ORIGINS, QUICK_ORIGINS = 64, 4  # whose searches check pairs
ALGORITHMS = {"default": "select_optimal", "timedistance": "timedistancematrix"}
ENDS = 1_600
_SEED = 20


@dataclass
class Case:
    """One city, its questions, and how many answers were checked."""

    city: City
    actors: dict[str, Any]
    queries: list[tuple[FloatArray, FloatArray, LatLng]]
    rng: np.random.Generator
    checked: int = 0
    asked: dict[str, int] = field(default_factory=dict)

    @property
    def index(self) -> EtaIndex:
        return self.city.eta

    def ours_30x1_us(self) -> float:
        """CPU of one question, snapping included."""
        questions = [self._next("ours") for _ in range(OUR_QUERIES)]
        begin = time.process_time()
        for lat, lng, rider in questions:
            self.index.to_one(lat, lng, rider)
        return (time.process_time() - begin) / OUR_QUERIES * 1e6

    def valhalla_30x1_us(self, algorithm: str) -> float:
        """The same by Valhalla's matrix."""
        questions = [self._next(algorithm) for _ in range(PEER_QUERIES)]
        begin = time.process_time()
        for lat, lng, rider in questions:
            matrix_s(self.actors[algorithm], lat, lng, rider)
        return (time.process_time() - begin) / PEER_QUERIES * 1e6

    def pairs_per_s(self, points: Snaps) -> float:
        """Pairs of points on the road per CPU second, none of them shared between pairs."""
        origins, ends = points.take(slice(0, len(points) // 2)), points.take(slice(len(points) // 2, None))
        begin = time.process_time()
        self.index.pairs(origins, ends)
        return len(origins) / (time.process_time() - begin)

    def update_s(self, seconds: FloatArray) -> float:
        """CPU of new weights for all edges."""
        begin = time.process_time()
        self.index.update(seconds)
        return time.process_time() - begin

    def _next(self, who: str) -> tuple[FloatArray, FloatArray, LatLng]:
        self.asked[who] = self.asked.get(who, -1) + 1
        return self.queries[self.asked[who] % len(self.queries)]

    def anywhere(self, count: int) -> Snaps:
        """Points on edges of the whole city."""
        edges = self.rng.integers(0, self.city.roads.edge_count, count).astype(np.int32)
        return Snaps(edges, self.rng.uniform(0.01, 0.99, count), np.zeros(count))

    def check(self, seconds: FloatArray, ends: int, *, quick: bool) -> None:
        """Pairs from some origins to as many ends, and questions, under the weights in force."""
        reference = Reference(self.index, seconds)
        origins, targets = self.anywhere(QUICK_ORIGINS if quick else ORIGINS), self.anywhere(ends)
        self._compare(self.index.table(origins, targets), reference.table(origins, targets), origins, targets)
        for lat, lng, rider in self.queries[: 3 if quick else 20]:
            points, end = self.index.snap(lat, lng), self.index.snap_one(rider)
            inside = (points.fraction > 1e-9) & (points.fraction < 1 - 1e-9)
            if not 1e-9 < end.fraction[0] < 1 - 1e-9:
                continue  # the reference knows no junctions
            points = points.take(np.flatnonzero(inside))
            answer, expected = self.index.to_one_snapped(points, end), reference.to_one(points, end)
            self._compare(_column(answer), _column(expected), points, end)

    def _compare(self, found: Travel, expected: Travel, origins: Snaps, ends: Snaps) -> None:
        opposite = self.city.roads.opposite
        same = (origins.edge[:, None] == ends.edge) | (opposite[origins.edge][:, None] == ends.edge)
        wrong = (found.seconds != expected.seconds) | (found.metres != expected.metres)
        if (wrong & ~same).any():
            fail(f"{(wrong & ~same).sum()} of {wrong.size} times of {self.city.name} are not those of Dijkstra")
        self.checked += int((~same).sum())


def _column(travel: Travel) -> Travel:
    return Travel(travel.seconds[:, None], travel.metres[:, None])


def matrix_s(actor: Any, lat: FloatArray, lng: FloatArray, rider: LatLng) -> FloatArray:
    """Valhalla's seconds from each point to the rider, NaN where it knows none."""
    sources = [{"lat": a, "lon": b} for a, b in zip(lat.tolist(), lng.tolist(), strict=True)]
    targets = [{"lat": rider.lat, "lon": rider.lng}]
    answer = actor.matrix({"sources": sources, "targets": targets, "costing": "auto", "verbose": False})
    found = answer["sources_to_targets"]["durations"]
    return np.array([row[0] if row[0] is not None else np.nan for row in found], dtype=np.float64)


def _case(name: str, ask: Ask, rounds: Rounds) -> Case:
    city = city_of(name, ask.say)
    for _ in range(1 if ask.quick else 5):  # in a process of its own, where no memory has been used before
        told = subprocess.run(
            [sys.executable, "-c", _LOAD, name, str(HOME)], check=True, capture_output=True, text=True, cwd=ROOT
        ).stdout.split()
        rounds.add(f"{name}_load_s", float(told[0]))
        rounds.add(f"{name}_load_cpu_s", float(told[1]))
    actors = {}
    for algorithm, setting in ALGORITHMS.items():
        assert city.valhalla_config is not None
        config = json.loads(city.valhalla_config.read_text("utf-8"))
        config["mjolnir"]["tile_extract"] = str(city.pack_dir / TILES_FILE)
        config["thor"]["source_to_target_algorithm"] = setting
        actors[algorithm] = valhalla.Actor(config)
    rng = np.random.default_rng(_SEED)
    roads, scale = city.roads, METRES_PER_DEGREE * np.array([1.0, np.cos(np.radians(city.centre.lat))])
    away = np.hypot(*((np.column_stack([roads.point_lat, roads.point_lng]) - city.centre) * scale).T)
    near = np.flatnonzero(away < max(NEAR_M, float(away.min()) + NEAR_M / 2))
    queries = []
    for _ in range(OUR_QUERIES):
        rows = rng.choice(near, DRIVERS + 1)
        noise = rng.normal(0, NOISE_M, (2, len(rows)))
        lat, lng = roads.point_lat[rows] + noise[0] / scale[0], roads.point_lng[rows] + noise[1] / scale[1]
        queries.append((lat[1:].copy(), lng[1:].copy(), LatLng(float(lat[0]), float(lng[0]))))
    return Case(city, actors, queries, rng)


def run(ask: Ask) -> Result:
    """Measure; see the module."""
    before, rounds, checked = machine(), Rounds(), 0
    figures: dict[str, float] = {}
    for name in CITIES[-1:] if ask.quick else CITIES:
        case = _case(name, ask, rounds)
        figures |= {f"{name}_edges": case.city.roads.edge_count, f"{name}_depth_mean": _depth(case.index)}
        case.check(case.city.roads.seconds, ENDS, quick=ask.quick)
        _turns(case, ask, rounds)
        figures |= _memory(case) | agreement(case.city, quick=ask.quick)
        checked += case.checked
        measured = {key.removeprefix(f"{name}_"): value for key, value in rounds.medians().items() if name in key}
        ask.say(f"{name}: " + ", ".join(f"{key} {value:,.4g}" for key, value in measured.items()))
    figures = rounds.medians() | {key: rounded(value) for key, value in figures.items()}
    porto = CITIES[-1]
    figures |= {"pairs_per_s": figures[f"{porto}_pairs_per_s"], "update_s": figures[f"{porto}_update_s"]}
    if not ask.quick:
        figures |= _growth(figures)
    ratios = {
        f"vs_valhalla_30x1_{name}_{algorithm}": rounds.add_ratio(
            f"vs_valhalla_30x1_{name}_{algorithm}", f"{name}_valhalla_{algorithm}_30x1_us", f"{name}_30x1_us"
        )
        for name in (CITIES[-1:] if ask.quick else CITIES)
        for algorithm in ALGORITHMS
    }
    worst = min(ratios[f"vs_valhalla_30x1_{porto}_{algorithm}"] for algorithm in ALGORITHMS)
    return Result(
        name="eta",
        figures=figures,
        ratios={"vs_valhalla_30x1": worst} | ratios,
        spread=rounds.spreads(),
        checked=checked,
        machine=before,
        versions=versions({"pyvalhalla": valhalla.__version__}),
        date=today(),
        quick=ask.quick,
        notes=_NOTES,
    )


def _turns(case: Case, ask: Ask, rounds: Rounds) -> None:
    """The rounds of one city, then its weights changed, some streets closed, and all checked again."""
    name, seconds = case.city.name, case.city.roads.seconds
    everywhere = case.anywhere(2 * PAIRS)
    near = [case.index.snap(lat, lng) for lat, lng, _ in case.queries]
    close_by = Snaps(*(np.resize(np.concatenate([getattr(s, part) for s in near]), 2 * PAIRS) for part in _PARTS))
    traffic = seconds * case.rng.uniform(0.8, 4.0, len(seconds))
    rounds.add(f"{name}_first_update_s", case.update_s(traffic))  # takes memory that was never used before
    ways: dict[str, Callable[[], float]] = {
        "30x1_us": case.ours_30x1_us,
        **{
            f"valhalla_{algorithm}_30x1_us": lambda algorithm=algorithm: case.valhalla_30x1_us(algorithm)  # type: ignore[misc]
            for algorithm in ALGORITHMS
        },
        "pairs_per_s": lambda: case.pairs_per_s(everywhere),
        "near_pairs_per_s": lambda: case.pairs_per_s(close_by),
        "update_s": lambda: case.update_s(seconds),
    }
    for way in ways.values():
        way()  # once, uncounted: first pages, first tiles
    for way_name in interleaved(list(ways), ask.rounds):
        rounds.add(f"{name}_{way_name}", ways[way_name]())
    for weights in (traffic, np.where(case.rng.random(len(seconds)) < 0.1, np.inf, traffic), seconds):
        case.index.update(weights)
        case.check(weights, ENDS, quick=ask.quick)


def _depth(index: EtaIndex) -> float:
    return float(index.tree.depth.mean()) + 1


def _memory(case: Case) -> dict[str, float]:
    """Bytes per directed edge: of one metric (time or length) in one set of labels, and of all that the index holds."""
    index, edges, name = case.index, case.city.roads.edge_count, case.city.name
    labels = sum(part.nbytes for part in index.metric.labels)
    return {
        f"{name}_bytes_per_edge_metric_and_buffer": labels / 2 / edges,
        f"{name}_bytes_per_edge_in_all": index.nbytes() / edges,
    }


def _growth(figures: dict[str, float]) -> dict[str, float]:
    """Exponents of cost against edges, over the three cities."""
    edges = [figures[f"{name}_edges"] for name in CITIES]
    costs = {
        "30x1": [figures[f"{name}_30x1_us"] for name in CITIES],
        "pair": [1 / figures[f"{name}_pairs_per_s"] for name in CITIES],
        "update": [figures[f"{name}_update_s"] for name in CITIES],
        "memory": [figures[f"{name}_bytes_per_edge_in_all"] * figures[f"{name}_edges"] for name in CITIES],
    }
    return {f"growth_exponent_{key}": rounded(growth_exponent(edges, cost)) for key, cost in costs.items()}


_LOAD = """
import sys, time
from pathlib import Path
from maps.cities import load_city
wall, cpu = time.perf_counter(), time.process_time()
load_city(sys.argv[1], Path(sys.argv[2]))
print(time.perf_counter() - wall, time.process_time() - cpu)
"""
_PARTS = ("edge", "fraction", "distance_m")
_NOTES = [
    f"{DRIVERS} drivers to one rider, within {NEAR_M / 1000:.0f} km of the centre and {NOISE_M:.0f} m off the road; "
    "points in, seconds and metres out, snapping included. The first ratio is the smaller one of Porto's.",
    "Valhalla: `matrix` of pyvalhalla in this process, once with the algorithm it chooses by itself, once with "
    "timedistancematrix; its answer is JSON, as it comes.",
    "valhalla_correlation, valhalla_median_difference_pct, valhalla_p95_difference_pct: our times beside those of "
    "Valhalla's routes, 1,000 pairs of random points on streets of the whole city, snapped by both; each edge 0.8 to "
    "4 times as slow as at free flow, both with these weights (as live speeds in Valhalla's traffic archive); "
    "valhalla_free_flow: with those of free flow. The difference is |ours / theirs - 1|. No pair is left out but those "
    "without a way. valhalla_route_ms: one route by a worker process, pipe included; route_ms: by our labels, with its "
    "line. Wall time, one after the other.",
    "pairs_per_s: points on random edges of the whole city, each used once; near: those of the questions. A pair on "
    "two-way streets has four ways to begin and end; all are looked at. update_s: all edges; the first update of a "
    "process takes memory for its second set of labels.",
    "bytes per edge: of labels for one metric and one buffer; in all: labels of both metrics in both buffers, weights, "
    "tree, turns, snap grid. Loading: in a fresh process, imports left out: a pack read, checked, its labels filled.",
]
