"""Reading the supply: one question to the store for all who ask at a time.

Whoever asks while a reading is under way is answered by the next, together with all others: one that begins after the
question, so nobody hears of anything older than by asking alone. Who asks alone waits for nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from core.geo import IntArray
from dispatch import model as dispatch
from location.model import SupplyRows
from location.ports import SupplyStore
from runtime.gather import Gather
from runtime.settings import Settings


@dataclass(frozen=True)
class Reading:
    """The drivers of some segments, at one moment."""

    rows: SupplyRows  # (n,)
    places: Mapping[int, IntArray]  # of the rows, by segment; of those that have any

    def of(self, segments: Sequence[int]) -> IntArray:
        """The places (k,) of the rows of these segments."""
        found = [self.places[each] for each in segments if each in self.places]
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)

    @cached_property
    def for_searches(self) -> dispatch.SupplyRows:
        """The rows (n,) as dispatch has them."""
        return searchable(self.rows)


def searchable(rows: SupplyRows) -> dispatch.SupplyRows:
    """The rows (n,) as dispatch has them."""
    return dispatch.SupplyRows(
        driver=np.array(rows.driver_ids, dtype=np.str_),
        lat=rows.lat,
        lng=rows.lng,
        seen_at=rows.seen_at,
        idle_since=rows.idle_since,
        flags=rows.flags.astype(np.int64),
        vehicle_class=np.array(rows.vehicle, dtype=np.str_),
        seats=rows.seats.astype(np.int64),
    )


class SupplyReads:
    """The shared way to a store. Every call may raise Unavailable."""

    def __init__(self, store: SupplyStore, settings: Settings) -> None:
        most = settings.dispatch.supply_asks
        waiting = 2 * settings.dispatch.max_open_requests + 2 * settings.web.max_watchers
        self._store = store
        self.segments = Gather(self._segments, most, waiting)  # Sequence[int] -> Reading: at least of these segments
        self.driver = Gather(self._drivers, most, waiting)  # driver id -> SupplyRows: their row, or none

    async def _segments(self, asked: Sequence[Sequence[int]]) -> Sequence[Reading]:
        rows = await self._store.in_segments(list(dict.fromkeys(chain.from_iterable(asked))))
        return [Reading(rows, _places(rows))] * len(asked)

    async def _drivers(self, asked: Sequence[str]) -> Sequence[SupplyRows]:
        found = await self._store.of_drivers(list(dict.fromkeys(asked)))
        place = {driver_id: number for number, driver_id in enumerate(found.driver_ids)}
        return [found.take([place[each]] if each in place else []) for each in asked]


class StoredSupply:
    """dispatch's Supply, read from the store that every host shares."""

    def __init__(self, reads: SupplyReads) -> None:
        self._reads = reads

    async def in_segments(self, segments: Sequence[int]) -> dispatch.SupplyRows:
        reading = await self._reads.segments(segments)
        return reading.for_searches.take(reading.of(segments))

    async def by_segment(self, segments: Sequence[int]) -> Mapping[int, dispatch.SupplyRows]:
        reading = await self._reads.segments(segments)
        occupied = [each for each in segments if each in reading.places]
        return {each: reading.for_searches.take(reading.places[each]) for each in occupied}


def _places(rows: SupplyRows) -> dict[int, IntArray]:
    if not rows.driver_ids:
        return {}
    order: IntArray = np.argsort(rows.segment, kind="stable")
    segments, starts = np.unique(rows.segment[order], return_index=True)
    return dict(zip(segments.tolist(), np.split(order, starts[1:]), strict=True))
