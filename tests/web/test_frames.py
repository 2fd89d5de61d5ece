"""Rows stay with their driver; places fall where Web-Mercator puts them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.web.fakes import BOUNDS, Fakes
from web.frames import ROW, Rows, frame
from web.mercator import STEPS, MercatorBox

BOX = MercatorBox.of(BOUNDS)


@given(st.lists(st.frozensets(st.sampled_from("abcdefgh")), min_size=1, max_size=20))
def test_a_row_is_the_same_driver_until_it_was_empty_once(frames: list[frozenset[str]]) -> None:
    rows, before = Rows(), dict[int, str]()
    for drivers in frames:
        at, count = rows.place(sorted(drivers))
        now = dict(zip(at, sorted(drivers), strict=True))
        assert len(now) == len(drivers)
        assert all(row < count for row in now)
        assert count <= 2 * 8
        for row in before.keys() & now.keys():
            assert now[row] == before[row]
        for row, driver in before.items():
            if driver in drivers:
                assert now[row] == driver
        before = now


async def test_a_driver_who_left_leaves_an_empty_row() -> None:
    fakes, rows = Fakes(), Rows()
    fakes.move_to(["a", "b", "c"])
    frame(await fakes.fleet.snapshot(), rows, BOX)
    fakes.move_to(["a", "c"])
    table = np.frombuffer(frame(await fakes.fleet.snapshot(), rows, BOX), dtype=ROW)
    assert table["status"].tolist() == [1, 0, 1]
    fakes.move_to(["d", "a", "c"])
    table = np.frombuffer(frame(await fakes.fleet.snapshot(), rows, BOX), dtype=ROW)
    assert table["status"].tolist() == [1, 1, 1]


async def test_an_empty_city_is_an_empty_frame() -> None:
    fakes = Fakes()
    fakes.move_to([])
    assert frame(await fakes.fleet.snapshot(), Rows(), BOX) == b""


@given(st.floats(*BOUNDS[::2]), st.floats(*BOUNDS[1::2]))
def test_a_place_comes_back_from_its_steps_within_a_step(lat: float, lng: float) -> None:
    x, y = BOX.quantised(np.array([lat]), np.array([lng]))
    west_m = BOX.west_m + x[0] / STEPS * (BOX.east_m - BOX.west_m)
    north_m = BOX.south_m + y[0] / STEPS * (BOX.north_m - BOX.south_m)
    radius = 6_378_137.0
    assert abs(np.degrees(west_m / radius) - lng) < 1e-5
    assert abs(np.degrees(2 * np.arctan(np.exp(north_m / radius)) - np.pi / 2) - lat) < 1e-5


def test_what_lies_outside_is_moved_to_the_edge() -> None:
    x, y = BOX.quantised(np.array([-90.0, 90.0]), np.array([-180.0, 180.0]))
    assert (x.tolist(), y.tolist()) == ([0, STEPS], [0, STEPS])
