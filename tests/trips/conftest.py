"""A world for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.ids import Ids
from runtime.clocks import ManualClock
from tests.trips.world import World, new_world


@pytest.fixture
async def world(sql_url: str, clock: ManualClock, ids: Ids) -> AsyncIterator[World]:
    world = await new_world(sql_url, clock, ids)
    yield world
    await world.database.close()
