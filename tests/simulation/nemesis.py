"""Which fault comes when: every possible one in a random order, again and again, all of it from a seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.simulation.faults import Fault, drawn

# what comes first, as short runs end early: the loss of each role and each server, then each other kind once
_FIRST = ("kill", "pause")


def schedule(possible: Sequence[tuple[str, str]], seed: int) -> Iterator[Fault]:
    """Without end; no fault comes again before each of the others has come as often. Raises ValueError for none.

    In each turn the faults that differ most come first: kill and pause of one host of each role and one node of each
    server, and every other kind once; then the other targets.
    """
    if not possible:
        raise ValueError("there is nothing that could go wrong")
    rng = random.Random(f"{seed} nemesis")
    while True:
        for kind, target in _spread(rng.sample(sorted(possible), len(possible))):
            yield drawn(kind, target, rng)


def _spread(faults: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """In the same order, but none of a sort before every sort has come as often."""
    seen: Counter[tuple[str, str]] = Counter()
    turns = []
    for kind, target in faults:
        sort = (kind, family(target) if kind in _FIRST else "")
        turns.append(seen[sort])
        seen[sort] += 1
    order = sorted(range(len(faults)), key=turns.__getitem__)  # stable
    return [faults[place] for place in order]


def family(target: str) -> str:
    """The role or server that a target is one of: gateway of gateway2, kafka of `kafka 3`."""
    return target.rstrip("0123456789 ")
