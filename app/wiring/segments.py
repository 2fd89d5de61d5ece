"""The segments of a process: known here, kept in SQL."""

from __future__ import annotations

import time

from core.clock import Clock
from location.live import LiveDrivers
from maps.adapters.segments_sql import SqlSegments
from maps.knownsegments import KnownSegments
from maps.segmentdesk import SegmentDesk
from runtime.segment_settings import SegmentSettings
from runtime.sql import Database


def segment_desk(database: Database, live: LiveDrivers, wall: Clock, settings: SegmentSettings) -> SegmentDesk:
    """The desk, which places the drivers of this process anew when the table says so."""
    known = KnownSegments(settings, time.monotonic)
    known.on_switch(live.place_again)
    return SegmentDesk(SqlSegments(database, settings), known, wall)
