"""The archiver: moves ended trips from SQL to the archive so that SQL stays small.

Write, read back, and only then delete what is still exactly what was written. Whatever interrupts it, a trip is in SQL,
in the archive, or in both with equal content; the next run finishes the move.
"""

from __future__ import annotations

import logging

import msgspec

from runtime.settings import TripSettings
from trips.ports import LiveTrips, Transactions, TripArchive

_log = logging.getLogger("hexcab.archiver")


class ArchiveReport(msgspec.Struct, frozen=True):
    """What a run did: trips moved, and ended trips left in SQL (such as those without a fixed fare)."""

    moved: int
    left: int


class Archiver:
    """One runs at a time in an engine; two would only repeat each other's work."""

    def __init__(
        self, transactions: Transactions, live: LiveTrips, archive: TripArchive, settings: TripSettings
    ) -> None:
        self._transactions = transactions
        self._live = live
        self._archive = archive
        self._settings = settings

    async def run_once(self) -> ArchiveReport:
        """Move every settled trip, batch by batch. Raises Unavailable when a store is away; nothing is lost then."""
        moved = 0
        while True:
            found, gone = await self._move_batch()
            moved += gone
            if gone < found or found < self._settings.archive_batch:  # a trip that cannot move must not spin the loop
                break
        report = ArchiveReport(moved, await self._live.count_ended())
        _log.info("archived trips", extra={"moved": report.moved, "left": report.left})
        return report

    async def _move_batch(self) -> tuple[int, int]:
        trips = await self._live.settled(self._settings.archive_batch)
        if not trips:
            return 0, 0
        await self._archive.put(trips)
        safe = await self._archive.verified(trips)
        if len(safe) < len(trips):
            _log.error("trips read back from the archive differ and stay in SQL", extra={"n": len(trips) - len(safe)})
        async with self._transactions() as uow:
            gone = await uow.trips.remove_unchanged(safe)
        return len(trips), gone
