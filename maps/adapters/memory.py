"""The stores of maps in memory: fakes for tests, and the smallest form of what the ports ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import Conflict
from maps.ports import StoredClosures, ZoneChanges
from maps.segmenttable import SegmentTable
from maps.zones import Zone


class MemoryZones:
    """The ZoneStore port."""

    def __init__(self) -> None:
        self._zones: dict[str, Zone | None] = {}
        self._version = 0

    async def version(self) -> int:
        return self._version

    async def load(self) -> ZoneChanges:
        return ZoneChanges(self._version, dict(self._zones))

    async def save(self, changes: Mapping[str, Zone | None], at: float) -> int:
        self._zones |= changes
        self._version += 1
        return self._version


class MemoryClosures:
    """The ClosureStore port."""

    def __init__(self) -> None:
        self._features: dict[str, dict[str, Any]] = {}
        self._version = 0

    async def version(self) -> int:
        return self._version

    async def load(self) -> StoredClosures:
        return StoredClosures(self._version, dict(self._features))

    async def change(self, changes: Mapping[str, dict[str, Any] | None], at: float) -> int:
        for name, feature in changes.items():
            self._features.pop(name, None)
            if feature is not None:
                self._features[name] = feature
        self._version += 1
        return self._version


class MemoryTraffic:
    """The TrafficStore port."""

    def __init__(self) -> None:
        self._published: dict[str, tuple[int, bytes]] = {}
        self._learned: dict[str, dict[str, bytes]] = {}

    async def version(self, city: str) -> int:
        return self._published.get(city, (0, b""))[0]

    async def published(self, city: str) -> bytes | None:
        return self._published[city][1] if city in self._published else None

    async def publish(self, city: str, body: bytes, at: float) -> int:
        version = await self.version(city) + 1
        self._published[city] = (version, body)
        return version

    async def learned(self, city: str) -> Mapping[str, bytes]:
        return dict(self._learned.get(city, {}))

    async def keep(self, city: str, parts: Mapping[str, bytes], at: float) -> None:
        self._learned.setdefault(city, {}).update(parts)


class MemorySegments:
    """The SegmentStore port; every table stands for good."""

    def __init__(self) -> None:
        self._tables = [SegmentTable()]

    async def version(self) -> int:
        return self._tables[0].version

    async def load(self) -> Sequence[SegmentTable]:
        return list(self._tables)

    async def save(self, table: SegmentTable, at: float) -> None:
        if table.version != self._tables[0].version + 1:
            raise Conflict("somebody else has changed the segments at this moment", code="segments_changed")
        self._tables.insert(0, table)
