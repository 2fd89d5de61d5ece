"""Zones in memory: a fake for tests, and the smallest form of what the port asks."""

from __future__ import annotations

from collections.abc import Mapping

from maps.ports import ZoneChanges
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
