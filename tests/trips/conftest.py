"""A world for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.ids import Ids
from runtime.clocks import ManualClock
from tests.trips.world import World, new_world


@pytest.fixture
async def world(tmp_path: Path, clock: ManualClock, ids: Ids) -> AsyncIterator[World]:
    world = await new_world(tmp_path, clock, ids)
    yield world
    await world.database.close()
