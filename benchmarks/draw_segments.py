"""Draw Porto's segments before and after the load has cut them, docs/img/segments-before.svg and segments-after.svg.

    python -m benchmarks.draw_segments

The load are points of real trips of one morning (`porto_traces.parquet`); the cut is that of `maps/resegment.py` with
the settings' defaults.
"""

from __future__ import annotations

import html
import math
from collections import Counter
from pathlib import Path

import h3.api.basic_int as h3
import numpy as np
import pyarrow.parquet as pq

from benchmarks.packs import shared_data
from benchmarks.processes import ROOT
from core.geo import FloatArray
from maps import segments
from maps.resegment import Pressure, resegment
from maps.segmenttable import SegmentTable
from runtime.segment_settings import SegmentSettings

BOX = (41.115, -8.715, 41.215, -8.545)  # south, west, north, east
DRIVERS = 4_000
LOOKS = 200
WIDTH = 1_000
COLOURS = ("#f3f6f4", "#d5e8dc", "#a9d3bb", "#6db593", "#34906c", "#0f5f45")
STEPS = (0, 4, 12, 24, 48, 65)  # drivers in a segment, from which on a colour is used


def main() -> None:
    """Draw both."""
    lat, lng = _places()
    settings = SegmentSettings()
    before = SegmentTable()
    after = _at_rest(before, lat, lng, settings)
    folder = ROOT / "docs" / "img"
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("before", before), ("after", after)):
        _write(folder / f"segments-{name}.svg", table, lat, lng)


def _places() -> tuple[FloatArray, FloatArray]:
    rows = pq.read_table(shared_data() / "porto_traces.parquet", columns=["lat", "lng"])
    lat, lng = rows["lat"].to_numpy(), rows["lng"].to_numpy()
    south, west, north, east = BOX
    inside = np.flatnonzero((lat > south) & (lat < north) & (lng > west) & (lng < east))
    chosen = np.random.default_rng(0).choice(inside, DRIVERS, replace=False)
    return lat[chosen], lng[chosen]


def _at_rest(table: SegmentTable, lat: FloatArray, lng: FloatArray, settings: SegmentSettings) -> SegmentTable:
    area, pressure = segments.coarsest_of_box(BOX), Pressure()
    for _ in range(LOOKS):
        table, pressure = resegment(table, _load(table, lat, lng), area, pressure, settings)
    return table


def _load(table: SegmentTable, lat: FloatArray, lng: FloatArray) -> Counter[int]:
    return Counter(table.locate_many(lat, lng).tolist())


def _write(path: Path, table: SegmentTable, lat: FloatArray, lng: FloatArray) -> None:
    load = _load(table, lat, lng)
    coarse = segments.coarsest_of_box((BOX[0] - 0.03, BOX[1] - 0.03, BOX[2] + 0.03, BOX[3] + 0.03))
    cells = [each for cell in sorted(coarse) for each in table.covering(cell)]
    height = round(_project(BOX[0], BOX[3])[1])
    most = max(load.values())
    title = f"{DRIVERS:,} cabs in Porto: {len(load)} segments with cabs, {most} cabs in the fullest"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height + 64}" font-family="sans-serif">',
        f"<title>{html.escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height + 64}" fill="white"/>',
        f'<clipPath id="map"><rect y="64" width="{WIDTH}" height="{height}"/></clipPath>',
        f'<text x="16" y="28" font-size="20">{html.escape(title)}</text>',
        *_legend(),
        '<g clip-path="url(#map)"><g transform="translate(0 64)">',
        *(_area(cell, load[cell]) for cell in cells),
        f'<path d="{_dots(lat, lng)}" stroke="#c2410c" stroke-width="1.6" stroke-linecap="round" opacity="0.45"/>',
        "</g></g></svg>",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _legend() -> list[str]:
    lines = []
    for place, (step, colour) in enumerate(zip(STEPS, COLOURS, strict=True)):
        x = 16 + place * 90
        lines.append(f'<rect x="{x}" y="40" width="16" height="14" fill="{colour}" stroke="#8aa398"/>')
        lines.append(f'<text x="{x + 22}" y="52" font-size="13">{step}+</text>')
    return lines


def _area(cell: int, count: int) -> str:
    """All that belongs to the segment: its finest cells, whose outline is not quite the cell's own."""
    outline = h3.cells_to_h3shape(h3.cell_to_children(cell, segments.FINEST_RESOLUTION)).outer
    corners = " ".join("{:.1f},{:.1f}".format(*_project(*corner)) for corner in outline)
    colour = COLOURS[max(place for place, step in enumerate(STEPS) if count >= step)]
    return f'<polygon points="{corners}" fill="{colour}" stroke="#5c7a6d" stroke-width="0.8"/>'


def _dots(lat: FloatArray, lng: FloatArray) -> str:
    points = (_project(a, b) for a, b in zip(lat.tolist(), lng.tolist(), strict=True))
    return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)


def _project(lat: float, lng: float) -> tuple[float, float]:
    south, west, north, east = BOX
    scale = WIDTH / (east - west)
    return (lng - west) * scale, (north - lat) * scale / math.cos(math.radians((south + north) / 2))


if __name__ == "__main__":
    main()
