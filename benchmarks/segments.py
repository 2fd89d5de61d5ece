"""`segments`: the segment of each of an array of places, beside h3 asked for a cell at each; and neighbourhoods."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import h3
import h3.api.basic_int as plain
import numpy as np

from benchmarks.harness import Ask, Result, Rounds, fail, interleaved, machine, rounded, today, versions
from core.geo import FloatArray
from maps import segments
from maps.neighbours import Neighbours, Shapes, surroundings
from maps.segments import SegmentArray
from maps.segmenttable import SegmentTable

PLACES, QUICK_PLACES = 500_000, 100_000
BOX = (41.10, -8.70, 41.22, -8.54)  # south, west, north, east: Porto
MOST_M = 15_000.0

_NOTES = [
    "Places are spread evenly over Porto. base: nothing was split or merged; cut: a third of the base cells split, a "
    "third of those split again, and the outermost merged.",
    "h3 has no vectorised call since version 4: h3_finest and h3_base ask latlng_to_cell once a place in a list "
    "comprehension and make an array of the answers, at resolution 10 (which is where every lookup must begin, so that "
    "splits stay true) and at resolution 8. The ratios say how many times h3's cost ours is.",
    "around_ms: the neighbourhood of a segment out to 15 km, when it is first asked for.",
]


def run(ask: Ask) -> Result:
    """Measure in turns. Raises WrongAnswer when a place is in another segment than one by one with h3's parents."""
    before, rng, rounds = machine(), np.random.default_rng(0), Rounds()
    n = QUICK_PLACES if ask.quick else PLACES
    south, west, north, east = BOX
    lat, lng = rng.uniform(south, north, n), rng.uniform(west, east, n)
    tables = {"base": SegmentTable(), "cut": _cut(rng)}
    ways: dict[str, Callable[[], SegmentArray]] = {
        "base_ns": lambda: tables["base"].locate_many(lat, lng),
        "cut_ns": lambda: tables["cut"].locate_many(lat, lng),
        "h3_finest_ns": lambda: _by_h3(lat, lng, segments.FINEST_RESOLUTION),
        "h3_base_ns": lambda: _by_h3(lat, lng, segments.BASE_RESOLUTION),
    }
    checked = sum(_check(table, lat[:50_000], lng[:50_000]) for table in tables.values())
    for name in interleaved(list(ways), 3 if ask.quick else ask.rounds):
        began = time.perf_counter()
        ways[name]()
        rounds.add(name, 1e9 * (time.perf_counter() - began) / n)
    for name, table in tables.items():
        for _ in range(3 if ask.quick else ask.rounds):
            rounds.add(f"{name}_around_ms", _around_ms(table))
        ask.say(f"{name}: {rounds.median(f'{name}_ns'):.0f} ns a place, h3 {rounds.median('h3_finest_ns'):.0f} ns")
    ratios = {
        f"{name}_of_{peer}": rounds.add_ratio(f"{name}_of_{peer}", f"{name}_ns", f"{peer}_ns")
        for name in tables
        for peer in ("h3_finest", "h3_base")
    }
    figures = {name: rounded(value) for name, value in rounds.medians().items() if name not in ratios}
    return Result(
        name="segments",
        figures=figures,
        ratios=ratios,
        spread=rounds.spreads(),
        checked=checked,
        machine=before,
        versions=versions({"h3": h3.__version__}),
        date=today(),
        quick=ask.quick,
        notes=_NOTES,
    )


def _cut(rng: np.random.Generator) -> SegmentTable:
    south, west, north, east = BOX
    box = plain.LatLngPoly([(south, west), (south, east), (north, east), (north, west)])
    base = np.array(sorted(plain.polygon_to_cells(box, segments.BASE_RESOLUTION)))
    split = rng.permutation(base)[: len(base) // 3].tolist()
    children = [child for cell in split for child in segments.children_of(cell)]
    table = SegmentTable(split=frozenset([*split, *children[::3]]))
    coarse = segments.coarsest_of_box((south - 0.05, west - 0.05, north + 0.05, east + 0.05))
    empty = [cell for cell in coarse if table.split.isdisjoint(segments.children_of(cell))]
    return replace(table, merged=frozenset(empty))


def _by_h3(lat: FloatArray, lng: FloatArray, resolution: int) -> SegmentArray:
    cell_of = plain.latlng_to_cell
    cells = [cell_of(a, b, resolution) for a, b in zip(lat.tolist(), lng.tolist(), strict=True)]
    return np.array(cells, dtype=np.uint64)


def _check(table: SegmentTable, lat: FloatArray, lng: FloatArray) -> int:
    found = table.locate_many(lat, lng).tolist()
    for a, b, segment in zip(lat.tolist(), lng.tolist(), found, strict=True):
        finest = plain.latlng_to_cell(a, b, segments.FINEST_RESOLUTION)
        above = [plain.cell_to_parent(finest, resolution) for resolution in range(7, 11)]
        if [cell for cell in above if table.manages(cell)] != [segment]:
            fail(f"{a}, {b} is in {segments.name(segment)}, which is not its one managed ancestor")
    return len(found)


def _around_ms(table: SegmentTable) -> float:
    segment, shapes = table.locate(41.15, -8.61), Shapes()
    near = Neighbours(table, shapes)
    surroundings(segment, near.within(segment, MOST_M), shapes, MOST_M)  # shapes are shared by all segments
    began = time.perf_counter()
    surroundings(segment, near.within(segment, MOST_M), shapes, MOST_M)
    return 1e3 * (time.perf_counter() - began)
