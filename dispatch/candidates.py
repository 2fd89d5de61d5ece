"""Who is worth scoring for a request. Pure: supply rows in, a shortlist and what dropped the others out.

The filters run in the order of FILTERS; a row is counted under the first one that drops it, so the counts and the rows
left add up to the rows seen. Two more, unreachable and too_far, need the road and run in `decide`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.geo import BoolArray, FloatArray, IntArray
from dispatch.model import BUSY, NEVER_AGAIN, ONLINE, Ask, Policy, SupplyRows

Filter = Callable[[SupplyRows, Ask, Policy], BoolArray]

KEPT = -1
_OPEN_TO_WORK = 3  # so many filters, the first ones, leave who is open to work


@dataclass(frozen=True, slots=True)
class Shortlist:
    """The rows that passed, and what became of the others."""

    rows: SupplyRows  # (k,) who passed
    looked: SupplyRows  # (n,) all of them, each driver once
    dropped_by: npt.NDArray[np.int8]  # (n,) the place in FILTERS of what dropped the row, KEPT for who passed

    @property
    def seen(self) -> int:
        """How many were looked at."""
        return len(self.looked)

    @property
    def dropped(self) -> dict[str, int]:
        """How many each filter dropped, by its name, in its order."""
        count = np.bincount(self.dropped_by[self.dropped_by != KEPT], minlength=len(FILTERS)).tolist()
        return dict(zip((name for name, _ in FILTERS), count, strict=True))

    @property
    def supply_seen(self) -> int:
        """How many are open to work: online, not busy, fresh."""
        return int(np.count_nonzero((self.dropped_by == KEPT) | (self.dropped_by >= _OPEN_TO_WORK)))


def shortlist(rows: SupplyRows, ask: Ask, policy: Policy) -> Shortlist:
    """Filter supply rows (n,) for one request; the order of the rows is kept. A driver seen twice counts once."""
    left = looked = once_each(rows)
    dropped_by = np.full(len(looked), KEPT, dtype=np.int8)
    places = np.arange(len(looked))
    for number, (_, keeps) in enumerate(FILTERS):
        kept = keeps(left, ask, policy)
        if not kept.all():
            dropped_by[places[~kept]] = number
            left, places = left.take(np.flatnonzero(kept)), places[kept]
    return Shortlist(left, looked, dropped_by)


def open_to_work(rows: SupplyRows, now: float, policy: Policy) -> BoolArray:
    """Which rows (n,) are online, not busy and fresh at this time."""
    return np.asarray(((rows.flags & (ONLINE | BUSY)) == ONLINE) & (now - rows.seen_at <= policy.fresh_s))


def reach_m(distance_m: FloatArray, policy: Policy) -> float:
    """How far out candidates are taken, given how far away by air the eligible drivers (n,) are who are known.

    Whoever is near is a candidate, and so are the `enough_candidates` nearest. Who that is does not depend on how
    segments are cut. At most max_pickup_m: that is the answer too while there are not enough.
    """
    if len(distance_m) < policy.enough_candidates:
        return policy.max_pickup_m
    nearest = policy.enough_candidates - 1
    farthest_m = float(np.partition(distance_m, nearest)[nearest])
    return min(max(farthest_m, policy.near_m), policy.max_pickup_m)


def once_each(rows: SupplyRows) -> SupplyRows:
    """A driver who crossed a border between two reads stands in both answers: the latest ping is kept."""
    if len(rows) < 2:
        return rows
    by_driver: IntArray = np.lexsort((rows.seen_at, rows.driver))
    is_last = np.append(rows.driver[by_driver][1:] != rows.driver[by_driver][:-1], True)
    return rows if is_last.all() else rows.take(np.sort(by_driver[is_last]))


def _online(rows: SupplyRows, ask: Ask, policy: Policy) -> BoolArray:
    return np.asarray((rows.flags & ONLINE) != 0)


def _not_busy(rows: SupplyRows, ask: Ask, policy: Policy) -> BoolArray:
    return np.asarray((rows.flags & BUSY) == 0)


def _fresh(rows: SupplyRows, ask: Ask, policy: Policy) -> BoolArray:
    return np.asarray(ask.now - rows.seen_at <= policy.fresh_s)


def _fitting(rows: SupplyRows, ask: Ask, policy: Policy) -> BoolArray:
    fits = np.ones(len(rows), dtype=np.bool_)
    if ask.vehicle_class is not None:
        fits &= rows.vehicle_class == ask.vehicle_class
    if ask.seats is not None:
        fits &= rows.seats >= ask.seats
    return fits


def _untried(rows: SupplyRows, ask: Ask, policy: Policy) -> BoolArray:
    untried = np.ones(len(rows), dtype=np.bool_)
    if not ask.tried:
        return untried
    for place, (driver, seen_at) in enumerate(zip(rows.driver.tolist(), rows.seen_at.tolist(), strict=True)):
        after = ask.tried.get(driver)
        untried[place] = after is None or (after != NEVER_AGAIN and min(ask.now, seen_at) > after)
    return untried


def _not_elsewhere(rows: SupplyRows, ask: Ask, policy: Policy) -> BoolArray:
    if not ask.elsewhere:
        return np.ones(len(rows), dtype=np.bool_)
    return np.array([driver not in ask.elsewhere for driver in rows.driver.tolist()], dtype=np.bool_)


FILTERS: tuple[tuple[str, Filter], ...] = (
    ("offline", _online),
    ("busy", _not_busy),
    ("stale", _fresh),
    ("vehicle", _fitting),
    ("tried", _untried),
    ("elsewhere", _not_elsewhere),
)
