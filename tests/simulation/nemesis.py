"""Which fault comes when: every possible one in a random order, again and again, all of it from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from tests.simulation.faults import Fault, drawn


def schedule(possible: Sequence[tuple[str, str]], seed: int) -> Iterator[Fault]:
    """Without end; no fault comes again before each of the others has come as often. Raises ValueError for none."""
    if not possible:
        raise ValueError("there is nothing that could go wrong")
    rng = random.Random(f"{seed} nemesis")
    while True:
        for kind, target in rng.sample(sorted(possible), len(possible)):
            yield drawn(kind, target, rng)
