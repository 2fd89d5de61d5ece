"""The driver priority engine: order candidates for one request. Pure: arrays in, order out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.geo import FloatArray, IntArray
from dispatch.model import DriverIds, Weights

FEATURES = ("pickup", "idle", "rating", "acceptance")


@dataclass(frozen=True, slots=True)
class Candidates:
    """Drivers worth scoring for one request, one row each, all arrays of shape (n,)."""

    driver: DriverIds
    pickup_eta_s: FloatArray  # road travel time to the pickup; inf where unreachable
    idle_s: FloatArray  # since the last trip ended or the driver came online
    rating: FloatArray  # 1..5, nan where unknown
    acceptance: FloatArray  # share of the last answered offers accepted, 0..1, nan where unknown
    place_in_line: FloatArray  # in the queue of the pickup's zone, the first is 1; inf for who does not wait there


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates in order, best first."""

    order: IntArray  # (k,) places in the candidates
    scores: FloatArray  # (k,) seconds of pickup time, lower is better
    contributions: FloatArray  # (k, len(FEATURES)) seconds, adding up to the scores
    place_in_line: FloatArray  # (k,) inf for who does not wait in line

    def __len__(self) -> int:
        return len(self.order)


def rank(candidates: Candidates, weights: Weights) -> Ranking:
    """Order candidates by score, best first; ties go to the longer idle driver, then to the lower id.

    Who waits in line for pickups at this place comes before all others, in the order of the line.

    A score is in seconds of pickup time, and the lowest is best: waiting for work makes a driver seem nearer, a rating
    below 5 and declined offers make one seem farther, each by so many seconds (`weights`). An unknown rating or
    acceptance counts as the city's mean. Unreachable drivers are left out.

    Returns the order (k,) with k <= n, the scores (k,) and the contribution of each feature (k, n_features). Raises
    nothing: an empty input gives an empty ranking.
    """
    reachable: IntArray = np.flatnonzero(np.isfinite(candidates.pickup_eta_s))
    idle_s = np.maximum(candidates.idle_s[reachable], 0.0)
    parts = (
        candidates.pickup_eta_s[reachable],
        -weights.seconds_per_idle_minute * np.minimum(idle_s / 60.0, weights.idle_cap_min),
        weights.seconds_per_rating_point * (5.0 - _or_mean(candidates.rating[reachable], weights.unknown_rating)),
        weights.seconds_per_acceptance * (1.0 - _or_mean(candidates.acceptance[reachable], weights.unknown_acceptance)),
    )
    scores: FloatArray = parts[0] + parts[1] + parts[2] + parts[3]
    line = candidates.place_in_line[reachable]
    best_first: IntArray = np.lexsort((candidates.driver[reachable], -idle_s, scores, line))
    return Ranking(reachable[best_first], scores[best_first], np.column_stack(parts)[best_first], line[best_first])


def _or_mean(known: FloatArray, mean: float) -> FloatArray:
    return np.where(np.isnan(known), mean, known)


def why(ranking: Ranking, place: int) -> str:
    """One line for people: the rank of a driver and what made it, in seconds of pickup time."""
    pickup, *others = ranking.contributions[place].tolist()
    parts = [f"{seconds:+.0f} {name}" for name, seconds in zip(FEATURES[1:], others, strict=True) if round(seconds)]
    made_of = ", ".join([f"{pickup:.0f} s away", *parts])
    line = ranking.place_in_line[place]
    waited = f"number {line:.0f} in line, " if np.isfinite(line) else ""
    return f"{place + 1} of {len(ranking)}: {waited}{made_of}"
