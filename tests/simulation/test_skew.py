"""A process can be given a wrong clock of the wall, while it runs, and keeps a right one for its sleeps."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.skew import Skew, compiler

TELLS = """
import asyncio, datetime, sys, time
for _ in sys.stdin:
    asyncio.run(asyncio.sleep(0.01)); time.sleep(0.01)
    print(time.time(), datetime.datetime.now(datetime.UTC).timestamp(), time.monotonic(), flush=True)
"""


class Teller:
    """A process that tells its clocks."""

    def __init__(self, skew: Skew) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", TELLS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **skew.environment()},
        )  # fmt: skip

    def ahead_s(self) -> tuple[float, float, float]:
        """How far its time.time, its datetime and its monotonic clock are ahead of ours, at least."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        wall, steady = time.time(), time.monotonic()
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        first, second, third = map(float, self._process.stdout.readline().split())
        return first - wall, second - wall, third - steady

    def end(self) -> None:
        self._process.communicate(timeout=20)


@pytest.fixture
def skew(tmp_path: Path) -> Skew:
    if compiler() is None:
        pytest.skip("there is no C compiler, or no Linux")
    return Skew(tmp_path, "clock")


@pytest.fixture
def teller(skew: Skew) -> Iterator[Teller]:
    process = Teller(skew)
    yield process
    process.end()


@pytest.mark.parametrize("seconds", [0.0, 3_600.25, -3_600.75])
def test_a_shift_is_seen_by_the_walls_clock_alone(skew: Skew, teller: Teller, seconds: float) -> None:
    skew.set(seconds)
    wall, date, steady = teller.ahead_s()
    assert seconds <= wall < seconds + 1_800
    assert seconds <= date < seconds + 1_800
    assert 0 <= steady < 1_800


def test_time_steps_forth_and_back_while_the_process_runs(skew: Skew, teller: Teller) -> None:
    for seconds in (7_200.0, -7_200.0, 0.0):
        skew.set(seconds)
        assert seconds <= teller.ahead_s()[0] < seconds + 1_800
