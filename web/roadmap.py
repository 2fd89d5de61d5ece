"""The city's streets in a small form that the page draws.

{"box": [west, south, east, north],     Web-Mercator metres
 "steps": 65535,                        coordinates are whole steps from the west and from the south edge
 "classes": ["motorway", ...],          drawn in this order reversed, so that large roads lie on top
 "lines": [[[x, y, dx, dy, ...], ...], ...]}   per class its lines: first point, then differences
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from web.map_ports import CityMap
from web.mercator import STEPS, MercatorBox
from web.ports import Body


@dataclass(frozen=True, slots=True)
class Drawn:
    """The answer, ready to send."""

    plain: bytes
    packed: bytes
    etag: str


class RoadMap:
    """Draws the roads once, when they are first asked for, off the event loop."""

    def __init__(self, city: CityMap, box: MercatorBox) -> None:
        self._city = city
        self._box = box
        self._lock = asyncio.Lock()
        self._drawn: Drawn | None = None

    async def drawn(self) -> Drawn:
        """The roads, ready to send."""
        async with self._lock:
            if self._drawn is None:
                self._drawn = await asyncio.to_thread(self._draw)
            return self._drawn

    def _draw(self) -> Drawn:
        plain = msgspec.json.encode(road_lines(self._city.roads(), self._box))
        etag = f'"{hashlib.sha256(plain).hexdigest()[:24]}"'
        return Drawn(plain, gzip.compress(plain, 6, mtime=0), etag)


def road_lines(geojson: Body, box: MercatorBox) -> Body:
    """Streets from GeoJSON (features with the property `class`) in the form above."""
    lines: dict[str, list[list[int]]] = {}
    for feature in geojson["features"]:
        of_class = lines.setdefault(str(feature["properties"]["class"]), [])
        for coordinates in _lines_of(feature["geometry"]):
            points = np.asarray(coordinates, dtype=np.float64)
            x, y = box.quantised(points[:, 1], points[:, 0])
            steps = np.column_stack([x, y]).astype(np.int64)
            moved = np.r_[True, np.any(np.diff(steps, axis=0) != 0, axis=1)]
            steps = steps[moved]
            of_class.append(np.r_[steps[:1], np.diff(steps, axis=0)].ravel().tolist())
    return {"box": box.as_list(), "steps": STEPS, "classes": list(lines), "lines": list(lines.values())}


def _lines_of(geometry: dict[str, Any]) -> Iterator[list[list[float]]]:
    if geometry["type"] == "LineString":
        yield geometry["coordinates"]
    else:
        yield from geometry["coordinates"]
