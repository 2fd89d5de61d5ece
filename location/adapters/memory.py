"""The location stores in this process's memory: for tests and for running without Redis."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

import numpy as np

from location.model import ROW, LastPosition, SupplyChange, SupplyRow, SupplyRows, Trail, TrailPoint


class MemorySupply:
    """SupplyStore in dictionaries; expiry looks at a heap of the times of last pings."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[int, SupplyRow]] = {}
        self._members: dict[int, dict[str, None]] = {}
        self._seen: list[tuple[float, str]] = []

    async def apply(self, changes: Sequence[SupplyChange]) -> None:
        """Write what changed."""
        for change in changes:
            self._remove(change.driver_id)
            if change.row is not None:
                self._rows[change.driver_id] = (change.segment, change.row)
                self._members.setdefault(change.segment, {})[change.driver_id] = None
                heapq.heappush(self._seen, (change.row.seen_at, change.driver_id))
        if len(self._seen) > 4 * len(self._rows) + 1_024:
            self._seen = [(row.seen_at, driver_id) for driver_id, (_, row) in self._rows.items()]
            heapq.heapify(self._seen)

    async def in_segments(self, segments: Sequence[int]) -> SupplyRows:
        """The drivers of these segments."""
        wanted = dict.fromkeys(segments)
        return self._of([driver_id for segment in wanted for driver_id in self._members.get(segment, ())])

    def _of(self, ids: list[str]) -> SupplyRows:
        found = [self._rows[driver_id] for driver_id in ids]
        records = np.array([tuple(row) for _, row in found], dtype=ROW)
        return SupplyRows.of(ids, [segment for segment, _ in found], records)

    async def count(self, segments: Sequence[int]) -> list[int]:
        """The number of drivers of each segment."""
        return [len(self._members.get(segment, ())) for segment in segments]

    async def occupied(self) -> list[int]:
        """The segments in which drivers stand."""
        return [segment for segment, members in self._members.items() if members]

    async def of_driver(self, driver_id: str) -> SupplyRows:
        """The driver's row, or none."""
        return self._of([driver_id] if driver_id in self._rows else [])

    async def expire(self, before: float) -> list[str]:
        """Take out drivers last seen before this time."""
        gone = []
        while self._seen and self._seen[0][0] < before:
            seen_at, driver_id = heapq.heappop(self._seen)
            kept = self._rows.get(driver_id)
            if kept is not None and kept[1].seen_at == seen_at:
                self._remove(driver_id)
                gone.append(driver_id)
        return gone

    def _remove(self, driver_id: str) -> None:
        segment, _ = self._rows.pop(driver_id, (0, None))
        members = self._members.get(segment, {})
        members.pop(driver_id, None)
        if segment and not members:
            del self._members[segment]


class MemoryTrail:
    """TrailLog in dictionaries; as durable as the process."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, int, int], TrailPoint] = {}
        self._last: dict[str, TrailPoint] = {}

    async def append(self, points: Sequence[TrailPoint]) -> None:
        """Keep points."""
        for point in points:
            self._points.setdefault((point.driver_id, point.ping.seq, point.ping.ts), point)
            last = self._last.get(point.driver_id)
            if last is None or point.ping.ts > last.ping.ts:
                self._last[point.driver_id] = point

    async def of_trip(self, trip_id: str) -> Trail:
        """The points of a trip by time."""
        return trail_of([point for point in self._points.values() if point.trip_id == trip_id])

    async def track(self, driver_id: str, start_ms: int, end_ms: int) -> Trail:
        """The points of a driver by time."""
        return trail_of(
            [
                point
                for point in self._points.values()
                if point.driver_id == driver_id and start_ms <= point.ping.ts < end_ms
            ]
        )

    async def last_positions(self) -> list[LastPosition]:
        """The newest point of each driver."""
        return [
            LastPosition(
                driver_id=driver_id,
                seq=point.ping.seq,
                ts=point.ping.ts,
                lat=point.ping.lat,
                lng=point.ping.lng,
                heading=point.ping.heading,
                speed=point.ping.speed,
                online=point.online,
                trip_id=point.trip_id,
            )
            for driver_id, point in self._last.items()
        ]

    async def purge(self, before_ms: int) -> int:
        """Remove old points without a trip."""
        old = [key for key, point in self._points.items() if point.trip_id is None and point.ping.ts < before_ms]
        for key in old:
            del self._points[key]
        return len(old)


def trail_of(points: Iterable[TrailPoint]) -> Trail:
    """Points as arrays, by time."""
    rows = [
        (ping.seq, ping.ts, ping.lat, ping.lng, ping.heading, ping.speed, ping.accuracy, trip_id)
        for _, trip_id, _, ping in points
    ]
    return Trail.of(sorted(rows, key=lambda row: (row[1], row[0])))
