"""A town for the tests of the wiring."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.clocks import ManualClock
from runtime.settings import Settings
from tests.app.town import SETTINGS, Town


@pytest.fixture
def settings() -> Settings:
    return SETTINGS


@pytest.fixture
async def town(tmp_path: Path, clock: ManualClock, settings: Settings) -> AsyncIterator[Town]:
    town = Town(tmp_path, clock, settings)
    await town.main.create_all()
    await town.trails.prepare()
    await town.open()
    yield town
    await town.close()
