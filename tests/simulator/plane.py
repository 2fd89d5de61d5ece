"""A made-up city for the simulator's tests: a straight plane where 0.0001 degree takes one second and is ten metres."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.geo import BoolArray, FloatArray, IntArray
from simulator.ports import Cabs, Offers, Rules, Search, Travel, TravelToPickup

STEP = 0.0001  # degrees that take one second


@dataclass(frozen=True, slots=True)
class PlanePlaces:
    """Places on the plane. North of 0.05 there is no road, east of 0.09 an island without a bridge."""

    lat: FloatArray
    lng: FloatArray

    @property
    def on_road(self) -> BoolArray:
        return self.lat <= 0.05

    def to_one(self, rows: IntArray, to: int, limit_s: float = math.inf) -> Travel:
        return self._up_to(limit_s, self.between(rows, np.full(len(rows), to)))

    def one_to(self, origin: int, rows: IntArray, limit_s: float = math.inf) -> Travel:
        return self._up_to(limit_s, self.between(np.full(len(rows), origin), rows))

    def between(self, rows: IntArray, to: IntArray) -> Travel:
        steps = np.abs(self.lat[rows] - self.lat[to]) + np.abs(self.lng[rows] - self.lng[to])
        seconds = np.round(steps / STEP, 3)
        seconds[(self.lng[rows] > 0.09) != (self.lng[to] > 0.09)] = np.inf
        return Travel(seconds, seconds * 10)

    @staticmethod
    def _up_to(limit_s: float, travel: Travel) -> Travel:
        beyond = travel.seconds > limit_s
        return Travel(np.where(beyond, np.inf, travel.seconds), np.where(beyond, np.inf, travel.metres))


class PlaneCity:
    """The plane reaches from 0 to 0.1 degree in both directions."""

    def inside(self, lat: FloatArray, lng: FloatArray) -> BoolArray:
        return (lat >= 0) & (lat <= 0.1) & (lng >= 0) & (lng <= 0.1)

    def places(self, lat: FloatArray, lng: FloatArray) -> PlanePlaces:
        return PlanePlaces(lat, lng)

    def node_points(self, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
        """Junction n lies n seconds east of the corner; there are fifty."""
        there = (numbers >= 0) & (numbers < 50)
        return np.where(there, 0.01, np.nan), np.where(there, numbers * STEP, np.nan)

    def road_points(self) -> tuple[FloatArray, FloatArray]:
        lat, lng = np.meshgrid(np.arange(0, 0.05, 0.002), np.arange(0, 0.08, 0.002))
        return lat.ravel(), lng.ravel()


def nearest(search: Search, cabs: Cabs, travel: TravelToPickup) -> Offers:
    """Offers to the three nearest cabs, the longer idle first where they are as near."""
    way = travel(np.arange(len(cabs.driver)))
    order = np.lexsort((cabs.driver, -cabs.idle_s, way.seconds))[:3]
    return Offers(order, way.seconds[order], way.metres[order])


def fare(distance_m: float, duration_s: float) -> int:
    """One minor unit a metre."""
    return round(distance_m)


def nobody(first: IntArray, cab: IntArray, cost: IntArray, leaving: IntArray, cabs: int) -> IntArray:
    """No window is matched."""
    return np.full(len(leaving), -1)


RULES = Rules(nearest, nobody, fare)
