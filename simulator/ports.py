"""What the simulator needs of other rooms: roads from maps, decisions from dispatch, fares from payments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from core.geo import BoolArray, FloatArray, IntArray, LatLng
from simulator.model import Mode


@dataclass(frozen=True, slots=True)
class Travel:
    """Times and distances on the road, shape (n,); inf where there is no way."""

    seconds: FloatArray
    metres: FloatArray


class Places(Protocol):
    """Points that were snapped to the roads once; travel is asked by their row."""

    @property
    def on_road(self) -> BoolArray:
        """Whether each point is near enough to a road to be used, shape (n,)."""
        ...

    def to_one(self, rows: IntArray, to: int, limit_s: float = math.inf) -> Travel:
        """From each of these places to one place; inf also beyond `limit_s`."""
        ...

    def one_to(self, origin: int, rows: IntArray, limit_s: float = math.inf) -> Travel:
        """From one place to each of these places; inf also beyond `limit_s`."""
        ...

    def between(self, rows: IntArray, to: IntArray) -> Travel:
        """From each place to the one in the same position of `to`."""
        ...


class SimulatedCity(Protocol):
    """The city a simulation runs in."""

    def inside(self, lat: FloatArray, lng: FloatArray) -> BoolArray:
        """Whether each point lies in the service area, shape (n,)."""
        ...

    def places(self, lat: FloatArray, lng: FloatArray) -> Places:
        """Snap points of shape (n,) to the roads."""
        ...

    def node_points(self, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
        """Latitudes and longitudes of the junctions with these numbers (n,); NaN where there is no such junction.

        Raises InvalidInput no_node_numbers for a city whose junctions have none.
        """
        ...

    def road_points(self) -> tuple[FloatArray, FloatArray]:
        """Points on the city's roads, latitudes and longitudes of shape (m,)."""
        ...


@dataclass(frozen=True, slots=True)
class Search:
    """One look for a cab. `max_pickup_s` is what is left of the rider's patience."""

    pickup: LatLng
    passengers: int
    max_pickup_s: float
    mode: Mode


@dataclass(frozen=True, slots=True)
class Cabs:
    """The idle cabs, all of shape (n,)."""

    driver: IntArray
    lat: FloatArray
    lng: FloatArray
    idle_s: FloatArray


@dataclass(frozen=True, slots=True)
class Offers:
    """Who is offered the trip, best first, all of shape (k,): rows of the cabs and their way to the pickup."""

    row: IntArray
    pickup_s: FloatArray
    pickup_m: FloatArray


# rows of the cabs -> their way to the pickup, inf where it would take longer than the rider's patience
TravelToPickup = Callable[[IntArray], Travel]


class Decider(Protocol):
    """The live engine's decision: candidates, their ETAs, ranking, mode, offers. Pure, and connected by app."""

    def __call__(self, search: Search, cabs: Cabs, travel: TravelToPickup) -> Offers:
        """The offers of one round; none when no cab would do."""
        ...


class Fare(Protocol):
    """What a rider pays, in minor units."""

    def __call__(self, distance_m: float, duration_s: float) -> int: ...


class Match(Protocol):
    """The live engine's matching of a window: the pairs chosen for each request, or -1; see dispatch/matching.py."""

    def __call__(self, first: IntArray, cab: IntArray, cost: IntArray, leaving: IntArray, cabs: int) -> IntArray:
        """Pairs of request i are those at `first[i]` to `first[i + 1] - 1`; costs are milliseconds."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What is tried out: who is offered a trip, who gets whom in a window, and what a trip earns."""

    decide: Decider
    match: Match
    fare: Fare
