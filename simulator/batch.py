"""Batch dispatch in virtual time: every window, all who wait are matched with all cabs that could come, at once.

A request is given a cab only when the cab can set out: one that is about to finish is waited for, where that is
better. With `open_until` pickup the cab may still change until it is there, and nobody gets one later than first
promised. Idle cabs may be spread by where riders are expected. Boarding takes no time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.geo import FloatArray, IntArray
from runtime.simulator_settings import SimulatorSettings
from simulator import fleet as kernels
from simulator.fleet import IDLE, Book, Fleet, Roads, Trips, new_book, new_fleet
from simulator.model import OpenUntil, Outcomes, Progress
from simulator.outlook import Outlook, spread
from simulator.ports import Rules

_MS = 1_000
_KEPT = 1_000_000_000  # of leaving a rider who was promised a cab: it does not happen, as the promise can be kept
_REPORT_EVERY = 256  # windows
_LAST = 1e12  # after everything


@dataclass(frozen=True, slots=True)
class BatchTerms:
    """What holds for a batch run."""

    rules: Rules
    window_s: float
    max_wait_s: float
    open_until: OpenUntil
    reposition: bool
    begin: float  # epoch seconds of the first request


class BatchEngine:
    """One run; `run` once. Trips are seconds from `terms.begin` on, `starts` the posts of the cabs."""

    def __init__(
        self,
        world: tuple[Trips, Roads, IntArray],
        terms: BatchTerms,
        means: tuple[SimulatorSettings, Outlook | None],
        direct_m: FloatArray,
    ) -> None:
        self._trips, self._roads, starts = world
        self._terms = terms
        self._limits, self.past = means
        self._direct_m = direct_m
        self._fleet: Fleet = new_fleet(starts)
        self.book: Book = new_book(len(self._trips.at))
        self._came = 0
        self._spread_at = 0.0

    def run(self, progress: Progress) -> Outcomes:
        """Play every window and say what became of each request."""
        trips, terms = self._trips, self._terms
        end = float(trips.at[-1]) + terms.max_wait_s if len(trips.at) else 0.0
        pool: IntArray = np.empty(0, dtype=np.int64)
        windows = int(end / terms.window_s) + 2 if len(trips.at) else 0
        for window in range(windows):
            now = window * terms.window_s
            kernels.advance(self._fleet, self._roads, trips, self.book, now)
            pool = self._waiting(pool, now)
            if len(pool):
                self._match(pool, now)
            if terms.reposition and now >= self._spread_at:
                self._spread_at = now + self._limits.spread_every_s
                self._spread(now)
            if window % _REPORT_EVERY == 0:
                progress("windows", window / windows)
        kernels.advance(self._fleet, self._roads, trips, self.book, _LAST)
        progress("windows", 1.0)
        return self._outcomes(end)

    def _waiting(self, pool: IntArray, now: float) -> IntArray:
        """Who is still to be decided about: without those who were picked up, given a cab for good, or left."""
        trips, book = self._trips, self.book
        has_cab = book.cab[pool] >= 0
        in_time = trips.at[pool] + self._terms.max_wait_s >= now
        if self._terms.open_until == "pickup":
            pool = pool[np.isnan(book.pickup_at[pool]) & (has_cab | in_time)]
        else:
            pool = pool[~has_cab & in_time]
        came, self._came = self._came, int(np.searchsorted(trips.at, now, side="right"))
        return pool if came == self._came else np.concatenate([pool, np.arange(came, self._came)])

    def _match(self, pool: IntArray, now: float) -> None:
        trips, terms, limits = self._trips, self._terms, self._limits
        swapping = terms.open_until == "pickup"
        ahead_s = limits.ahead_open_s if swapping else limits.ahead_s
        first, cab, arrival = kernels.pairs(
            pool, self._fleet, self._roads, trips, self.book, now, terms.max_wait_s, limits.pairs, ahead_s, swapping
        )
        if not len(cab):
            return
        left_s = limits.left_spread_s if terms.reposition else limits.left_s
        leaving_s = left_s + limits.left_per_waited_s * (now - trips.at[pool])
        leaving = np.where(self.book.cab[pool] >= 0, _KEPT, np.rint(_MS * leaving_s)).astype(np.int64)
        cost = np.rint(_MS * (arrival - now)).astype(np.int64)
        chosen = terms.rules.match(first, cab, cost, leaving, len(self._fleet.state))
        kernels.send(pool, chosen, cab, arrival, self._fleet, trips, self.book, now)

    def _spread(self, now: float) -> None:
        """Send the idle cabs to where riders are expected, in equal parts."""
        fleet, limits = self._fleet, self._limits
        idle = np.flatnonzero(fleet.state == IDLE)
        expected = self._expected(now, limits.spread_ahead_s)
        if not len(idle) or not len(expected):
            return
        targets = spread(expected, len(idle))
        nearest = min(len(idle), limits.spread_pairs)
        way_s = self._roads.seconds[targets[:, None], fleet.node[idle][None, :]]
        near = np.argpartition(way_s, nearest - 1, axis=1)[:, :nearest] if nearest < len(idle) else None
        if near is None:
            near = np.broadcast_to(np.arange(len(idle)), way_s.shape)
        cost = np.take_along_axis(way_s, near, axis=1)
        order = np.argsort(cost, axis=1, kind="stable")
        near, cost = np.take_along_axis(near, order, axis=1), np.take_along_axis(cost, order, axis=1)
        good = np.where(np.isfinite(cost), cost, _KEPT / _MS)
        chosen = self._terms.rules.match(
            np.arange(len(targets) + 1) * nearest,
            near.ravel(),
            np.rint(_MS * good).ravel().astype(np.int64),
            np.full(len(targets), _KEPT - 1),
            len(idle),
        )
        got = chosen >= 0
        kernels.move(idle[near.ravel()[chosen[got]]], targets[got], fleet, self._roads, now)

    def _expected(self, now: float, ahead_s: float) -> IntArray:
        if self.past is not None:
            return self.past.expected(self._terms.begin + now, ahead_s)
        at = self._trips.at[: self._came]
        return np.sort(self._trips.pickup[np.searchsorted(at, now - ahead_s) : self._came])

    def _outcomes(self, end: float) -> Outcomes:
        book, trips, terms = self.book, self._trips, self._terms
        served = ~np.isnan(book.pickup_at)
        dropoff_at = book.pickup_at + trips.direct_s
        fare = np.full(len(served), -1, dtype=np.int64)
        for request in np.flatnonzero(served).tolist():
            fare[request] = terms.rules.fare(float(self._direct_m[request]), float(trips.direct_s[request]))
        begin = terms.begin
        ended_at = begin + max(end, float(dropoff_at[served].max()) if served.any() else 0.0)
        return Outcomes(
            driver=np.where(served, book.cab, -1),
            assigned_at=np.where(served, begin + book.sent_at, np.nan),
            pickup_at=begin + book.pickup_at,
            dropoff_at=begin + dropoff_at,
            pickup_m=np.where(served, book.pickup_m, np.nan),
            fare_minor=fare,
            ended_at=ended_at,
            empty_m=float(self._fleet.empty_m.sum()),
        )
