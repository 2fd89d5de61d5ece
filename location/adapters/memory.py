"""The location stores in this process's memory: for tests and for running without Redis."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from location.model import ROW, LastPosition, SupplyChange, SupplyRow, SupplyRows, Trail, TrailPoint


class MemorySupply:
    """SupplyStore in dictionaries; expiry looks at a heap of the times of last pings."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, int, SupplyRow]] = {}  # epoch, segment (0: taken out), row
        self._members: dict[int, dict[str, None]] = {}
        self._seen: list[tuple[float, str]] = []

    async def apply(self, changes: Sequence[SupplyChange]) -> list[SupplyChange]:
        """Write what changed."""
        refused = []
        for change in changes:
            held = self._held.get(change.driver_id)
            if held is not None and held[0] > change.epoch:
                refused.append(change)
                continue
            stays = held is not None and held[1] == change.segment
            if not stays:
                self._leave(change.driver_id)
            row = change.row or (held and held[2])
            if row is not None:
                self._held[change.driver_id] = (change.epoch, change.segment, row)
                heapq.heappush(self._seen, (row.seen_at, change.driver_id))
            if change.segment and not stays:
                self._members.setdefault(change.segment, {})[change.driver_id] = None
        if len(self._seen) > 4 * len(self._held) + 1_024:
            self._seen = [(row.seen_at, driver_id) for driver_id, (_, _, row) in self._held.items()]
            heapq.heapify(self._seen)
        return refused

    async def in_segments(self, segments: Sequence[int]) -> SupplyRows:
        """The drivers of these segments."""
        wanted = dict.fromkeys(segments)
        return self._of([driver_id for segment in wanted for driver_id in self._members.get(segment, ())])

    def _of(self, ids: list[str]) -> SupplyRows:
        found = [self._held[driver_id] for driver_id in ids]
        records = np.array([tuple(row) for _, _, row in found], dtype=ROW)
        return SupplyRows.of(ids, [segment for _, segment, _ in found], records)

    async def count(self, segments: Sequence[int]) -> list[int]:
        """The number of drivers of each segment."""
        return [len(self._members.get(segment, ())) for segment in segments]

    async def occupied(self) -> list[int]:
        """The segments in which drivers stand."""
        return list(self._members)

    async def of_drivers(self, driver_ids: Sequence[str]) -> SupplyRows:
        """The drivers' rows."""
        return self._of([each for each in dict.fromkeys(driver_ids) if self._held.get(each, (0, 0))[1]])

    async def expire(self, before: float) -> list[str]:
        """Take out drivers last seen before this time."""
        gone = []
        while self._seen and self._seen[0][0] < before:
            seen_at, driver_id = heapq.heappop(self._seen)
            held = self._held.get(driver_id)
            if held is None or held[2].seen_at != seen_at:
                continue
            if self._leave(driver_id):
                gone.append(driver_id)
            del self._held[driver_id]
        return gone

    def _leave(self, driver_id: str) -> bool:
        """Take the driver out of the segment; False when in none."""
        held = self._held.get(driver_id)
        if held is None or not held[1]:
            return False
        members = self._members[held[1]]
        del members[driver_id]
        if not members:
            del self._members[held[1]]
        return True


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

    async def last_position(self, driver_id: str) -> LastPosition | None:
        """The newest point of a driver."""
        point = self._last.get(driver_id)
        if point is None:
            return None
        _, trip_id, online, ping = point
        return LastPosition(driver_id, ping.seq, ping.ts, ping.lat, ping.lng, ping.heading, ping.speed, online, trip_id)

    async def purge(self, before_ms: int) -> int:
        """Remove old points without a trip."""
        old = [key for key, point in self._points.items() if point.trip_id is None and point.ping.ts < before_ms]
        for key in old:
            del self._points[key]
        return len(old)


class MemoryPositions:
    """PositionStream that keeps the latest change of each driver, of `most` drivers."""

    def __init__(self, most: int) -> None:
        self.latest: dict[str, SupplyChange] = {}
        self._most = most
        self._counts = {"sent": 0, "queue_full": 0}

    def offer(self, changes: Sequence[SupplyChange]) -> None:
        """Keep them."""
        for change in changes:
            if change.row is None:
                continue
            fits = change.driver_id in self.latest or len(self.latest) < self._most
            self._counts["sent" if fits else "queue_full"] += 1
            if fits:
                self.latest[change.driver_id] = change

    def counts(self) -> Mapping[str, int]:
        """How many were kept, and how many not."""
        return self._counts


def trail_of(points: Iterable[TrailPoint]) -> Trail:
    """Points as arrays, by time."""
    rows = [
        (ping.seq, ping.ts, ping.lat, ping.lng, ping.heading, ping.speed, ping.accuracy, trip_id)
        for _, trip_id, _, ping in points
    ]
    return Trail.of(sorted(rows, key=lambda row: (row[1], row[0])))


class MemoryQueues:
    """The QueueStore port."""

    def __init__(self) -> None:
        self.places: dict[str, tuple[str, float]] = {}
        self._seen_at: dict[str, float] = {}

    async def queues_of(self, driver_ids: Sequence[str]) -> Mapping[str, str]:
        return {driver_id: self.places[driver_id][0] for driver_id in driver_ids if driver_id in self.places}

    async def move(self, joined: Mapping[str, tuple[str, float]], left: Sequence[str], now: float) -> None:
        self.places |= joined
        self._seen_at |= dict.fromkeys(joined, now)
        for driver_id in left:
            self.places.pop(driver_id, None)

    async def renew(self, driver_ids: Sequence[str], now: float) -> None:
        self._seen_at |= dict.fromkeys(driver_ids, now)

    async def first(self, zone_id: str, limit: int) -> list[str]:
        line = [(at, driver_id) for driver_id, (zone, at) in self.places.items() if zone == zone_id]
        return [driver_id for _, driver_id in sorted(line)[:limit]]

    async def purge(self, before: float) -> int:
        gone = [driver_id for driver_id in self.places if self._seen_at[driver_id] < before]
        for driver_id in gone:
            del self.places[driver_id]
        return len(gone)
