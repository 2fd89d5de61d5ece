"""Closures and learned travel times in SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.mysql import LONGBLOB, MEDIUMTEXT

from core.errors import Conflict
from core.events import ClosuresChanged
from maps.adapters.versions import next_version, version_of
from maps.ports import StoredClosures
from runtime.sql import Database, Transaction, metadata

closures = sa.Table(
    "closures",
    metadata,
    sa.Column("closure_id", sa.String(40), primary_key=True),
    sa.Column("feature", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
    sa.Column("changed_at", sa.Double, nullable=False),
)
learned = sa.Table(
    "learned",
    metadata,
    sa.Column("city", sa.String(40), primary_key=True),
    sa.Column("part", sa.String(40), primary_key=True),
    sa.Column("body", sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb"), nullable=False),
    sa.Column("changed_at", sa.Double, nullable=False),
)

_CLOSURES = "closures"
_PUBLISHED = "published"  # the part that every process reads


class SqlClosures:
    """The ClosureStore port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self) -> int:
        return await version_of(self._database, _CLOSURES)

    async def load(self) -> StoredClosures:
        version = await self.version()  # first: what is committed meanwhile is then found by the next look
        async with self._database.reading() as connection:
            rows = (await connection.execute(sa.select(closures.c.closure_id, closures.c.feature))).all()
        return StoredClosures(version, {row.closure_id: msgspec.json.decode(row.feature) for row in rows})

    async def change(self, changes: Mapping[str, dict[str, Any] | None], at: float) -> int:
        async def work(tx: Transaction) -> int:
            version = await next_version(tx, _CLOSURES)
            await tx.connection.execute(sa.delete(closures).where(closures.c.closure_id.in_(list(changes))))
            rows = [
                {"closure_id": name, "feature": msgspec.json.encode(feature).decode(), "changed_at": at}
                for name, feature in changes.items()
                if feature is not None
            ]
            if rows:
                await tx.connection.execute(sa.insert(closures), rows)
            tx.publish(ClosuresChanged(id=f"closures:{version}", at=at, version=version))
            return version

        return await _twice(self._database, work)


class SqlTraffic:
    """The TrafficStore port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self, city: str) -> int:
        return await version_of(self._database, _name(city))

    async def published(self, city: str) -> bytes | None:
        query = sa.select(learned.c.body).where(learned.c.city == city, learned.c.part == _PUBLISHED)
        async with self._database.reading() as connection:
            body = (await connection.execute(query)).scalar()
        return None if body is None else bytes(body)

    async def publish(self, city: str, body: bytes, at: float) -> int:
        async def work(tx: Transaction) -> int:
            version = await next_version(tx, _name(city))
            await _keep(tx, city, {_PUBLISHED: body}, at)
            return version

        return await _twice(self._database, work)

    async def learned(self, city: str) -> Mapping[str, bytes]:
        query = sa.select(learned.c.part, learned.c.body).where(learned.c.city == city, learned.c.part != _PUBLISHED)
        async with self._database.reading() as connection:
            return {row.part: bytes(row.body) for row in (await connection.execute(query)).all()}

    async def keep(self, city: str, parts: Mapping[str, bytes], at: float) -> None:
        async def work(tx: Transaction) -> None:
            await _keep(tx, city, parts, at)

        await self._database.repeated(work)


def _name(city: str) -> str:
    return f"traffic.{city}"[:40]


async def _keep(tx: Transaction, city: str, parts: Mapping[str, bytes], at: float) -> None:
    of_city = learned.c.city == city
    for part, body in parts.items():
        await tx.connection.execute(sa.delete(learned).where(of_city, learned.c.part == part))
        await tx.connection.execute(sa.insert(learned).values(city=city, part=part, body=body, changed_at=at))


async def _twice(database: Database, work: Callable[[Transaction], Awaitable[int]]) -> int:
    try:
        return await database.repeated(work)
    except Conflict:  # two wanted to be the first ever
        return await database.repeated(work)
