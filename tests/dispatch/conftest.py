from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from dispatch.searches import ONE_LANE
from runtime.clocks import ManualClock
from runtime.settings import Settings
from tests.dispatch.stores import FakeTrips, InMemory, InSql
from tests.dispatch.world import World, tuned
from tests.servers import SQL_KINDS

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture(params=["memory", *SQL_KINDS])
async def make_world(
    request: pytest.FixtureRequest, new_sql_url: Callable[[str], str], clock: ManualClock
) -> AsyncIterator[MakeWorld]:
    """Makes a world on the store of this run, with dispatch settings changed as named."""
    made: list[World] = []
    urls = [] if request.param == "memory" else [new_sql_url(request.param)]

    async def make(**fields: object) -> World:
        trips = FakeTrips()
        kind = InMemory(trips) if request.param == "memory" else InSql(trips, urls[0])
        await kind.start()
        settings: Settings = tuned(**fields)
        made.append(World(clock, kind, trips, settings))
        await made[-1].desk.searches.take(ONE_LANE)
        return made[-1]

    yield make
    for world in made:
        try:
            await world.check_truths()
        finally:
            await world.close()


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world()
