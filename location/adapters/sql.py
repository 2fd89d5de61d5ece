"""Places in airport queues, in SQL: they must outlive every process and every Redis, and change rarely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from core.errors import Conflict
from runtime.sql import Database, Transaction, among, metadata, unique

queue_places = sa.Table(
    "queue_places",
    metadata,
    sa.Column("driver_id", sa.String(64), primary_key=True),
    sa.Column("zone_id", sa.String(40), nullable=False),
    sa.Column("joined_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False, index=True),
    sa.Index(None, "zone_id", "joined_at"),
)


class SqlQueues:
    """The QueueStore port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def queues_of(self, driver_ids: Sequence[str]) -> Mapping[str, str]:
        asked = among(queue_places.c.driver_id, driver_ids, self._database.kind)
        async with self._database.reading() as connection:
            rows = await connection.execute(sa.select(queue_places.c.driver_id, queue_places.c.zone_id).where(asked))
            return {row.driver_id: row.zone_id for row in rows}

    async def move(self, joined: Mapping[str, tuple[str, float]], left: Sequence[str], now: float) -> None:
        async def work(tx: Transaction) -> None:
            if left:
                gone = among(queue_places.c.driver_id, left, self._database.kind)
                await tx.connection.execute(sa.delete(queue_places).where(gone))
            for driver_id, (zone_id, at) in sorted(joined.items()):
                await _put(tx, driver_id, {"zone_id": zone_id, "joined_at": at, "seen_at": now})

        try:
            await self._database.repeated(work)
        except Conflict:  # another host had the same driver at this moment: the later one is right
            await self._database.repeated(work)

    async def renew(self, driver_ids: Sequence[str], now: float) -> None:
        if driver_ids:
            held = among(queue_places.c.driver_id, sorted(driver_ids), self._database.kind)
            async with self._database.transaction() as tx:
                await tx.connection.execute(sa.update(queue_places).where(held).values(seen_at=now))

    async def first(self, zone_id: str, limit: int) -> list[str]:
        line = sa.select(queue_places.c.driver_id).where(queue_places.c.zone_id == zone_id)
        query = line.order_by(queue_places.c.joined_at, queue_places.c.driver_id).limit(limit)
        async with self._database.reading() as connection:
            return list((await connection.execute(query)).scalars().all())

    async def purge(self, before: float) -> int:
        async with self._database.transaction() as tx:
            gone = await tx.connection.execute(sa.delete(queue_places).where(queue_places.c.seen_at < before))
            return int(gone.rowcount)


async def _put(tx: Transaction, driver_id: str, values: dict[str, Any]) -> None:
    changed = await tx.connection.execute(
        sa.update(queue_places).where(queue_places.c.driver_id == driver_id).values(values)
    )
    if not changed.rowcount:
        with unique(queue_places, {"driver_id": Conflict("another host gave this driver a place")}):
            await tx.connection.execute(sa.insert(queue_places).values(driver_id=driver_id, **values))
