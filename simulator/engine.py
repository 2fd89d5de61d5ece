"""The simulation itself: events in virtual time, and the live engine's decision whenever somebody looks for a cab.

Without behaviour inputs an offer is accepted at once, by the best cab that got one: in `broadcast` all say yes at the
same moment, so both modes end alike. Boarding takes no time; a cab stays where it dropped its rider off.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

import numpy as np

from core.geo import IntArray, LatLng
from simulator.model import Mode, Outcomes, Progress
from simulator.ports import Cabs, Offers, Rules, Search, Travel, TravelToPickup
from simulator.scenario import Scenario

_REPORT_EVERY = 512  # events


class _Kind(IntEnum):
    """What happens. At the same moment a cab becomes free before a rider asks, and patience ends last."""

    FREE = 0
    REQUEST = 1
    GIVE_UP = 2


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every request of a run."""

    rules: Rules
    mode: Mode
    max_wait_s: float


class Engine:
    """One run over one scenario; `run` once."""

    def __init__(self, scenario: Scenario, terms: Terms) -> None:
        self._requests = scenario.requests
        self._places = scenario.places
        self._lat, self._lng = scenario.lat, scenario.lng
        self._terms = terms
        first_start = 2 * len(scenario.raw.at)
        self._at_place = np.arange(
            first_start, len(scenario.lat), dtype=np.int64
        )  # of each cab: where it is or will be
        cabs, n = len(self._at_place), len(self._requests)
        begin = float(self._requests.at[0]) if n else 0.0
        self._idle = np.ones(cabs, dtype=np.bool_)
        self._idle_since = np.full(cabs, begin)
        self._waiting: dict[int, None] = {}  # requests that found no cab, the longest waiting first
        self._events: list[tuple[float, int, int]] = [
            (at, _Kind.REQUEST, request) for request, at in enumerate(self._requests.at.tolist())
        ]
        heapq.heapify(self._events)
        self._ended_at = begin
        self._driver = np.full(n, -1, dtype=np.int64)
        self._assigned_at, self._pickup_at = np.full(n, np.nan), np.full(n, np.nan)
        self._dropoff_at, self._pickup_m = np.full(n, np.nan), np.full(n, np.nan)
        self._fare = np.full(n, -1, dtype=np.int64)

    def run(self, progress: Progress) -> Outcomes:
        """Play every event and say what became of each request."""
        done, total = 0, max(1, len(self._requests))
        happened = 0
        while self._events:
            now, kind, who = heapq.heappop(self._events)
            if kind == _Kind.FREE:
                self._free(who, now)
            elif kind == _Kind.REQUEST:
                done += 1
                self._ask(who, now)
            elif who in self._waiting:
                del self._waiting[who]
                self._ended_at = max(self._ended_at, now)
            happened += 1
            if happened % _REPORT_EVERY == 0:
                progress("events", done / total)
        progress("events", 1.0)
        return Outcomes(
            self._driver,
            self._assigned_at,
            self._pickup_at,
            self._dropoff_at,
            self._pickup_m,
            self._fare,
            self._ended_at,
            float(np.nansum(self._pickup_m)),
        )

    def _ask(self, request: int, now: float) -> None:
        """A rider asks: every idle cab is looked at."""
        cabs = np.flatnonzero(self._idle)
        if len(cabs):
            pickup, place = int(self._requests.pickup[request]), self._at_place[cabs]
            patience_s = self._terms.max_wait_s
            offers = self._decide(request, cabs, now, lambda rows: self._places.to_one(place[rows], pickup, patience_s))
            if self._accept(request, cabs, offers, now):
                return
        self._waiting[request] = None
        heapq.heappush(self._events, (now + self._terms.max_wait_s, _Kind.GIVE_UP, request))

    def _free(self, cab: int, now: float) -> None:
        """A cab has dropped its rider off: whoever has waited longest and can still be reached in time gets it.

        The other idle cabs stand where they stood when the waiting asked in vain, so this one alone is looked at.
        """
        self._idle[cab] = True
        self._idle_since[cab] = now
        self._ended_at = max(self._ended_at, now)
        if not self._waiting:
            return
        waiting = np.fromiter(self._waiting, dtype=np.int64, count=len(self._waiting))
        left_s = self._requests.at[waiting] + self._terms.max_wait_s - now
        pickups = self._requests.pickup[waiting]
        ways = self._places.one_to(int(self._at_place[cab]), pickups, float(left_s.max()))
        cabs = np.array([cab])
        for n in np.flatnonzero(ways.seconds <= left_s):
            way = Travel(ways.seconds[n : n + 1], ways.metres[n : n + 1])
            request = int(waiting[n])
            offers = self._decide(request, cabs, now, partial(_take, way))
            if self._accept(request, cabs, offers, now):
                del self._waiting[request]
                return

    def _decide(self, request: int, cabs: IntArray, now: float, travel: TravelToPickup) -> Offers:
        pickup, place = int(self._requests.pickup[request]), self._at_place[cabs]
        search = Search(
            pickup=LatLng(float(self._lat[pickup]), float(self._lng[pickup])),
            passengers=int(self._requests.passengers[request]),
            max_pickup_s=float(self._requests.at[request] + self._terms.max_wait_s - now),
            mode=self._terms.mode,
        )
        seen = Cabs(cabs, self._lat[place], self._lng[place], now - self._idle_since[cabs])
        return self._terms.rules.decide(search, seen, travel)

    def _accept(self, request: int, cabs: IntArray, offers: Offers, now: float) -> bool:
        """The best cab that was offered the trip and can be there in time takes it; False when there is none."""
        in_time = np.flatnonzero(now + offers.pickup_s <= self._requests.at[request] + self._terms.max_wait_s)
        if not len(in_time):
            return False
        best = int(in_time[0])
        cab = int(cabs[offers.row[best]])
        direct_s, direct_m = float(self._requests.direct_s[request]), float(self._requests.direct_m[request])
        pickup_at = now + float(offers.pickup_s[best])
        assert self._idle[cab], "a cab with a rider was offered another trip"
        self._driver[request] = cab
        self._assigned_at[request], self._pickup_at[request] = now, pickup_at
        self._dropoff_at[request] = pickup_at + direct_s
        self._pickup_m[request] = offers.pickup_m[best]
        self._fare[request] = self._terms.rules.fare(direct_m, direct_s)
        self._idle[cab] = False
        self._at_place[cab] = self._requests.dropoff[request]
        heapq.heappush(self._events, (pickup_at + direct_s, _Kind.FREE, cab))
        return True


def _take(travel: Travel, rows: IntArray) -> Travel:
    return Travel(travel.seconds[rows], travel.metres[rows])
