"""What every store of closures and of learned times must do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
import sqlalchemy as sa

from core.events import AnyEvent, ClosuresChanged
from maps.adapters.memory import MemoryClosures, MemoryTraffic
from maps.adapters.roads import SqlClosures, SqlTraffic
from maps.ports import ClosureStore, TrafficStore
from runtime.sql import Database, outbox
from tests.servers import SQL_KINDS

Stores = tuple[ClosureStore, TrafficStore]
BRIDGE = {"type": "Feature", "properties": {"name": "Götaälvbron"}, "geometry": {"type": "LineString"}}


@pytest.fixture(params=["memory", *SQL_KINDS])
async def stores(request: pytest.FixtureRequest, new_sql_url: Callable[[str], str]) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield MemoryClosures(), MemoryTraffic()
        return
    database = Database(new_sql_url(request.param))
    await database.create_all()
    yield SqlClosures(database), SqlTraffic(database)
    await database.close()


async def test_closures_come_and_go_with_a_version_each(stores: Stores) -> None:
    closures, _ = stores
    assert (await closures.version(), dict((await closures.load()).features)) == (0, {})
    assert await closures.change({"bridge": BRIDGE, "tunnel": BRIDGE}, 1.0) == 1
    assert dict((await closures.load()).features) == {"bridge": BRIDGE, "tunnel": BRIDGE}
    assert await closures.change({"bridge": {**BRIDGE, "id": "new"}, "tunnel": None}, 2.0) == 2
    found = await closures.load()
    assert (found.version, dict(found.features)) == (2, {"bridge": {**BRIDGE, "id": "new"}})


async def test_changes_at_one_time_all_count(stores: Stores) -> None:
    closures, _ = stores
    versions = await asyncio.gather(*(closures.change({f"c{n}": BRIDGE}, 1.0) for n in range(5)))
    assert sorted(versions) == [1, 2, 3, 4, 5]
    assert len((await closures.load()).features) == 5


async def test_the_newest_times_of_a_city_are_read(stores: Stores) -> None:
    _, traffic = stores
    assert (await traffic.version("porto"), await traffic.published("porto")) == (0, None)
    big = bytes(range(256)) * 4_000  # more than a plain BLOB of MariaDB takes
    assert await traffic.publish("porto", b"old", 1.0) == 1
    assert await traffic.publish("porto", big, 2.0) == 2
    assert await traffic.published("porto") == big
    assert await traffic.version("oslo") == 0


async def test_what_was_learned_is_kept_by_parts(stores: Stores) -> None:
    _, traffic = stores
    assert dict(await traffic.learned("porto")) == {}
    await traffic.keep("porto", {"core": b"1", "hour-8": b"2"}, 1.0)
    await traffic.publish("porto", b"times", 1.0)
    await traffic.keep("porto", {"core": b"3"}, 2.0)
    assert dict(await traffic.learned("porto")) == {"core": b"3", "hour-8": b"2"}
    assert dict(await traffic.learned("oslo")) == {}


async def test_an_event_leaves_with_each_change_of_closures(new_sql_url: Callable[[str], str]) -> None:
    database = Database(new_sql_url("sqlite"))
    await database.create_all()
    await SqlClosures(database).change({"bridge": BRIDGE}, 5.0)
    async with database.reading() as connection:
        bodies = (await connection.execute(sa.select(outbox.c.body))).scalars().all()
    assert [msgspec.json.decode(body, type=AnyEvent) for body in bodies] == [
        ClosuresChanged(id="closures:1", at=5.0, version=1)
    ]
    await database.close()
