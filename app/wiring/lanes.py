"""Lanes: the partitions that the bus gives this process are the searches that it does."""

from __future__ import annotations

from collections.abc import Collection

from dispatch.searches import Searches


class Lanes:
    """core.bus' Owner."""

    def __init__(self, searches: Searches) -> None:
        self._searches = searches

    async def assigned(self, partitions: Collection[int]) -> None:
        await self._searches.take(partitions)

    async def revoked(self, partitions: Collection[int]) -> None:
        await self._searches.leave(partitions)
