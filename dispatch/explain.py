"""Why a decision came out as it did: every driver that a look saw, and what became of each. Pure.

An outcome is `offered`; or the name of the filter that dropped the driver (candidates.FILTERS, and unreachable or
too_far, which need the road); or why a driver who was ranked got no offer:

    taken              another search chose the driver while this one waited for roads
    given_to_another   the window gave the driver to another of its requests
    left_waiting       the window left the request without a driver, as all who could come cost more than another window
    cannot             the driver was to get the trip without being asked, and may not have one
    ranked_lower       others were better, and the request had no place for more offers
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from core.events import Mode
from core.geo import FloatArray, haversine_many_m
from dispatch.candidates import FILTERS, KEPT
from dispatch.decide import Decision
from dispatch.model import RideRequest, Weights
from dispatch.ranking import FEATURES


class Weighed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One driver as a look saw them. What was not asked for, as a filter came first, is None.

    Distances in metres (`away_m` by air), times in seconds. `seconds` are what the score is made of, by feature.
    """

    driver_id: str
    outcome: str
    away_m: float
    position_age_s: float
    rank: int | None = None  # from 1
    score: float | None = None  # seconds of pickup time, the lowest is best
    seconds: dict[str, float] | None = None
    pickup_eta_s: float | None = None
    pickup_distance_m: float | None = None
    idle_s: float | None = None
    rating: float | None = None
    acceptance: float | None = None
    place_in_line: int | None = None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one look saw and why it decided so. `drivers`: the ranked ones in order, then the others, nearest first.

    `counts` has how many were seen, dropped by each filter, and ranked; `left_out` how many of them are not listed.
    """

    look_id: str
    request_id: str
    at: float  # engine time, epoch seconds
    number: int  # of looks at the same time, in order
    mode: Mode
    weights: Weights
    counts: dict[str, int]
    drivers: list[Weighed]
    left_out: int


@dataclass(frozen=True, slots=True)
class LookTerms:
    """What a look is written down with."""

    look_id: str
    number: int
    weights: Weights
    most: int  # drivers in its list; those who were offered the request are always in it
    cannot: AbstractSet[Any] = frozenset()  # drivers who turned out to be unable to take a trip


def look_of(request: RideRequest, decision: Decision, offered: Collection[Any], terms: LookTerms) -> Look:
    """Write down a look that led to offers to these drivers, or to none."""
    listed = _ranked(request, decision, frozenset(offered), terms)
    listed += _dropped(request, decision, max(0, terms.most - len(listed)))
    return Look(
        look_id=terms.look_id,
        request_id=request.request_id,
        at=decision.ask.now,
        number=terms.number,
        mode=decision.ask.mode,
        weights=terms.weights,
        counts=decision.counts,
        drivers=listed,
        left_out=decision.listed.seen - len(listed),
    )


def _ranked(request: RideRequest, decision: Decision, offered: AbstractSet[Any], terms: LookTerms) -> list[Weighed]:
    """The best ones, at most so many, and whoever was offered the request."""
    ranking, candidates = decision.ranking, decision.candidates
    away_m = _away_m(request, decision.listed.rows.lat, decision.listed.rows.lng)
    found = []
    for place, row in enumerate(ranking.order.tolist()):
        driver, line = candidates.driver[row].item(), candidates.place_in_line[row]
        if place >= terms.most and driver not in offered:
            continue
        found.append(
            Weighed(
                driver_id=str(driver),
                outcome="offered" if driver in offered else _lost(driver, decision, terms),
                away_m=round(float(away_m[row]), 1),
                position_age_s=_age_s(decision, decision.listed.rows.seen_at[row]),
                rank=place + 1,
                score=round(float(ranking.scores[place]), 2),
                seconds={
                    name: round(value, 2)
                    for name, value in zip(FEATURES, ranking.contributions[place].tolist(), strict=True)
                },
                pickup_eta_s=round(float(decision.travel.seconds[row]), 1),
                pickup_distance_m=round(float(decision.travel.metres[row]), 1),
                idle_s=round(max(0.0, float(candidates.idle_s[row])), 1),
                rating=_known(candidates.rating[row]),
                acceptance=_known(candidates.acceptance[row]),
                place_in_line=int(line) if np.isfinite(line) else None,
            )
        )
    return found


def _lost(driver: Any, decision: Decision, terms: LookTerms) -> str:
    """Why a driver who was ranked got no offer."""
    if driver in terms.cannot:
        return "cannot"
    if driver in decision.ask.taken:
        return "taken"
    if driver in decision.given:
        return "given_to_another"
    if decision.ask.mode == "batch" and not decision.chosen:
        return "left_waiting"
    return "ranked_lower"


def _dropped(request: RideRequest, decision: Decision, most: int) -> list[Weighed]:
    """Those whom a filter dropped, the nearest by air, at most so many."""
    listed, outcome = decision.listed, _outcomes(decision)
    rows = np.flatnonzero(outcome != "")
    away_m = _away_m(request, listed.looked.lat[rows], listed.looked.lng[rows])
    nearest = np.argsort(away_m, kind="stable")[:most]
    eta_s = np.full(listed.seen, np.nan)
    eta_s[listed.dropped_by == KEPT] = decision.travel.seconds
    return [
        Weighed(
            driver_id=str(listed.looked.driver[row].item()),
            outcome=str(outcome[row]),
            away_m=round(float(metres), 1),
            position_age_s=_age_s(decision, listed.looked.seen_at[row]),
            pickup_eta_s=round(float(eta_s[row]), 1) if np.isfinite(eta_s[row]) else None,
        )
        for row, metres in zip(rows[nearest].tolist(), away_m[nearest].tolist(), strict=True)
    ]


def _outcomes(decision: Decision) -> Any:
    """The filter that dropped each driver who was looked at, (n,) of text; "" for who was ranked."""
    listed = decision.listed
    names = np.array([name for name, _ in FILTERS] + [""])  # KEPT is the last one
    found = names[listed.dropped_by].astype("U16")
    by_road = np.where(np.isfinite(decision.travel.seconds), "too_far", "unreachable")
    by_road[decision.ranking.order] = ""
    found[listed.dropped_by == KEPT] = by_road
    return found


def _away_m(request: RideRequest, lat: FloatArray, lng: FloatArray) -> FloatArray:
    return haversine_many_m(lat, lng, request.pickup)


def _age_s(decision: Decision, seen_at: float) -> float:
    return round(max(0.0, decision.ask.now - float(seen_at)), 1)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)
