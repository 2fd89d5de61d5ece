"""Fixtures that every room's tests use."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from core.ids import Ids
from runtime.clocks import ManualClock


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real roads, trips and traces: HEXCAB_DATA, or ../shared/data beside the checkout."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("HEXCAB_DATA", root.parent / "shared" / "data"))
    if not (folder / "porto_traces.parquet").exists():
        reason = f"no shared data at {folder}; set HEXCAB_DATA"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ids(clock: ManualClock) -> Ids:
    return Ids(clock, random.Random(7))
