"""SupplyStore on Redis: a hash of rows per segment, and per-driver keys in shards; no scripts, no scans."""

from __future__ import annotations

import contextlib
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import redis.asyncio
from redis.exceptions import RedisError

from core.errors import Unavailable
from location import keys
from location.model import ROW, SupplyChange, SupplyRows

_PACK = struct.Struct("<ddffddB15s").pack
assert struct.calcsize("<ddffddB15s") == ROW.itemsize

_EXPIRE_AT_ONCE = 1_000  # per shard and call


class RedisSupply:
    """Rows are written where the driver is now, then removed where they were, so one is seen twice rather than not.

    The driver-to-segment hash is written only when the segment changes; it finds the rows of drivers that another
    process, or an earlier life of this one, has placed.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client: Any = client  # its stubs mix the types of the sync and async clients
        self._doubtful: dict[str, set[int]] = {}  # segments that a failed pipeline may have left a row in

    async def apply(self, changes: Sequence[SupplyChange]) -> None:
        """Write what changed. After Unavailable any part of it may be written; telling it again mends that."""
        try:
            with _failures():
                await self._write(changes, await self._whereabouts_of([c for c in changes if not c.previous]))
        except BaseException:
            for change in changes:
                self._doubtful.setdefault(change.driver_id, set()).update({change.segment, change.previous} - {0})
            raise
        if self._doubtful:
            for change in changes:
                self._doubtful.pop(change.driver_id, None)

    async def in_segments(self, segments: Sequence[int]) -> SupplyRows:
        """The drivers of these segments. Raises Unavailable."""
        wanted = list(dict.fromkeys(segments))
        pipe = self._client.pipeline(transaction=False)
        for segment in wanted:
            pipe.hgetall(keys.rows(segment))
        with _failures():
            answers: list[dict[bytes, bytes]] = await pipe.execute() if wanted else []
        ids: list[str] = []
        where: list[int] = []
        blobs: list[bytes] = []
        for segment, members in zip(wanted, answers, strict=True):
            ids.extend(driver_id.decode() for driver_id in members)
            where.extend([segment] * len(members))
            blobs.extend(members.values())
        return SupplyRows.of(ids, where, np.frombuffer(b"".join(blobs), dtype=ROW))

    async def count(self, segments: Sequence[int]) -> list[int]:
        """The number of drivers of each segment. Raises Unavailable."""
        pipe = self._client.pipeline(transaction=False)
        for segment in segments:
            pipe.hlen(keys.rows(segment))
        with _failures():
            return [int(number) for number in await pipe.execute()] if segments else []

    async def occupied(self) -> list[int]:
        """The segments in which drivers stand. Raises Unavailable."""
        pipe = self._client.pipeline(transaction=False)
        for shard in range(keys.SHARDS):
            pipe.hvals(keys.whereabouts(shard))
        with _failures():
            found: list[list[bytes]] = await pipe.execute()
        return [int(segment, 16) for segment in {segment for each in found for segment in each}]

    async def of_driver(self, driver_id: str) -> SupplyRows:
        """The driver's row, or none. Raises Unavailable."""
        with _failures():
            segment = await self._client.hget(keys.whereabouts(keys.shard(driver_id)), driver_id)
            row = None if segment is None else await self._client.hget(keys.rows(int(segment, 16)), driver_id)
        if row is None:
            return SupplyRows.of([], [], np.zeros(0, dtype=ROW))
        return SupplyRows.of([driver_id], [int(segment, 16)], np.frombuffer(row, dtype=ROW))

    async def expire(self, before: float) -> list[str]:
        """Take out drivers last seen before this time, at most a thousand per shard. Raises Unavailable."""
        pipe = self._client.pipeline(transaction=False)
        for shard in range(keys.SHARDS):
            pipe.zrange(keys.seen(shard), "-inf", f"({before!r}", byscore=True, offset=0, num=_EXPIRE_AT_ONCE)
        with _failures():
            found: list[list[bytes]] = await pipe.execute()
            gone = [driver_id.decode() for members in found for driver_id in members]
            if gone:
                changes = [SupplyChange(driver_id, 0, 0, None) for driver_id in gone]
                await self._write(changes, await self._whereabouts_of(changes))
        return gone

    async def _whereabouts_of(self, changes: Sequence[SupplyChange]) -> dict[str, int]:
        """Where the store has these drivers, whoever wrote that."""
        by_shard: dict[int, list[str]] = defaultdict(list)
        for change in changes:
            by_shard[keys.shard(change.driver_id)].append(change.driver_id)
        if not by_shard:
            return {}
        pipe = self._client.pipeline(transaction=False)
        for shard, ids in by_shard.items():
            pipe.hmget(keys.whereabouts(shard), ids)
        answers: list[list[bytes | None]] = await pipe.execute()
        return {
            driver_id: int(segment, 16)
            for ids, found in zip(by_shard.values(), answers, strict=True)
            for driver_id, segment in zip(ids, found, strict=True)
            if segment is not None
        }

    async def _write(self, changes: Sequence[SupplyChange], known: dict[str, int]) -> None:
        rows: dict[int, dict[str, bytes]] = defaultdict(dict)
        leaves: dict[int, list[str]] = defaultdict(list)
        seen: dict[int, dict[str, float]] = defaultdict(dict)
        places: dict[int, dict[str, str]] = defaultdict(dict)
        unseen: dict[int, list[str]] = defaultdict(list)
        for change in changes:
            driver_id, segment = change.driver_id, change.segment
            shard = keys.shard(driver_id)
            previous = change.previous or known.get(driver_id, 0)
            if change.row is not None:
                rows[segment][driver_id] = _PACK(*change.row)
                seen[shard][driver_id] = change.row.seen_at
                if segment != previous:
                    places[shard][driver_id] = f"{segment:x}"
            else:
                unseen[shard].append(driver_id)
            for left in {previous, *self._doubtful.get(driver_id, ())} - {0, segment}:
                leaves[left].append(driver_id)
        pipe = self._client.pipeline(transaction=False)
        for segment, mapping in rows.items():
            pipe.hset(keys.rows(segment), mapping=mapping)
        for segment, ids in leaves.items():
            pipe.hdel(keys.rows(segment), *ids)
        for shard, placed in places.items():
            pipe.hset(keys.whereabouts(shard), mapping=placed)
        for shard, times in seen.items():
            pipe.zadd(keys.seen(shard), times)
        for shard, ids in unseen.items():
            pipe.hdel(keys.whereabouts(shard), *ids)
            pipe.zrem(keys.seen(shard), *ids)
        await pipe.execute()


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable(f"the supply store did not answer: {error}", code="store_unavailable") from error
