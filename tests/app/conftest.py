"""A town for the tests of the wiring."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from app.databases import ROOMS
from app.schema import upgrade
from runtime.clocks import ManualClock
from runtime.settings import Settings
from runtime.sqlsettings import SqlSettings
from tests.app.town import SETTINGS, Town


@pytest.fixture
def settings() -> Settings:
    return SETTINGS


@pytest.fixture(params=["one database", "a database for each room"])
async def town(
    tmp_path: Path, clock: ManualClock, settings: Settings, request: pytest.FixtureRequest
) -> AsyncIterator[Town]:
    if request.param != "one database":
        urls = {f"{room}_url": f"sqlite+aiosqlite:///{tmp_path / room}.db" for room in ROOMS if room != "trips"}
        settings = msgspec.structs.replace(settings, sql=SqlSettings(**urls))
    town = Town(tmp_path, clock, settings)
    await upgrade(town.databases)
    await town.trails.prepare()
    await town.open()
    yield town
    await town.close()
