"""A small soak: what `python -m benchmarks soak` does at full size, on one process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.harness import Ask
from benchmarks.lives import Memory
from benchmarks.soak import FULL, QUICK, Soak, size_of
from tests.simulation.embedded import SETTINGS, Embedded
from tests.simulation.history import History


def ignore(_: str) -> None:
    """Nobody reads along."""


def test_fewer_drivers_have_fewer_rides_and_a_shorter_run_a_shorter_warm_up() -> None:
    asked = size_of(Ask(quick=False, say=ignore, minutes=5.0, drivers=2_500))
    assert asked == replace(FULL, drivers=2_500, riders=2_000, rides_per_s=10.0, minutes=5.0, warm_up_s=90.0)
    assert size_of(Ask(quick=False, say=ignore)) == FULL


@pytest.mark.slow
async def test_a_soak_loses_nothing_and_tells_how_memory_grows(tmp_path: Path, gothenburg_home: Path) -> None:
    size = replace(QUICK, drivers=60, riders=40, warm_up_s=0.0, minutes=1.0)
    location = {**SETTINGS["location"], "ping_interval_s": size.ping_interval_s}
    engine = Embedded(tmp_path / "d", gothenburg_home, settings={**SETTINGS, "location": location})
    try:
        await engine.start()
        done = await Soak(engine, size, Ask(quick=True, say=ignore), History(), Memory()).run()
    finally:
        await engine.stop()
    assert done.figures["faults"] >= 1
    assert done.checked > done.figures["rides"] > 0
    assert {"engine_mb_per_h", "load_mb_per_h"} <= done.figures.keys()
