"""Crowds of drivers, the exact nearest of them, and the nearest by segments as dispatch would find them today."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import h3
import numpy as np
from scipy.spatial import cKDTree

from core.geo import EARTH_RADIUS_M, FloatArray, LatLng, haversine_m, haversine_many_m
from location.model import ONLINE, SupplyChange, SupplyRow, SupplyRows
from location.ports import SupplyStore
from maps.segments import segment_of, segments_of

K = 10
CENTRE = LatLng(57.7, 11.97)
HALF_LAT, HALF_LNG = 0.125, 0.23  # of the box, in degrees: 27.8 x 27.4 km
TIGHT_M = 2_500.0
MAX_RINGS = 60
SHAPES = ("uniform", "clustered")


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
        for chosen, sigma_m, at in ((kind < 0.7, TIGHT_M, np.zeros((size, 2))), (kind >= 0.9, 600.0, spots)):
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
        changes.append(SupplyChange(f"drv_{number}", segment, previous.get(number, 0), row, 1))
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
