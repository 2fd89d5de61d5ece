from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from dispatch.searches import ONE_LANE
from runtime.clocks import ManualClock
from runtime.settings import Settings
from tests.dispatch.world import FakeTrips, InMemory, InSql, World, tuned

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture(params=["memory", "sql"])
async def make_world(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[MakeWorld]:
    """Makes a world on the store of this run, with dispatch settings changed as named."""
    made: list[World] = []

    async def make(**fields: object) -> World:
        trips = FakeTrips()
        kind = InMemory(trips) if request.param == "memory" else InSql(trips, tmp_path / "rides.db")
        await kind.start()
        settings: Settings = tuned(**fields)
        made.append(World(clock, kind, trips, settings))
        await made[-1].desk.searches.take(ONE_LANE)
        return made[-1]

    yield make
    for world in made:
        await world.check_truths()
        await world.close()


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world()
