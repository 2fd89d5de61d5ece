"""SupplyStore on Redis or a Redis Cluster, written by several hosts; no scans, and no script over more than one slot.

A driver's writers come with epochs, which grow from host to host. A shard knows the epoch and the segment of each of
its drivers; every change asks it first, so a host whose driver has gone on to another host writes nothing. Rows carry
the epoch too: what such a host still had under way cannot replace or remove a newer row, and what it leaves behind in
another segment it removes itself when it hears of its being superseded. Should it die before, the row is stale within
the freshness limit and is swept by the writes of others.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from location import keys
from location.adapters.supply_scripts import EXPIRE, PLACE, SUPERSEDED, WRITE
from location.model import ROW, SupplyChange, SupplyRows
from runtime.redis import Client, Run, Word

_PACK = struct.Struct("<dddffddB14sB").pack
_STORED = np.dtype([("epoch", "<f8"), *ROW.descr])
assert struct.calcsize("<dddffddB14sB") == _STORED.itemsize

_EXPIRE_AT_ONCE = 1_000  # per shard and call
_AT_ONCE = 1_000  # drivers in one script
_WHENEVER = 1e300  # later than any ping


@dataclass(slots=True)
class _Plan:
    """What is to be written, by segment."""

    puts: dict[int, list[Word]] = field(default_factory=lambda: defaultdict(list))
    removals: dict[int, list[Word]] = field(default_factory=lambda: defaultdict(list))


class RedisSupply:
    """Rows are written where the driver is now, then removed where they were, so one is seen twice rather than not."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._doubtful: dict[str, set[int]] = {}  # segments that a failed write may have left a row in

    async def apply(self, changes: Sequence[SupplyChange]) -> list[SupplyChange]:
        """Write what changed. After Unavailable any part of it may be written; telling it again mends that."""
        left = {change.driver_id: self._may_be_in(change) for change in changes}
        try:
            refused = await self._place(changes, left)
            plan = _plan(changes, left, {change.driver_id for change in refused})
            await self._write(plan)
        except BaseException:
            for change in changes:
                self._doubtful[change.driver_id] = left[change.driver_id] | ({change.segment} - {0})
            raise
        if self._doubtful:
            for change in changes:
                self._doubtful.pop(change.driver_id, None)
        return refused

    async def in_segments(self, segments: Sequence[int]) -> SupplyRows:
        """The drivers of these segments. Raises Unavailable."""
        wanted = list(dict.fromkeys(segments))
        answers: list[dict[bytes, bytes]] = await self._client.send([("HGETALL", keys.rows(each)) for each in wanted])
        ids: list[str] = []
        where: list[int] = []
        blobs: list[bytes] = []
        for segment, members in zip(wanted, answers, strict=True):
            ids.extend(driver_id.decode() for driver_id in members)
            where.extend([segment] * len(members))
            blobs.extend(members.values())
        return SupplyRows.of(ids, where, np.frombuffer(b"".join(blobs), dtype=_STORED))

    async def count(self, segments: Sequence[int]) -> list[int]:
        """The number of drivers of each segment. Raises Unavailable."""
        return [int(number) for number in await self._client.send([("HLEN", keys.rows(each)) for each in segments])]

    async def occupied(self) -> list[int]:
        """The segments in which drivers stand. Raises Unavailable."""
        shards: list[list[bytes]] = await self._client.send(
            [("HVALS", keys.whereabouts(shard)) for shard in range(keys.SHARDS)]
        )
        found = {segment for each in shards for held in each if (segment := held.partition(b":")[2])}
        return [int(segment, 16) for segment in found]

    async def of_drivers(self, driver_ids: Sequence[str]) -> SupplyRows:
        """The drivers' rows, in two round trips. Raises Unavailable."""
        wanted = list(dict.fromkeys(driver_ids))
        held: list[bytes | None] = await self._client.send(
            [("HGET", keys.whereabouts(keys.shard(each)), each) for each in wanted]
        )
        places = [(each, where.partition(b":")[2]) for each, where in zip(wanted, held, strict=True) if where]
        standing = [(driver_id, int(segment, 16)) for driver_id, segment in places if segment]
        rows: list[bytes | None] = await self._client.send(
            [("HGET", keys.rows(segment), driver_id) for driver_id, segment in standing]
        )
        found = [(*where, row) for where, row in zip(standing, rows, strict=True) if row is not None]
        return SupplyRows.of(
            [driver_id for driver_id, _, _ in found],
            [segment for _, segment, _ in found],
            np.frombuffer(b"".join(row for _, _, row in found), dtype=_STORED),
        )

    async def expire(self, before: float) -> list[str]:
        """Take out drivers last seen before this time, at most a thousand per shard. Raises Unavailable."""
        args = (repr(before), _EXPIRE_AT_ONCE)
        found: list[list[list[bytes]]] = await self._client.send(
            [Run(EXPIRE, [keys.whereabouts(shard), keys.seen(shard)], args) for shard in range(keys.SHARDS)]
        )
        plan = _Plan()
        gone = []
        for driver_id, epoch, segment in (driver for drivers in found for driver in drivers):
            gone.append(driver_id.decode())
            plan.removals[int(segment, 16)] += [driver_id, epoch, repr(before)]
        await self._write(plan)
        return gone

    def _may_be_in(self, change: SupplyChange) -> set[int]:
        return self._doubtful.get(change.driver_id, set()) | ({change.previous} - {0})

    async def _place(self, changes: Sequence[SupplyChange], left: dict[str, set[int]]) -> list[SupplyChange]:
        """Ask the shards who may be written, and note which segments were left; returns the superseded changes."""
        by_shard: dict[int, list[SupplyChange]] = defaultdict(list)
        for change in changes:
            by_shard[keys.shard(change.driver_id)].append(change)
        parts = [
            (shard, of_shard[start : start + _AT_ONCE])
            for shard, of_shard in by_shard.items()
            for start in range(0, len(of_shard), _AT_ONCE)
        ]
        runs = [Run(PLACE, [keys.whereabouts(shard), keys.seen(shard)], _places(part)) for shard, part in parts]
        refused = []
        for (_, part), answers in zip(parts, await self._client.send(runs), strict=True):
            for change, answer in zip(part, answers, strict=True):
                if answer == SUPERSEDED:
                    refused.append(change)
                elif answer:
                    left[change.driver_id].add(int(answer, 16))
        return refused

    async def _write(self, plan: _Plan) -> None:
        """Rows, then removals: on several servers nothing else keeps the order."""
        size = 2 * _AT_ONCE
        puts = [
            Run(WRITE, [keys.rows(segment)], [len(words[start : start + size]) // 2, *words[start : start + size]])
            for segment, words in plan.puts.items()
            for start in range(0, len(words), size)
        ]
        size = 3 * _AT_ONCE
        removals = [
            Run(WRITE, [keys.rows(segment)], [0, *words[start : start + size]])
            for segment, words in plan.removals.items()
            for start in range(0, len(words), size)
        ]
        await self._client.send(puts)
        await self._client.send(removals)


def _places(changes: Sequence[SupplyChange]) -> list[Word]:
    words: list[Word] = []
    for driver_id, segment, _, row, epoch in changes:
        words += [driver_id, epoch, f"{segment:x}" if segment else "", 0 if row is None else repr(row.seen_at)]
    return words


def _plan(changes: Sequence[SupplyChange], left: dict[str, set[int]], refused: set[str]) -> _Plan:
    """A superseded writer takes back what it may have left; the others write, and clear the segments left."""
    plan = _Plan()
    for driver_id, segment, _, row, epoch in changes:
        keep = 0
        if driver_id not in refused and row is not None:
            plan.puts[segment] += [driver_id, _PACK(epoch, *row)]
            keep = segment
        for old in (left[driver_id] | ({segment} - {0})) - {keep}:
            plan.removals[old] += [driver_id, epoch, _WHENEVER]
    return plan
