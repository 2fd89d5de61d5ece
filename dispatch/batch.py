"""The decision for all requests of a window at once. Pure: a decision for each in, one driver at most for each out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dispatch.decide import Choice, Decision
from dispatch.matching import NOBODY, Pairs, match
from dispatch.model import Policy

_MS = 1_000
_IN_LINE_MS = -1_000_000_000  # whoever waits in line for a pickup comes before all others, in the order of the line


@dataclass(frozen=True, slots=True)
class Considered:
    """One request of a window. The decision's chosen are all who may be offered it, best first."""

    decision: Decision
    waited_s: float


def match_window(window: Sequence[Considered], policy: Policy) -> list[Decision]:
    """Leave each request one driver, or none, so that no driver is chosen twice and the whole costs the least.

    A driver costs the score in seconds of pickup time; leaving a request for the next window costs
    `policy.left_s`, and more the longer it has waited. Order the window by age: who asked first wins a tie.
    """
    drivers = sorted({choice.driver for each in window for choice in each.decision.chosen})
    slots = {driver: slot for slot, driver in enumerate(drivers)}
    choices = [choice for each in window for choice in each.decision.chosen]
    first = np.cumsum([0, *(len(each.decision.chosen) for each in window)])
    slot = np.array([slots[choice.driver] for choice in choices], dtype=np.int64)
    cost = np.array(
        [_cost(choice, each.decision.ask.line) for each in window for choice in each.decision.chosen], dtype=np.int64
    )
    waited_s = np.array([each.waited_s for each in window], dtype=np.float64)
    leaving = np.rint(_MS * (policy.left_s + policy.left_per_waited_s * waited_s)).astype(np.int64)
    places = match(Pairs(first, slot, cost), leaving, len(drivers)).tolist()
    given = frozenset(choices[place].driver for place in places if place != NOBODY)
    return [
        dataclasses.replace(each.decision, chosen=() if place == NOBODY else (choices[place],), given=given)
        for each, place in zip(window, places, strict=True)
    ]


def _cost(choice: Choice, line: Mapping[Any, int]) -> int:
    place = line.get(choice.driver)
    return round(_MS * choice.score) if place is None else _IN_LINE_MS + place
