"""The load cuts segments: one process at a time looks at it, and changes the table when it has stayed beyond limits."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Protocol

from core.errors import Conflict, TooMany
from maps.resegment import Pressure, resegment
from maps.segmentdesk import SegmentDesk
from maps.segmenttable import SegmentTable
from runtime.lease import Lease
from runtime.segment_settings import SegmentSettings

_log = logging.getLogger("hexcab.maps")


class LoadOf(Protocol):
    """Drivers and open requests by segment, of whatever version. May raise Unavailable."""

    async def __call__(self) -> Mapping[int, int]: ...


class SegmentKeeper:
    """Splits and merges by load. `area` has the coarsest cells of the city; who has the lease works."""

    def __init__(
        self, desk: SegmentDesk, load: LoadOf, area: Collection[int], lease: Lease, settings: SegmentSettings
    ) -> None:
        self._desk = desk
        self._load = load
        self._area = area
        self._lease = lease
        self._settings = settings
        self._leads = False
        self._pressure = Pressure()

    async def lead(self) -> None:
        """Hold the lease, or take it where nobody has it. Raises Unavailable."""
        leads = await (self._lease.renew() if self._leads else self._lease.take())
        if not leads:
            self._pressure = Pressure()
        self._leads = leads

    async def look(self) -> None:
        """Look at the load once; nothing where another process does, or while a table rolls out. Raises Unavailable."""
        if not self._lease.held or self._desk.known.rolling:
            return
        load = self._desk.as_now(await self._load())
        looked_at = self._desk.newest

        def cut(table: SegmentTable) -> SegmentTable:
            if table is not looked_at:
                return table  # the load was counted by another
            changed, self._pressure = resegment(table, load, self._area, self._pressure, self._settings)
            return changed

        try:
            after = await self._desk.change(cut)
        except (Conflict, TooMany) as error:
            _log.info("segments are left as they are: %s", error.detail)
            return
        if after.version != looked_at.version:
            counts = {"split": len(after.split), "merged": len(after.merged), "version": after.version}
            _log.info("segments were cut by their load", extra=counts)
