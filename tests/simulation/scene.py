"""What all clients share: where the engine is, whom they are, how they behave, and the history that they write."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from core.geo import LatLng, haversine_m
from simulator.agents.codes import StartCodes
from tests.simulation.history import Body, History
from tests.simulation.http import Http, Mint


@dataclass(frozen=True, slots=True)
class Habits:
    """Shares are 0..1, times seconds of the wall."""

    decline: float = 0.08
    ignore: float = 0.08
    answer_s: tuple[float, float] = (0.05, 1.5)
    driver_cancels: float = 0.06
    rider_cancels: float = 0.15
    rider_cancels_after_s: tuple[float, float] = (0.2, 15.0)
    by_socket: float = 0.4  # of bookings; the others go by HTTP
    twice: float = 0.1  # bookings of which the first try is sent twice at once
    greedy: float = 0.06  # riders who ask for a second ride while the first is under way
    rest_s: tuple[float, float] = (0.5, 6.0)  # between two rides of a rider
    ride_mps: float = 60.0  # the engine takes up to 70
    roam_mps: float = 8.0
    watch: bool = True  # riders look at the cabs around


class Person(NamedTuple):
    """A signed-up driver or rider."""

    id: str
    token: str


@dataclass(slots=True)
class Scene:
    """Clients rest while `calm` is set: nobody books, and what is under way goes on to its end."""

    http: Http
    mint: Mint
    rider_url: str  # ws://host:port/v1/rider/ws
    driver_url: str
    history: History
    places: Sequence[LatLng]  # that a road leads to and from
    habits: Habits = Habits()
    codes: StartCodes = field(default_factory=StartCodes)
    calm: asyncio.Event = field(default_factory=asyncio.Event)

    def near(self, rng: random.Random, at: LatLng, most_m: float) -> LatLng:
        """Another place, not farther away if there is one."""
        others = [place for place in self.places if place != at]
        near = [place for place in others if haversine_m(place, at) <= most_m]
        return rng.choice(near or others)


def towards(at: LatLng, goal: LatLng, metres: float) -> LatLng:
    """So far on the straight way to a goal, and no farther than it."""
    left_m = haversine_m(at, goal)
    if left_m <= metres or left_m == 0.0:
        return goal
    share = metres / left_m
    return LatLng(round(at.lat + (goal.lat - at.lat) * share, 6), round(at.lng + (goal.lng - at.lng) * share, 6))


async def open_places(http: Http, rng: random.Random, wanted: int, within_m: float) -> list[LatLng]:
    """Places around the city's centre from which roads lead there and back, as the engine's API says."""
    answer = await http.call("GET", "/v1/config")
    assert answer.ok, answer
    centre = LatLng(**answer.body["centre"])
    found: list[LatLng] = []
    while len(found) < wanted:
        angle, far_m = rng.uniform(0, math.tau), within_m * math.sqrt(rng.random())
        lat = centre.lat + far_m * math.cos(angle) / 111_195
        lng = centre.lng + far_m * math.sin(angle) / (111_195 * math.cos(math.radians(centre.lat)))
        place = LatLng(round(lat, 6), round(lng, 6))
        if await _road(http, place, centre) and await _road(http, centre, place):
            found.append(place)
    return found


async def _road(http: Http, start: LatLng, end: LatLng) -> bool:
    ends = f"from={start.lat},{start.lng}&to={end.lat},{end.lng}"
    answer = await http.call("GET", f"/v1/eta?{ends}")
    body: Body = answer.body
    return answer.ok and body["duration_s"] is not None
