"""The decision for one request at one moment. Pure: the live engine and the simulator call this very function.

Live: shortlist -> road travel of the shortlist in one call -> decide. What a decision saw is kept for explanations.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.geo import IntArray
from dispatch.candidates import Shortlist
from dispatch.model import Ask, PickupTravel, Policy, ProfileRows
from dispatch.modes import next_drivers
from dispatch.ranking import Candidates, Ranking, rank, why


@dataclass(frozen=True, slots=True)
class Choice:
    """A driver to offer the request to."""

    driver: Any
    pickup_eta_s: float
    pickup_distance_m: float
    score: float
    why: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Whom to offer the request to now, best first, and everything an explanation needs."""

    ask: Ask
    listed: Shortlist
    travel: PickupTravel  # (n,) of the shortlist
    chosen: tuple[Choice, ...]
    candidates: Candidates  # the shortlist (n,)
    ranking: Ranking  # (k,) places in the candidates
    counts: dict[str, int]  # rows seen = rows dropped by each filter + rows ranked
    given: AbstractSet[Any] = frozenset()  # drivers whom the window gave to its requests, this one among them

    @property
    def supply_seen(self) -> int:
        """How many drivers were open to work, whether they suit or not."""
        return self.listed.supply_seen


def decide(ask: Ask, listed: Shortlist, travel: PickupTravel, profiles: ProfileRows, policy: Policy) -> Decision:
    """Rank the shortlist and choose whom to offer the request to.

    `travel` and `profiles` have one row for each row of the shortlist, in its order (n,).
    """
    seconds = np.asarray(travel.seconds, dtype=np.float64)
    reached = np.isfinite(seconds)
    near = reached & (seconds <= policy.max_pickup_eta_s)
    candidates = Candidates(
        driver=listed.rows.driver,
        pickup_eta_s=np.where(near, seconds, np.inf),
        idle_s=ask.now - listed.rows.idle_since,
        rating=profiles.rating,
        acceptance=profiles.acceptance,
        place_in_line=np.array(
            [ask.line.get(driver, np.inf) for driver in listed.rows.driver.tolist()], dtype=np.float64
        ),
    )
    ranking = rank(candidates, policy.weights)
    counts = {
        "seen": listed.seen,
        **listed.dropped,
        "unreachable": int(np.count_nonzero(~reached)),
        "too_far": int(np.count_nonzero(reached & ~near)),
        "ranked": len(ranking),
    }
    drivers = candidates.driver[ranking.order].tolist()
    chosen = tuple(
        _choice(drivers[place], travel, ranking, place) for place in next_drivers(drivers, ask.free, ask.taken)
    )
    return Decision(ask, listed, travel, chosen, candidates, ranking, counts)


def _choice(driver: Any, travel: PickupTravel, ranking: Ranking, place: int) -> Choice:
    row: IntArray = ranking.order[place]
    return Choice(
        driver=driver,
        pickup_eta_s=float(travel.seconds[row]),
        pickup_distance_m=float(travel.metres[row]),
        score=float(ranking.scores[place]),
        why=why(ranking, place),
    )
