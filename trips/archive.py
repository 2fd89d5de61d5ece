"""The archiver: moves ended trips from SQL to the archive so that SQL stays small.

Write, read back, and only then delete what is still exactly what was written. Whatever interrupts it, a trip is in SQL,
in the archive, or in both with equal content; the next run finishes the move. Several may run at once, in one process
or in many: they write the same rows, and each deletes what it finds still there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from runtime.settings import TripSettings
from trips.model import Trip
from trips.ports import LiveTrips, Transactions, TripArchive

_log = logging.getLogger("hexcab.archiver")


class ArchiveReport(msgspec.Struct, frozen=True):
    """What a run did: trips moved, and ended trips left in SQL (such as those without a fixed fare)."""

    moved: int
    left: int


class Archiver:
    """Moves what is settled, the oldest first."""

    def __init__(
        self, transactions: Transactions, live: LiveTrips, archive: TripArchive, settings: TripSettings
    ) -> None:
        self._transactions = transactions
        self._live = live
        self._archive = archive
        self._settings = settings

    async def run_once(self) -> ArchiveReport:
        """Move every settled trip, batch by batch. Raises Unavailable when a store is away; nothing is lost then."""
        moved, after = 0, ""
        while trips := await self._live.settled(self._settings.archive_batch, after):
            moved += await self._move(trips)
            after = trips[-1].trip_id  # those that could not move are not met again
        report = ArchiveReport(moved, await self._live.count_ended())
        _log.info("archived trips", extra={"moved": report.moved, "left": report.left})
        return report

    async def _move(self, trips: Sequence[Trip]) -> int:
        await self._archive.put(trips)
        safe = await self._archive.verified(trips)
        if len(safe) < len(trips):
            _log.error("trips read back from the archive differ and stay in SQL", extra={"n": len(trips) - len(safe)})
        async with self._transactions() as uow:
            return await uow.trips.remove_unchanged(safe)
