"""Settings of the managed segments."""

from __future__ import annotations

import msgspec


class SegmentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a new table of segments rolls out. Times are wall seconds."""

    look_s: float = 1.0  # between looks in SQL for a new table
    switch_s: float = 5.0  # that writers go on with their table, so that every reader has heard of the new one
    retire_s: float = 120.0  # that an earlier table is still read by after it was replaced
    versions_max: int = 16  # that stand at a time; more changes are refused until some have retired
