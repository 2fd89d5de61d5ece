"""Strategies for the pure parts."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np

from dispatch.model import Ask, PickupTravel, ProfileRows, SupplyRows
from dispatch.ranking import Candidates
from tests.dispatch.world import supply_rows

NOW = 1_000.0


@st.composite
def candidates(draw: st.DrawFn, max_size: int = 12) -> Candidates:
    """Few distinct values, so that ties happen."""
    count = draw(st.integers(0, max_size))

    def column(*values: float) -> np.ndarray:
        return np.array(draw(st.lists(st.sampled_from(values), min_size=count, max_size=count)), dtype=np.float64)

    return Candidates(
        driver=np.array(draw(st.permutations([f"d{n:02d}" for n in range(count)])), dtype="U8"),
        pickup_eta_s=column(0.0, 60.0, 61.5, 600.0, float("inf")),
        idle_s=column(-5.0, 0.0, 90.0, 1e5),
        rating=column(1.0, 4.3, 5.0, float("nan")),
        acceptance=column(0.0, 0.5, 1.0, float("nan")),
        place_in_line=column(1.0, 2.0, float("inf"), float("inf")),
    )


@st.composite
def supplies(draw: st.DrawFn) -> SupplyRows:
    """Drivers in all states; some of them twice, as when they cross a border between two reads."""
    driver = st.fixed_dictionaries(
        {
            "driver": st.sampled_from([f"d{n:02d}" for n in range(12)]),
            "seen_at": st.sampled_from([NOW, NOW - 10, NOW - 30, NOW - 31, NOW + 5]),
            "idle_since": st.sampled_from([NOW, NOW - 600]),
            "flags": st.integers(0, 3),
            "seats": st.sampled_from([1, 4, 8]),
            "vehicle_class": st.sampled_from(["", "standard", "van"]),
        }
    )
    return supply_rows(draw(st.lists(driver, max_size=20)))


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    names = st.sampled_from([f"d{n:02d}" for n in range(12)])
    return Ask(
        now=NOW,
        mode=draw(st.sampled_from(["best", "broadcast"])),
        vehicle_class=draw(st.sampled_from([None, "van"])),
        seats=draw(st.sampled_from([None, 4])),
        tried=draw(st.dictionaries(names, st.sampled_from([NOW - 5, NOW + 5, float("inf")]), max_size=4)),
        elsewhere=draw(st.frozensets(names, max_size=3)),
        free=draw(st.integers(0, 3)),
        taken=draw(st.frozensets(names, max_size=3)),
        line=draw(st.dictionaries(names, st.integers(1, 9), max_size=3)),
    )


def travel_of(rows: SupplyRows) -> PickupTravel:
    """A travel time for each driver that depends on the driver alone; some unreachable, some too far."""
    numbers = [int(driver[1:]) for driver in rows.driver.tolist()]
    seconds = np.array([np.inf if n % 5 == 4 else 150.0 * n for n in numbers], dtype=np.float64)
    return PickupTravel(seconds, seconds * 10)


def unknown_profiles(rows: SupplyRows) -> ProfileRows:
    return ProfileRows(np.full(len(rows), np.nan), np.full(len(rows), np.nan))
