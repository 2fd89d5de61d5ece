"""Zones: polygons with rules, and which of them a place lies in.

A raster in front answers nearly always; the polygons themselves (shapely, an STRtree over their boxes) answer in the
cells that an edge runs through. So the answer is exact, for one place in well under a microsecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import shapely

from core.geo import BoolArray, FloatArray, IntArray, LatLng, haversine_m

ZoneKind = Literal["service_area", "no_pickup", "airport_queue", "surge_floor"]
ZONE_KINDS: tuple[ZoneKind, ...] = get_args(ZoneKind)
NO_ZONE = -1

_CELLS = 128  # of the raster, per side
_EDGE = -2
_HAIR = 1e-9  # degrees by which a cell is looked at too large, so that rounding moves no point out of its cell


@dataclass(frozen=True, slots=True)
class PickupPoint:
    """A place where riders may be picked up instead."""

    at: LatLng
    name: str


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon in (lng, lat) and its rule.

    Kinds: `service_area` is where hexcab drives at all; in `no_pickup` nobody is picked up, `pickup_points` say where
    instead; in `airport_queue` drivers wait their turn; in `surge_floor` a pickup costs `surge` times the tariff at
    least.
    """

    zone_id: str
    kind: ZoneKind
    name: str
    polygon: Any  # shapely Polygon or MultiPolygon
    pickup_points: tuple[PickupPoint, ...] = ()
    surge: float = 1.0


class Layer:
    """Polygons in (lng, lat), the first one first where they overlap: which of them is a place in?"""

    def __init__(self, polygons: Sequence[Any]) -> None:
        self._polygons = np.array(polygons, dtype=object)
        shapely.prepare(self._polygons)
        self._tree = shapely.STRtree(self._polygons)
        raster = np.full((_CELLS, _CELLS), NO_ZONE, dtype=np.int32)
        west, south, east, north = shapely.total_bounds(self._polygons) if len(polygons) else (0.0, 0.0, 0.0, 0.0)
        self._west, self._south = float(west) - _HAIR, float(south) - _HAIR
        self._per_lng = _CELLS / (float(east) + _HAIR - self._west)
        self._per_lat = _CELLS / (float(north) + _HAIR - self._south)
        for number in reversed(range(len(polygons))):
            self._draw(raster, number)
        self._raster = raster.ravel()
        self._cells: list[int] = self._raster.tolist()  # a list answers one place sooner than an array

    def __len__(self) -> int:
        return len(self._polygons)

    def which(self, lat: float, lng: float) -> int:
        """The number of the polygon that a place is in or on the edge of; NO_ZONE where there is none."""
        row = (lat - self._south) * self._per_lat
        column = (lng - self._west) * self._per_lng
        if not (0.0 <= row < _CELLS and 0.0 <= column < _CELLS):
            return NO_ZONE
        found = self._cells[int(row) * _CELLS + int(column)]
        if found != _EDGE:
            return found
        near = self._tree.query(shapely.Point(lng, lat))
        inside = near[shapely.intersects_xy(self._polygons[near], lng, lat)]
        return int(inside.min()) if len(inside) else NO_ZONE

    def whole(self, south: float, west: float, north: float, east: float) -> int | None:
        """What `which` says everywhere in a box; None where that may differ. Looks at the raster alone."""
        first, last = (south - _HAIR - self._south) * self._per_lat, (north + _HAIR - self._south) * self._per_lat
        left, right = (west - _HAIR - self._west) * self._per_lng, (east + _HAIR - self._west) * self._per_lng
        if last < 0 or right < 0 or first >= _CELLS or left >= _CELLS:
            return NO_ZONE
        if first < 0 or left < 0 or last >= _CELLS or right >= _CELLS:
            return None
        columns = slice(int(left), int(right) + 1)
        met: set[int] = set()
        for row in range(int(first), int(last) + 1):
            met.update(self._cells[row * _CELLS + columns.start : row * _CELLS + columns.stop])
        found = met.pop()
        return found if found != _EDGE and not met else None

    def which_many(self, lat: FloatArray, lng: FloatArray) -> IntArray:
        """The same for n places, shape (n,)."""
        row = (lat - self._south) * self._per_lat
        column = (lng - self._west) * self._per_lng
        on_raster = np.flatnonzero((row >= 0) & (row < _CELLS) & (column >= 0) & (column < _CELLS))
        found = np.full(len(row), NO_ZONE, dtype=np.int64)
        cell = row[on_raster].astype(np.int64) * _CELLS + column[on_raster].astype(np.int64)
        found[on_raster] = self._raster[cell]
        edge = np.flatnonzero(found == _EDGE)
        if len(edge):
            found[edge] = self._exactly(lat[edge], lng[edge])
        return found

    def _exactly(self, lat: FloatArray, lng: FloatArray) -> IntArray:
        """Without the raster: each polygon is asked for the places in its box."""
        found = np.full(len(lat), len(self), dtype=np.int64)
        place, polygon = self._tree.query(shapely.points(lng, lat))
        by_polygon = np.argsort(polygon, kind="stable")
        numbers, starts = np.unique(polygon[by_polygon], return_index=True)
        for number, rows in zip(numbers.tolist(), np.split(place[by_polygon], starts[1:]), strict=True):
            inside = rows[shapely.intersects_xy(self._polygons[number], lng[rows], lat[rows])]
            found[inside] = np.minimum(found[inside], number)
        found[found == len(self)] = NO_ZONE
        return found

    def _draw(self, raster: npt.NDArray[np.int32], number: int) -> None:
        """Put a polygon over what is drawn already: its number within, _EDGE where its edge runs."""
        polygon = self._polygons[number]
        west, south, east, north = polygon.bounds
        rows = _span(south, north, self._south, self._per_lat)
        columns = _span(west, east, self._west, self._per_lng)
        lat = self._south + np.arange(rows.start, rows.stop + 1) / self._per_lat
        lng = self._west + np.arange(columns.start, columns.stop + 1) / self._per_lng
        west_of, south_of = np.meshgrid(lng[:-1], lat[:-1])
        east_of, north_of = np.meshgrid(lng[1:], lat[1:])
        boxes = shapely.box(west_of - _HAIR, south_of - _HAIR, east_of + _HAIR, north_of + _HAIR)
        drawn = raster[rows, columns]
        drawn[shapely.intersects(polygon, boxes)] = _EDGE
        drawn[shapely.contains_properly(polygon, boxes)] = number


def _span(low: float, high: float, start: float, per: float) -> slice:
    return slice(max(int((low - start) * per) - 1, 0), min(int((high - start) * per) + 2, _CELLS))


class Zones:
    """All zones of a city at one version; never changed, so that who reads may go on reading.

    Where zones of a kind overlap, the highest surge counts, then the smallest zone. Service areas add up.
    """

    def __init__(self, zones: Iterable[Zone], version: int = 0) -> None:
        self.version = version
        self.all = tuple(sorted(zones, key=lambda zone: (-zone.surge, zone.polygon.area, zone.zone_id)))
        self._of_kind = {kind: tuple(zone for zone in self.all if zone.kind == kind) for kind in ZONE_KINDS}
        self._layers = {kind: Layer([zone.polygon for zone in zones]) for kind, zones in self._of_kind.items()}

    def of_kind(self, kind: ZoneKind) -> tuple[Zone, ...]:
        """The zones of a kind, in the order in which they count."""
        return self._of_kind[kind]

    def at(self, kind: ZoneKind, lat: float, lng: float) -> Zone | None:
        """The zone of a kind that a place is in or on the edge of."""
        number = self._layers[kind].which(lat, lng)
        return None if number == NO_ZONE else self._of_kind[kind][number]

    def which(self, kind: ZoneKind, lat: FloatArray, lng: FloatArray) -> IntArray:
        """The same for n places: numbers in `of_kind`, NO_ZONE where there is none, shape (n,)."""
        return self._layers[kind].which_many(lat, lng)

    def contains(self, lat: float, lng: float) -> bool:
        """Whether a place is in the service area or on its edge."""
        return self._layers["service_area"].which(lat, lng) != NO_ZONE

    def whole(self, kind: ZoneKind, south: float, west: float, north: float, east: float) -> bool | None:
        """Whether every place of a box is in a zone of a kind, or none is; None where an edge may run through it."""
        number = self._layers[kind].whole(south, west, north, east)
        return None if number is None else number != NO_ZONE

    def inside(self, lat: FloatArray, lng: FloatArray) -> BoolArray:
        """Which of n places are in the service area, shape (n,)."""
        return np.asarray(self.which("service_area", lat, lng) != NO_ZONE)

    def surge_floor(self, at: LatLng) -> float:
        """The least surge of a pickup at a place; 1.0 where none is set."""
        zone = self.at("surge_floor", *at)
        return 1.0 if zone is None else zone.surge

    def pickup_points(self, zone: Zone, near: LatLng) -> list[PickupPoint]:
        """Where to be picked up instead of in this no-pickup zone, nearest first; none in any other such zone."""
        allowed = [point for point in zone.pickup_points if self.at("no_pickup", *point.at) is None]
        return sorted(allowed, key=lambda point: haversine_m(point.at, near))


def in_force(pack: Iterable[Zone], changes: Mapping[str, Zone | None], around: Zone, version: int = 0) -> Zones:
    """The pack's zones with the changes over them. Where no service area is left, `around` is it."""
    left = {zone.zone_id: zone for zone in pack}
    for zone_id, zone in changes.items():
        if zone is None:
            left.pop(zone_id, None)
        else:
            left[zone_id] = zone
    if not any(zone.kind == "service_area" for zone in left.values()):
        left[around.zone_id] = around
    return Zones(left.values(), version)
