"""What looks saw, in SQL: a row each, its body as JSON."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.ext.asyncio import AsyncConnection

from dispatch.explain import Look
from runtime.sql import Database, metadata

looks = sa.Table(
    "looks",
    metadata,
    sa.Column("look_id", sa.String(40), primary_key=True),
    sa.Column("request_id", sa.String(40), nullable=False),
    sa.Column("looked_at", sa.Double, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("body", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
    sa.Index(None, "request_id", "looked_at"),
    sa.Index(None, "looked_at"),
)


class SqlLookBook:
    """The LookBook port, inside one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, look: Look) -> None:
        row = {
            "look_id": look.look_id,
            "request_id": look.request_id,
            "looked_at": look.at,
            "number": look.number,
            "body": msgspec.json.encode(look).decode(),
        }
        await self._connection.execute(sa.insert(looks), row)


async def looks_of(connection: AsyncConnection, request_id: str) -> list[Look]:
    """The looks of a request, oldest first."""
    mine = sa.select(looks.c.body).where(looks.c.request_id == request_id)
    query = mine.order_by(looks.c.looked_at, looks.c.number, looks.c.look_id)
    return [msgspec.json.decode(body, type=Look) for body in (await connection.execute(query)).scalars()]


async def forget_looks(database: Database, before: float, most: int) -> int:
    """Drop looks of before this time, at most so many; returns how many."""
    old = looks.c.looked_at < before
    async with database.reading() as connection:
        ids = (await connection.execute(sa.select(looks.c.look_id).where(old).limit(most))).scalars().all()
    if ids:
        async with database.transaction() as tx:
            await tx.connection.execute(sa.delete(looks).where(looks.c.look_id.in_(ids)))
    return len(ids)
