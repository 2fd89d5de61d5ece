"""What holds in all of a finest cell: its segment, the service area, airport queues."""

from __future__ import annotations

from collections.abc import Callable

import h3.api.basic_int as h3

from maps.segmenttable import SegmentTable
from maps.zones import Zones

_BULGE = 1e-7  # degrees; no side of a finest cell, as a great circle, leaves its corners' box by more


class CellRules:
    """Answers by the tables that stand at the moment of the question."""

    def __init__(self, placing: Callable[[], SegmentTable], zones: Callable[[], Zones]) -> None:
        self._placing = placing
        self._zones = zones

    @property
    def version(self) -> object:
        """Differs when segments or zones have changed."""
        return self._placing().version, self._zones().version

    def of_cell(self, cell: int) -> tuple[int, bool | None, bool]:
        """The segment; whether all or none of it is in the service area, None for neither; whether a queue is near."""
        lats, lngs = zip(*h3.cell_to_boundary(cell), strict=True)
        south, north = min(lats) - _BULGE, max(lats) + _BULGE
        west, east = min(lngs) - _BULGE, max(lngs) + _BULGE
        zones = self._zones()
        inside = zones.whole("service_area", south, west, north, east)
        queue = zones.whole("airport_queue", south, west, north, east)
        return self._placing().holding(cell), inside, queue is not False
