"""Engine time over restarts: it never goes back, and a fast one can be told from its mark alone."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from app.clock import MARK_EVERY_S, ClockMark, engine_clock
from core.errors import Unavailable
from runtime.clocks import ScaledClock, WallClock
from runtime.datadir import DataDir


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path)


class Wall:
    """The wall's clock, with somebody who sets it."""

    def __init__(self) -> None:
        self.set_by = 0.0

    def __call__(self) -> float:
        return time.time() + self.set_by


def told(data: DataDir, wall: float) -> float:
    """Engine time as a client at the same speed works it out."""
    mark = json.loads((data.path / "clock.json").read_text())
    return float(mark["engine"] + (wall - mark["wall"]) * mark["speed"])


def test_engine_time_is_the_walls_until_a_fast_engine_ran(data: DataDir) -> None:
    for _ in range(3):
        clock = engine_clock(data, 1.0)
        assert isinstance(clock, WallClock)
        assert clock.ahead == 0.0
        assert clock.now() == pytest.approx(time.time(), abs=5.0)


def test_a_fast_clock_stays_on_its_line_over_restarts(data: DataDir) -> None:
    speed = 6.0
    engine_clock(data, speed)
    line = json.loads((data.path / "clock.json").read_text())
    for _ in range(50):
        clock = engine_clock(data, speed)
        mark = ClockMark(data, clock)
        asyncio.run(mark.keep())
        mark.close()
        wall = time.time()
        expected = line["engine"] + (wall - line["wall"]) * speed
        assert clock.now() == pytest.approx(expected, abs=5.0)
        assert told(data, wall) == pytest.approx(expected, abs=0.001), "marks do not move off the line"


def test_the_mark_is_written_every_few_seconds(data: DataDir) -> None:
    wall = Wall()
    clock = engine_clock(data, 1.0, wall)
    mark = ClockMark(data, clock, wall)
    first = (data.path / "clock.json").read_text()
    asyncio.run(mark.keep())
    assert (data.path / "clock.json").read_text() == first
    wall.set_by += MARK_EVERY_S
    asyncio.run(mark.keep())
    assert (data.path / "clock.json").read_text() != first


@pytest.mark.parametrize("speed", [1.0, 10.0])
@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("set_back", [3.0, 86_400.0])
def test_a_wall_that_is_set_back_does_not_move_engine_time_back_over_a_restart(
    data: DataDir, speed: float, killed: bool, set_back: float
) -> None:
    wall = Wall()
    clock = engine_clock(data, speed, wall)
    mark = ClockMark(data, clock, wall)
    asyncio.run(mark.keep())
    if not killed:
        mark.close()
    last = clock.now()
    wall.set_by -= set_back
    assert engine_clock(data, speed, wall).now() >= last


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_a_wall_that_is_set_back_while_the_engine_runs_is_noted_at_once(data: DataDir, speed: float) -> None:
    wall = Wall()
    clock = engine_clock(data, speed, wall)
    mark = ClockMark(data, clock, wall)
    wall.set_by -= 3_600.0
    asyncio.run(mark.keep())
    last = clock.now()
    again = engine_clock(data, speed, wall)
    assert last <= again.now() <= last + speed
    assert told(data, wall()) == pytest.approx(again.now(), abs=0.05 * speed)


def test_the_step_of_a_wall_that_was_set_back_does_not_become_a_lead_for_good(data: DataDir) -> None:
    wall = Wall()
    mark = ClockMark(data, engine_clock(data, 1.0, wall), wall)
    wall.set_by -= 3_600.0
    asyncio.run(mark.keep())
    again = engine_clock(data, 1.0, wall)
    assert isinstance(again, WallClock)
    assert again.ahead == 0.0


def test_a_fast_clock_goes_on_without_a_jump_when_the_machine_was_suspended(data: DataDir) -> None:
    wall = Wall()
    clock = engine_clock(data, 10.0, wall)
    mark = ClockMark(data, clock, wall)
    wall.set_by += 36_000.0  # the monotonic clock stood still
    asyncio.run(mark.keep())
    assert told(data, wall()) == pytest.approx(clock.now(), abs=0.5)


def test_what_a_fast_engine_gained_is_kept_at_speed_1(data: DataDir) -> None:
    data.remember("clock", {"wall": time.time() - 100.0, "engine": time.time() + 1_000.0, "speed": 10.0})
    for _ in range(2):
        clock = engine_clock(data, 1.0)
        assert clock.now() - time.time() == pytest.approx(2_000.0, abs=5.0)
    assert engine_clock(data, 10.0).now() - time.time() == pytest.approx(2_000.0, abs=0.5)


@pytest.mark.parametrize("mark", [{}, {"wall": "x", "engine": 1, "speed": 1}, [1], 12.5])
def test_a_mark_that_makes_no_sense_counts_as_none(data: DataDir, mark: object) -> None:
    data.remember("clock", mark)
    assert engine_clock(data, 1.0).now() == pytest.approx(time.time(), abs=5.0)


def test_a_last_mark_that_cannot_be_written_stops_nobody(data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = ClockMark(data, ScaledClock(10.0))

    def full(name: str, value: object) -> None:
        raise Unavailable("no space left", code="disk_full")

    monkeypatch.setattr(data, "remember", full)
    mark.close()
