"""Zones and segments in memory: fakes for tests, and the smallest form of what the ports ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.errors import Conflict
from maps.ports import ZoneChanges
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
