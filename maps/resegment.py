"""Where segments are to be split and merged, from the load of each. Pure: a table and counts in, a table out.

Hysteresis keeps the table still: a load must be beyond its limit at so many looks in a row, and what was merged is far
from being split again, as `merge_below` is not above `split_above`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from maps.segments import COARSEST_RESOLUTION, FINEST_RESOLUTION, children_of, resolution_of
from maps.segmenttable import SegmentTable
from runtime.segment_settings import SegmentSettings


@dataclass(frozen=True, slots=True)
class Pressure:
    """At how many looks in a row a segment was too full, and the children of a cell together too empty."""

    full: Mapping[int, int] = field(default_factory=dict)
    empty: Mapping[int, int] = field(default_factory=dict)


def resegment(
    table: SegmentTable, load: Mapping[int, int], area: Collection[int], pressure: Pressure, settings: SegmentSettings
) -> tuple[SegmentTable, Pressure]:
    """The table after one more look, of the same version, and what is to be given to the next look.

    `load` has the drivers and open requests of the table's segments. `area` has the coarsest cells of the city: only
    there is anything merged into one. Pins are left alone. At most `changes_max` changes.
    """
    full = {
        segment: pressure.full.get(segment, 0) + 1
        for segment, count in load.items()
        if count > settings.split_above and segment not in table.pins and resolution_of(segment) < FINEST_RESOLUTION
    }
    empty = {
        parent: pressure.empty.get(parent, 0) + 1
        for parent, children in _mergeable(table, area)
        if sum(load.get(child, 0) for child in children) < settings.merge_below
    }
    splits = [segment for segment, looks in full.items() if looks >= settings.split_looks and table.manages(segment)]
    splits = sorted(splits, key=lambda segment: (-load[segment], segment))[: settings.changes_max]
    merges = sorted(parent for parent, looks in empty.items() if looks >= settings.merge_looks)
    merges = merges[: settings.changes_max - len(splits)]
    for segment in splits:
        table = table.splitting(segment)
    for parent in merges:
        table = table.merging(children_of(parent)[0])
    done = {*splits, *merges}
    return table, Pressure(_without(full, done), _without(empty, done))


def _mergeable(table: SegmentTable, area: Collection[int]) -> Iterable[tuple[int, list[int]]]:
    """The cells all of whose children are segments that are not pinned, with the children."""
    coarse = [cell for cell in area if cell not in table.merged]
    assert all(resolution_of(cell) == COARSEST_RESOLUTION for cell in coarse)
    for parent in (*table.split, *coarse):
        children = children_of(parent)
        if table.split.isdisjoint(children) and table.pins.isdisjoint(children):
            yield parent, children


def _without(counts: Mapping[int, int], done: Collection[int]) -> dict[int, int]:
    return {cell: looks for cell, looks in counts.items() if cell not in done}
