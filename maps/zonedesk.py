"""The zones in force: those of the city's pack, with what operators have changed since laid over them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from core.clock import Clock
from core.errors import Conflict, InvalidInput, NotFound
from core.events import Event
from core.geo import LatLng
from core.ids import Ids
from maps.cities import City
from maps.ports import ZoneChanges, ZoneStore
from maps.zonejson import collection_of, feature_of, point_of, read_zones
from maps.zones import Zone, in_force
from runtime.settings import MapSettings


class ZoneDesk:
    """Zones for every room of this process, and for operators who change them.

    `zones` are those in force, as far as this process knows: read it anew for each question. `refresh` is called at the
    start, by a ZonesChanged event and now and then, as events may be late.
    """

    def __init__(self, city: City, store: ZoneStore, ids: Ids, clock: Clock, settings: MapSettings) -> None:
        self._city = city
        self._store = store
        self._ids = ids
        self._clock = clock
        self._settings = settings
        self._changed: frozenset[str] = frozenset()
        self._reading = asyncio.Lock()
        self.zones = city.zones

    async def refresh(self) -> None:
        """Take over what was changed anywhere. Raises Unavailable."""
        async with self._reading:  # one after the other, so that an older reading never takes the place of a newer one
            if await self._store.version() != self.zones.version:
                self._take(await self._store.load())

    async def heard(self, _event: Event) -> None:
        """Somebody has changed zones. Raises Unavailable."""
        await self.refresh()

    def contains(self, lat: float, lng: float) -> bool:
        """Whether a place is in the service area."""
        return self.zones.contains(lat, lng)

    def check_pickup(self, at: LatLng) -> None:
        """Raises InvalidInput no_pickup where riders are not picked up; it says where else they are."""
        zones = self.zones
        zone = zones.at("no_pickup", *at)
        if zone is None:
            return
        points = [point_of(point) for point in zones.pickup_points(zone, at)]
        raise InvalidInput(
            f"nobody is picked up in {zone.name}",
            code="no_pickup",
            more={"zone_id": zone.zone_id, "pickup_points": points},
        )

    def surge_floor(self, at: LatLng) -> float:
        """The least surge of a pickup at a place."""
        return self.zones.surge_floor(at)

    def queue_at(self, lat: float, lng: float) -> str | None:
        """The airport queue that a place belongs to: the id of its zone."""
        zone = self.zones.at("airport_queue", lat, lng)
        return None if zone is None else zone.zone_id

    # operators

    def shown(self) -> dict[str, Any]:
        """All zones as a FeatureCollection, each with its `source` (pack, ops or roads), and the `version`."""
        return self._collection(self.zones.all)

    async def put(self, geojson: Any) -> dict[str, Any]:
        """Add the zones of a Feature or FeatureCollection; one with the id of another replaces it.

        Returns those zones as `shown` does. Raises InvalidInput bad_zone naming each wrong feature and its reason,
        Conflict too_many_zones.
        """
        asked = read_zones(self._with_ids(geojson), self._settings, self._city.bounds)
        if any(zone.zone_id == self._city.around.zone_id for zone in asked):
            raise InvalidInput(
                f"the id {self._city.around.zone_id!r} is taken by the area around the roads", code="bad_zone"
            )
        await self.refresh()
        if len({zone.zone_id for zone in (*asked, *self.zones.all)}) > self._settings.zones_max:
            raise Conflict(f"a city may have {self._settings.zones_max} zones", code="too_many_zones")
        await self._store.save({zone.zone_id: zone for zone in asked}, self._clock.now())
        await self.refresh()
        return self._collection(asked)

    async def remove(self, zone_id: str) -> None:
        """Take a zone out, also one of the pack. Raises NotFound; Conflict for the area around the roads."""
        await self.refresh()
        if zone_id == self._city.around.zone_id:
            raise Conflict("the service area around the roads goes when you add one of your own", code="zone_of_roads")
        if all(zone.zone_id != zone_id for zone in self.zones.all):
            raise NotFound(f"there is no zone {zone_id}")
        await self._store.save({zone_id: None}, self._clock.now())
        await self.refresh()

    def _with_ids(self, geojson: Any) -> Any:
        """The same with an id for each feature that has none, so that it never replaces another zone."""
        if not isinstance(geojson, dict):
            return geojson
        if geojson.get("type") == "Feature":
            return geojson if "id" in geojson else geojson | {"id": self._ids.new("zon")}
        features = geojson.get("features")
        if not isinstance(features, list):
            return geojson
        return geojson | {"features": [self._with_ids(feature) for feature in features]}

    def _take(self, changes: ZoneChanges) -> None:
        self._changed = frozenset(changes.zones)
        self.zones = in_force(self._city.pack_zones, changes.zones, self._city.around, changes.version)

    def _collection(self, zones: Iterable[Zone]) -> dict[str, Any]:
        body = collection_of(())
        for zone in zones:
            feature = feature_of(zone)
            of_roads = zone.zone_id == self._city.around.zone_id
            source = "roads" if of_roads else "ops" if zone.zone_id in self._changed else "pack"
            feature["properties"]["source"] = source
            body["features"].append(feature)
        return body | {"version": self.zones.version}
