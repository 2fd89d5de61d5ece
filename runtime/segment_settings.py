"""Settings of the managed segments."""

from __future__ import annotations

import msgspec


class SegmentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When segments are split and merged, and how a new table rolls out. Times are wall seconds."""

    look_s: float = 1.0  # between looks in SQL for a new table
    switch_s: float = 5.0  # that writers go on with their table, so that every reader has heard of the new one
    retire_s: float = 120.0  # that an earlier table is still read by after it was replaced
    versions_max: int = 16  # that stand at a time; more changes are refused until some have retired
    every_s: float = 10.0  # between looks at the load
    split_above: int = 64  # drivers and open requests in a segment
    split_looks: int = 3  # in a row that found so many
    merge_below: int = 24  # in the seven segments of one parent together; not above split_above
    merge_looks: int = 30
    changes_max: int = 64  # of one look

    def __post_init__(self) -> None:
        if self.merge_below > self.split_above:
            raise ValueError("merge_below is above split_above: segments would be merged and split in turn")
