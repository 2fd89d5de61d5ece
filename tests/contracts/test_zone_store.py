"""What every store of changed zones must do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
import shapely
import sqlalchemy as sa

from core.events import AnyEvent, ZonesChanged
from core.geo import LatLng
from maps.adapters.memory import MemoryZones
from maps.adapters.sql import SqlZones
from maps.ports import ZoneStore
from maps.zones import PickupPoint, Zone
from runtime.sql import Database, outbox
from tests.servers import SQL_KINDS

SQUARE = Zone(
    "square",
    "no_pickup",
    "Gustaf Adolfs torg",
    shapely.box(11.96, 57.70, 11.97, 57.71),
    (PickupPoint(LatLng(57.69, 11.96), "Södra hörnet"),),
)
DEAR = Zone("dear", "surge_floor", "Fair", shapely.box(11.9, 57.7, 11.95, 57.72), surge=1.25)


@pytest.fixture(params=["memory", *SQL_KINDS])
async def store(request: pytest.FixtureRequest, new_sql_url: Callable[[str], str]) -> AsyncIterator[ZoneStore]:
    if request.param == "memory":
        yield MemoryZones()
        return
    database = Database(new_sql_url(request.param))
    await database.create_all()
    yield SqlZones(database)
    await database.close()


async def test_nothing_was_changed_at_first(store: ZoneStore) -> None:
    assert await store.version() == 0
    assert (await store.load()).zones == {}


async def test_what_was_saved_is_loaded_as_it_was(store: ZoneStore) -> None:
    assert await store.save({"square": SQUARE, "dear": DEAR}, 1.0) == 1
    found = await store.load()
    assert (found.version, dict(found.zones)) == (1, {"square": SQUARE, "dear": DEAR})


async def test_a_removed_zone_stays_known_as_removed_and_may_come_back(store: ZoneStore) -> None:
    await store.save({"square": SQUARE}, 1.0)
    assert await store.save({"square": None, "of-the-pack": None}, 2.0) == 2
    assert dict((await store.load()).zones) == {"square": None, "of-the-pack": None}
    assert await store.save({"square": SQUARE}, 3.0) == 3
    assert dict((await store.load()).zones) == {"square": SQUARE, "of-the-pack": None}


async def test_a_large_zone_comes_back_whole(store: ZoneStore) -> None:
    coast = Zone("coast", "service_area", "Coast", shapely.Point(11.97, 57.7).buffer(0.123456789, quad_segs=1_200))
    await store.save({"coast": coast}, 1.0)
    assert (await store.load()).zones["coast"] == coast


async def test_changes_at_once_are_all_kept_under_versions_of_their_own(store: ZoneStore) -> None:
    names = [f"z{number}" for number in range(5)]
    versions = await asyncio.gather(*(store.save({name: DEAR}, 1.0) for name in names))
    assert sorted(versions) == [1, 2, 3, 4, 5]
    found = await store.load()
    assert (found.version, sorted(found.zones)) == (5, names)


async def test_every_change_is_told_by_an_event(database: Database) -> None:
    store = SqlZones(database)
    await store.save({"dear": DEAR}, 17.0)
    await store.save({"dear": None}, 18.0)
    async with database.reading() as connection:
        bodies = (await connection.execute(sa.select(outbox.c.body).order_by(outbox.c.seq))).scalars().all()
    events = [msgspec.json.decode(body, type=AnyEvent) for body in bodies]
    assert events == [
        ZonesChanged(id="zones:1", at=17.0, version=1),
        ZonesChanged(id="zones:2", at=18.0, version=2),
    ]
