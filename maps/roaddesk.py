"""The roads as they are driven now: learned times, and the streets that operators have closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from core.clock import Clock
from core.errors import BadFile, Conflict, InvalidInput, NotFound
from core.events import Event
from core.geo import FloatArray
from core.ids import Ids
from maps.cities import City
from maps.closures import closed_edges, read_closures
from maps.conditions import State, conditions_of
from maps.livespeeds import LiveSpeeds, slowest
from maps.ports import ClosureStore, TrafficStore
from maps.published import PublishedTimes
from maps.roads import Int32Array
from maps.traffic import Traffic
from runtime.settings import Settings

_log = logging.getLogger("hexcab.roads")

_NOTHING = (0, 0)


class RoadDesk:
    """Gives the city's EtaIndex and the route workers' `speeds` the times in force, and takes operators' closures.

    `refresh` is called at the start, by a ClosuresChanged event and now and then, as events may be late. Readers of the
    index go on with the old times meanwhile.
    """

    def __init__(
        self,
        city: City,
        stores: tuple[ClosureStore, TrafficStore],
        ids: Ids,
        clock: Clock,
        settings: Settings,
        speeds: LiveSpeeds | None = None,
    ) -> None:
        self._city = city
        self._speeds = speeds
        self._closures, self._traffic = stores
        self._ids = ids
        self._clock = clock
        self._settings = settings
        self._versions = _NOTHING
        self._features: dict[str, dict[str, Any]] = {}
        self._closed: dict[str, Int32Array] = {}
        self._slowdown: FloatArray | None = None
        self._refreshing = asyncio.Lock()

    @property
    def versions(self) -> tuple[int, int]:
        """Of the closures and of the learned times that are in force here."""
        return self._versions

    async def refresh(self) -> None:
        """Take over what was changed anywhere. Raises Unavailable."""
        async with self._refreshing:
            versions = (await self._closures.version(), await self._traffic.version(self._city.name))
            if versions == self._versions:
                return
            if versions[0] != self._versions[0]:
                await self._load_closures()
            if versions[1] != self._versions[1]:
                self._load_times(await self._traffic.published(self._city.name))
            await asyncio.to_thread(self._use, self._seconds())
            self._versions = versions

    def _use(self, seconds: FloatArray) -> None:
        self._city.eta.update(seconds)
        if self._speeds is not None:
            self._speeds.write(seconds)

    async def heard(self, _event: Event) -> None:
        """Somebody has changed closures. Raises Unavailable."""
        await self.refresh()

    def shown(self) -> dict[str, Any]:
        """All closures as a FeatureCollection, each with how many `edges` it closes, and the `version`."""
        return self._collection(list(self._features))

    async def conditions(self, state: State | None) -> dict[str, Any]:
        """The streets in a state, or in any, as a FeatureCollection, the clearest first. Raises Unavailable."""
        parts, now = await self._traffic.learned(self._city.name), self._clock.now()
        return {"type": "FeatureCollection", "features": await asyncio.to_thread(self._conditions, parts, now, state)}

    def _conditions(self, parts: Mapping[str, bytes], now: float, state: State | None) -> list[Mapping[str, Any]]:
        traffic = Traffic(self._city.roads, self._settings.traffic)
        try:
            traffic.restore(parts, self._city.fingerprint)
        except BadFile as error:
            _log.warning("nothing is known of the roads: %s", error.detail)
            return []
        return conditions_of(self._city.roads, traffic, now, state, self._settings.traffic.conditions_max)

    async def put(self, geojson: Any) -> dict[str, Any]:
        """Close the streets of a Feature or FeatureCollection; one with the id of another replaces it.

        Returns those closures as `shown` does. Raises InvalidInput bad_closure naming each wrong feature and its
        reason, nothing_closed where a shape meets no street, Conflict too_many_closures.
        """
        features = _with_ids(geojson, self._ids)
        asked = read_closures(features, self._settings.maps, self._city.bounds)
        for closure in asked:
            closed_edges(closure, self._city.roads, self._city.eta.snaps, self._settings.maps)
        await self.refresh()
        if len({closure.closure_id for closure in asked} | set(self._features)) > self._settings.maps.zones_max:
            raise Conflict(f"a city may have {self._settings.maps.zones_max} closures", code="too_many_closures")
        listed = features["features"] if features["type"] == "FeatureCollection" else [features]
        changes = {closure.closure_id: feature for closure, feature in zip(asked, listed, strict=True)}
        await self._closures.change(changes, self._clock.now())
        await self.refresh()
        return self._collection([closure.closure_id for closure in asked])

    async def remove(self, closure_id: str) -> None:
        """End a closure. Raises NotFound."""
        await self.refresh()
        if closure_id not in self._features:
            raise NotFound(f"there is no closure {closure_id}")
        await self._closures.change({closure_id: None}, self._clock.now())
        await self.refresh()

    async def _load_closures(self) -> None:
        stored = await self._closures.load()
        closed, features = dict[str, Int32Array](), dict[str, dict[str, Any]]()
        for closure_id, feature in stored.features.items():
            features[closure_id] = feature
            try:
                (closure,) = read_closures(feature, self._settings.maps)
                closed[closure_id] = closed_edges(closure, self._city.roads, self._city.eta.snaps, self._settings.maps)
            except InvalidInput as error:  # a new city pack may lack the street
                closed[closure_id] = np.empty(0, dtype=np.int32)
                _log.warning("a closure closes nothing: %s", error.detail, extra={"closure_id": closure_id})
        self._closed, self._features = closed, features

    def _load_times(self, body: bytes | None) -> None:
        self._slowdown = None
        if body is None:
            return
        try:
            self._slowdown = PublishedTimes.decode(body).slowdown_on(self._city)
        except BadFile as error:
            _log.warning("the learned times are not used: %s", error.detail)

    def _seconds(self) -> FloatArray:
        seconds = self._city.roads.seconds.copy()
        if self._slowdown is not None:
            seconds = np.minimum(seconds * self._slowdown, slowest(self._city.roads))
        for edges in self._closed.values():
            seconds[edges] = np.inf
        return seconds

    def _collection(self, names: list[str]) -> dict[str, Any]:
        features = []
        for name in names:
            feature = self._features[name]
            properties = feature["properties"] | {"edges": len(self._closed[name])}
            features.append(feature | {"id": name, "properties": properties})
        return {"type": "FeatureCollection", "features": features, "version": self._versions[0]}


def _with_ids(geojson: Any, ids: Ids) -> Any:
    """The same with an id for each feature that has none, so that it never replaces another closure."""
    if not isinstance(geojson, dict):
        return geojson
    if geojson.get("type") == "Feature":
        return geojson if "id" in geojson else geojson | {"id": ids.new("clo")}
    features = geojson.get("features")
    if not isinstance(features, list):
        return geojson
    return geojson | {"features": [_with_ids(feature, ids) for feature in features]}
