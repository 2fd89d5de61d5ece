"""The clock that follows the wall's: forward at every step, back at none."""

from __future__ import annotations

import asyncio

import pytest

from runtime.clocks import WallClock


class Walls:
    """A wall's clock that can be set, and a steady one that stands still while the machine is suspended."""

    def __init__(self) -> None:
        self.wall = 1_000.0
        self.steady = 50.0

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def clock(self, ahead: float = 0.0, not_before: float = 0.0) -> WallClock:
        return WallClock(ahead, not_before, lambda: self.wall, lambda: self.steady)


def test_engine_time_takes_every_step_of_the_wall_forward() -> None:
    walls = Walls()
    clock = walls.clock()
    assert clock.now() == 1_000.0
    walls.run(10.0)
    assert clock.now() == 1_010.0
    walls.wall += 3_600.0  # a suspended laptop wakes
    assert clock.now() == 4_610.0
    walls.run(1.0)
    assert clock.now() == 4_611.0


def test_engine_time_goes_on_at_half_pace_while_the_wall_is_behind_it() -> None:
    walls = Walls()
    clock = walls.clock()
    walls.wall -= 10.0
    assert clock.now() == 1_000.0
    walls.run(8.0)
    assert clock.now() == pytest.approx(1_004.0)
    walls.run(12.0)
    assert clock.now() == pytest.approx(1_010.0) == walls.wall
    walls.run(5.0)
    assert clock.now() == walls.wall


def test_a_clock_that_is_ahead_stays_as_far_ahead() -> None:
    walls = Walls()
    clock = walls.clock(ahead=500.0, not_before=1_400.0)
    walls.run(20.0)
    assert clock.now() == 1_520.0


async def test_a_sleeper_wakes_when_the_wall_says_so() -> None:
    walls = Walls()
    clock = walls.clock()
    sleeper = asyncio.create_task(clock.sleep(0.05))
    await asyncio.sleep(0.2)
    assert not sleeper.done(), "the wall stands still"
    walls.run(0.05)
    await asyncio.wait_for(sleeper, 5)
    await clock.sleep(-1.0)
