"""The maps room's city as the simulator sees it: points snapped once, travel asked by row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.errors import InvalidInput
from core.geo import BoolArray, FloatArray, IntArray
from maps.cities import City
from maps.eta import EtaIndex
from maps.roads import NO_EDGE
from maps.snap import Snaps
from simulator.ports import Travel


class Streets:
    """A built city pack as a SimulatedCity."""

    def __init__(self, city: City) -> None:
        self._city = city

    def inside(self, lat: FloatArray, lng: FloatArray) -> BoolArray:
        return np.asarray(self._city.inside(lat, lng), dtype=np.bool_)

    def places(self, lat: FloatArray, lng: FloatArray) -> RoadPlaces:
        return RoadPlaces(self._city.eta, self._city.eta.snap(lat, lng))

    def node_points(self, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
        known = self._city.node_number
        if known is None:
            raise InvalidInput(
                f"{self._city.name} was built from an extract: its junctions have no numbers", code="no_node_numbers"
            )
        by_number = np.argsort(known)
        place = np.minimum(np.searchsorted(known[by_number], numbers), len(known) - 1)
        node = by_number[place]
        there = known[node] == numbers
        roads = self._city.roads
        return np.where(there, roads.node_lat[node], np.nan), np.where(there, roads.node_lng[node], np.nan)

    def road_points(self) -> tuple[FloatArray, FloatArray]:
        return self._city.roads.node_lat, self._city.roads.node_lng


@dataclass(frozen=True, slots=True)
class RoadPlaces:
    """Snapped points, as Places."""

    eta: EtaIndex
    snaps: Snaps

    @property
    def on_road(self) -> BoolArray:
        return np.asarray(self.snaps.edge != NO_EDGE, dtype=np.bool_)

    def to_one(self, rows: IntArray, to: int, limit_s: float = math.inf) -> Travel:
        found = self.eta.to_one_snapped(self.snaps.take(rows), self.snaps.take(slice(to, to + 1)), limit_s)
        return Travel(found.seconds, found.metres)

    def one_to(self, origin: int, rows: IntArray, limit_s: float = math.inf) -> Travel:
        found = self.eta.one_to_snapped(self.snaps.take(slice(origin, origin + 1)), self.snaps.take(rows), limit_s)
        return Travel(found.seconds, found.metres)

    def between(self, rows: IntArray, to: IntArray) -> Travel:
        found = self.eta.pairs(self.snaps.take(rows), self.snaps.take(to))
        return Travel(found.seconds, found.metres)
