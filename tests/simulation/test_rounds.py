"""A few rounds of faults on a real engine: everything that its clients were told stays true. `make chaos` has more."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.simulation.embedded import Embedded
from tests.simulation.faults import KILL_CHILD, drawn
from tests.simulation.rounds import Plan, Run, run

SEED = int(os.environ.get("HEXCAB_CHAOS_SEED", "1"))
PLAN = Plan(drivers=16, riders=20, before_s=4.0, after_s=4.0)

pytestmark = pytest.mark.slow


async def test_the_truths_hold_over_faults_of_the_embedded_engine(
    tmp_path: Path, gothenburg_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(SEED)
    faults = [
        drawn(kind, target, rng)
        for kind, target in (
            ("kill", "engine"),
            ("pause", "engine"),
            ("stall down", "drivers"),
            (KILL_CHILD, "redis"),
            ("drain", "engine"),
        )
    ]
    cluster = Embedded(tmp_path / "d", gothenburg_home)
    chaos = Run(cluster, PLAN, SEED, tmp_path / "histories")
    await cluster.start()
    try:
        await run(chaos, iter(faults), lambda so_far: len(so_far.rows) < len(faults), lambda _: None)
    finally:
        await cluster.stop()
    with capsys.disabled():
        print(f"\nseed={SEED} faults={len(faults)} operations={chaos.history.outcomes['invoke']}")
    assert chaos.violations == []
    assert chaos.history.outcomes["ok"] >= 10 * len(faults), "too little load to say anything"
    assert chaos.history.acked_pings >= 10 * len(faults), "too few rides to say anything"
