"""Answers kept by Idempotency-Key, so that a client may safely ask again."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from core.clock import Clock
from core.errors import Conflict
from runtime.settings import RuntimeSettings
from runtime.sql import Database, metadata

answers = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("scope_key", sa.String(200), primary_key=True),  # caller, operation and the client's key
    sa.Column("body_hash", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False, index=True),
)


class StoredAnswer(msgspec.Struct, frozen=True):
    """What was answered the first time."""

    status: int
    body: str


class IdempotencyStore:
    """First answers by key, kept for `idempotency_keep_s`."""

    def __init__(self, database: Database, clock: Clock, settings: RuntimeSettings) -> None:
        self._database = database
        self._clock = clock
        self._keep_s = settings.idempotency_keep_s

    async def find(self, scope_key: str, body_hash: str) -> StoredAnswer | None:
        """The first answer to this key, or None. Raises Conflict when the key came with another body."""
        query = sa.select(answers.c.body_hash, answers.c.status, answers.c.body).where(
            answers.c.scope_key == scope_key, answers.c.at >= self._clock.now() - self._keep_s
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        if row.body_hash != body_hash:
            raise Conflict("this Idempotency-Key was used with another body", code="idempotency_conflict")
        return StoredAnswer(row.status, row.body)

    async def keep(self, scope_key: str, body_hash: str, answer: StoredAnswer) -> None:
        """Remember the first answer; a key that is kept already stays as it is, and old keys go."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await tx.connection.execute(sa.delete(answers).where(answers.c.at < now - self._keep_s))
            known = sa.select(answers.c.at).where(answers.c.scope_key == scope_key)
            if (await tx.connection.execute(known)).first() is None:
                row = {"scope_key": scope_key, "body_hash": body_hash, "at": now}
                await tx.connection.execute(sa.insert(answers).values(status=answer.status, body=answer.body, **row))
