"""The zones in force, changed by operators while everybody reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import shapely

from core.errors import Conflict, InvalidInput, NotFound
from core.geo import LatLng
from core.ids import Ids
from maps.adapters.memory import MemoryZones
from maps.cities import City
from maps.zonedesk import ZoneDesk
from maps.zones import Zone, Zones, in_force
from runtime.clocks import ManualClock
from runtime.settings import MapSettings

AROUND = Zone("roads", "service_area", "around the roads", shapely.box(11.8, 57.6, 12.1, 57.8))
PACKED = Zone("fair", "surge_floor", "Fair", shapely.box(11.9, 57.7, 11.95, 57.72), surge=1.25)
IN_SQUARE, IN_FAIR = LatLng(57.705, 11.965), LatLng(57.71, 11.92)


@dataclass(frozen=True)
class Town:
    """What a desk needs of a city."""

    pack_zones: tuple[Zone, ...] = (PACKED,)
    around: Zone = AROUND
    bounds: tuple[float, float, float, float] = (57.6, 11.8, 57.8, 12.1)
    zones: Zones = field(default_factory=lambda: in_force((PACKED,), {}, AROUND))


def square(kind: str = "no_pickup", **more: Any) -> dict[str, Any]:
    ring = [[11.96, 57.70], [11.97, 57.70], [11.97, 57.71], [11.96, 57.71], [11.96, 57.70]]
    points = [{"lat": 57.72, "lng": 11.96, "name": "north"}, {"lat": 57.699, "lng": 11.965, "name": "south"}]
    properties = {"kind": kind, "name": "Square", "pickup_points": points, "surge": 2}
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    } | more


@pytest.fixture
def store() -> MemoryZones:
    return MemoryZones()


def desk_of(store: MemoryZones, ids: Ids, clock: ManualClock, **limits: Any) -> ZoneDesk:
    return ZoneDesk(cast(City, Town()), store, ids, clock, MapSettings(**limits))


@pytest.fixture
def desk(store: MemoryZones, ids: Ids, clock: ManualClock) -> ZoneDesk:
    return desk_of(store, ids, clock)


def sources(desk: ZoneDesk) -> dict[str, str]:
    return {feature["id"]: feature["properties"]["source"] for feature in desk.shown()["features"]}


async def test_at_first_the_packs_zones_are_in_force(desk: ZoneDesk) -> None:
    await desk.refresh()
    assert sources(desk) == {"fair": "pack", "roads": "roads"}
    assert desk.surge_floor(IN_FAIR) == 1.25
    desk.check_pickup(IN_FAIR)


async def test_a_no_pickup_zone_says_where_else_nearest_first(desk: ZoneDesk) -> None:
    (made,) = (await desk.put(square()))["features"]
    with pytest.raises(InvalidInput, match="nobody is picked up in Square") as refused:
        desk.check_pickup(IN_SQUARE)
    assert refused.value.code == "no_pickup"
    assert refused.value.more["zone_id"] == made["id"]
    assert [point["name"] for point in refused.value.more["pickup_points"]] == ["south", "north"]


async def test_another_process_takes_the_change_over(desk: ZoneDesk, store: MemoryZones, ids: Ids) -> None:
    other = desk_of(store, ids, ManualClock())
    await desk.put(square("surge_floor", id="dear"))
    assert other.surge_floor(IN_SQUARE) == 1.0
    await other.refresh()
    assert other.surge_floor(IN_SQUARE) == 2.0
    assert sources(other) == {"fair": "pack", "roads": "roads", "dear": "ops"}
    assert other.shown()["version"] == 1


async def test_features_without_an_id_never_replace_each_other_and_those_with_one_do(desk: ZoneDesk) -> None:
    await desk.put(square("surge_floor"))
    await desk.put({"type": "FeatureCollection", "features": [square("surge_floor"), square("surge_floor", id="fair")]})
    assert len(desk.zones.of_kind("surge_floor")) == 3
    assert sources(desk)["fair"] == "ops"
    assert desk.surge_floor(IN_FAIR) == 1.0, "the pack's zone of this id is replaced"


async def test_a_zone_of_the_pack_may_be_removed(desk: ZoneDesk) -> None:
    await desk.remove("fair")
    assert sources(desk) == {"roads": "roads"}
    with pytest.raises(NotFound):
        await desk.remove("fair")


async def test_a_service_area_takes_the_place_of_the_one_around_the_roads_and_gives_it_back(desk: ZoneDesk) -> None:
    with pytest.raises(Conflict) as refused:
        await desk.remove("roads")
    assert refused.value.code == "zone_of_roads"
    await desk.put(square("service_area", id="town"))
    assert (desk.contains(*IN_SQUARE), desk.contains(*IN_FAIR)) == (True, False)
    await desk.remove("town")
    assert desk.contains(*IN_FAIR)


async def test_a_zone_that_cannot_be_used_changes_nothing(desk: ZoneDesk, store: MemoryZones) -> None:
    for wrong in (square("lake"), square(id="roads"), [], {"type": "FeatureCollection", "features": "all"}):
        with pytest.raises(InvalidInput) as refused:
            await desk.put(wrong)
        assert refused.value.code == "bad_zone"
    assert await store.version() == 0


async def test_a_city_has_so_many_zones_at_most(store: MemoryZones, ids: Ids, clock: ManualClock) -> None:
    desk = desk_of(store, ids, clock, zones_max=3)
    await desk.put(square(id="a"))
    await desk.put(square(id="a"))
    with pytest.raises(Conflict) as refused:
        await desk.put(square(id="b"))
    assert refused.value.code == "too_many_zones"
