"""`zones`: which zone is each of a million places in, beside shapely asked polygon by polygon and R-tree alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import shapely

from benchmarks.harness import Ask, Result, Rounds, fail, interleaved, machine, rounded, today, versions
from core.geo import FloatArray, IntArray
from maps.zones import NO_ZONE, Layer

PLACES, QUICK_PLACES = 1_000_000, 200_000
SINGLE_PLACES = 50_000
BOX = (57.60, 11.80, 57.80, 12.15)  # south, west, north, east: a town
CASES = {"area_1": (1, 0.06, 2_000), "zones_50": (50, 0.008, 200), "zones_500": (500, 0.003, 200)}

_NOTES = [
    "area_1: one jagged zone of 2,000 vertices; zones_50, zones_500: so many of 200 vertices, some over others. Places "
    "are spread evenly over a town of 22 by 21 km.",
    "per_s: `Layer.which_many` on one core, exact. contains_xy: shapely's, prepared, one polygon after the other; the "
    "first that has a place counts. rtree: an STRtree query of points with the predicate.",
    "single_us: one place at a time, as a ping or a booking asks.",
]


def run(ask: Ask) -> Result:
    """Measure in turns. Raises WrongAnswer when any place is put into another zone than shapely says."""
    before, rng, rounds = machine(), np.random.default_rng(0), Rounds()
    n = QUICK_PLACES if ask.quick else PLACES
    south, west, north, east = BOX
    lat, lng = rng.uniform(south, north, n), rng.uniform(west, east, n)
    checked = 0
    for case, (count, radius, vertices) in CASES.items():
        polygons = [_jagged(rng, radius, vertices) for _ in range(count)]
        began = time.perf_counter()
        layer = Layer(polygons)
        rounds.add(f"{case}_build_ms", 1e3 * (time.perf_counter() - began))
        tree = shapely.STRtree(polygons)
        prepared = np.array(polygons, dtype=object)
        shapely.prepare(prepared)
        ways: dict[str, Callable[[], IntArray]] = {
            "per_s": lambda layer=layer: layer.which_many(lat, lng),  # type: ignore[misc]
            "contains_xy_per_s": lambda prepared=prepared: _one_by_one(prepared, lat, lng),  # type: ignore[misc]
            "rtree_per_s": lambda tree=tree: _by_tree(tree, lat, lng),  # type: ignore[misc]
        }
        found = ways["per_s"]()
        if not np.array_equal(found, ways["contains_xy_per_s"]()):
            fail(f"{case}: places are in other zones than shapely says")
        checked += n
        for name in interleaved(list(ways), 3 if ask.quick else ask.rounds):
            began = time.perf_counter()
            ways[name]()
            rounds.add(f"{case}_{name}", n / (time.perf_counter() - began))
        rounds.add(f"{case}_single_us", _single_us(layer, lat, lng))
        ask.say(f"{case}: {rounds.median(f'{case}_per_s') / 1e6:.1f} M places a second")
    ratios = {
        f"vs_{peer}_{case}": rounds.add_ratio(f"vs_{peer}_{case}", f"{case}_per_s", f"{case}_{peer}_per_s")
        for case in CASES
        for peer in ("contains_xy", "rtree")
    }
    figures = {name: value for name, value in rounds.medians().items() if name not in ratios}
    return Result(
        name="zones",
        figures={"worst_per_s": rounded(min(figures[f"{case}_per_s"] for case in CASES))} | figures,
        ratios=ratios,
        spread=rounds.spreads(),
        checked=checked,
        machine=before,
        versions=versions({"shapely": shapely.__version__}),
        date=today(),
        quick=ask.quick,
        notes=_NOTES,
    )


def _jagged(rng: np.random.Generator, radius: float, vertices: int) -> shapely.Polygon:
    south, west, north, east = BOX
    angle = np.sort(rng.uniform(0, 2 * np.pi, vertices))
    reach = radius * rng.uniform(0.7, 1.0, vertices)
    lng, lat = rng.uniform(west, east), rng.uniform(south, north)
    return shapely.polygons(np.column_stack([lng + reach * np.cos(angle), lat + reach * np.sin(angle)]))


def _one_by_one(prepared: object, lat: FloatArray, lng: FloatArray) -> IntArray:
    found = np.full(len(lat), NO_ZONE, dtype=np.int64)
    for number in reversed(range(len(prepared))):  # type: ignore[arg-type]
        found[shapely.intersects_xy(prepared[number], lng, lat)] = number  # type: ignore[index]
    return found


def _by_tree(tree: shapely.STRtree, lat: FloatArray, lng: FloatArray) -> IntArray:
    place, number = tree.query(shapely.points(lng, lat), predicate="intersects")
    found = np.full(len(lat), np.iinfo(np.int64).max)
    np.minimum.at(found, place, number)
    return np.where(found == np.iinfo(np.int64).max, NO_ZONE, found)


def _single_us(layer: Layer, lat: FloatArray, lng: FloatArray) -> float:
    places = list(zip(lat[:SINGLE_PLACES].tolist(), lng[:SINGLE_PLACES].tolist(), strict=True))
    began = time.perf_counter()
    for at in places:
        layer.which(*at)
    return 1e6 * (time.perf_counter() - began) / len(places)
