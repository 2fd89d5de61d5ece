"""Answers kept by Idempotency-Key, so that a client may safely ask again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import sqlalchemy as sa

from core.clock import Clock
from core.errors import Conflict
from runtime.answers import KEY_KEPT, FirstAnswer, StoredAnswer
from runtime.gather import Gather
from runtime.settings import RuntimeSettings
from runtime.sql import Database, among, metadata, unique

answers = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("scope_key", sa.String(200), primary_key=True),  # caller, operation and the client's key
    sa.Column("body_hash", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False, index=True),
)


class IdempotencyStore:
    """First answers by key, kept for at least `idempotency_keep_s`."""

    def __init__(self, database: Database, clock: Clock, settings: RuntimeSettings) -> None:
        self._database = database
        self._clock = clock
        self._keep_s = settings.idempotency_keep_s
        self._batch = settings.purge_batch
        self._find = Gather(self._find_all, database.settings.booking_batch, database.settings.waiting)

    async def find(self, scope_key: str, body_hash: str) -> StoredAnswer | None:
        """The first answer to this key, or None. Raises Conflict when the key came with another body; Unavailable."""
        row = await self._find(scope_key)
        if row is None:
            return None
        if row.body_hash != body_hash:
            raise Conflict("this Idempotency-Key was used with another body", code="idempotency_conflict")
        return row.answer

    async def keep(self, first: FirstAnswer) -> None:
        """Remember the first answer; a key that is kept already stays as it is. Raises Unavailable."""
        row = answer_row(first, self._clock.now())
        try:
            async with self._database.transaction() as tx:
                with unique_answer():
                    await tx.connection.execute(sa.insert(answers).values(row))
        except Conflict:
            return

    async def purge(self) -> int:
        """Forget answers that were given `idempotency_keep_s` ago, in small transactions; how many."""
        old = answers.c.at < self._clock.now() - self._keep_s
        asked = sa.select(answers.c.scope_key).where(old).limit(self._batch)
        gone = 0
        while True:
            async with self._database.reading() as connection:
                keys = (await connection.execute(asked)).scalars().all()
            async with self._database.transaction() as tx:
                await tx.connection.execute(sa.delete(answers).where(answers.c.scope_key.in_(keys), old))
            gone += len(keys)
            if len(keys) < self._batch:
                return gone

    async def _find_all(self, keys: Sequence[str]) -> Sequence[FirstAnswer | None]:
        asked = among(answers.c.scope_key, keys, self._database.kind)
        async with self._database.reading() as connection:
            rows = await connection.execute(sa.select(answers).where(asked))
            found = {row.scope_key: FirstAnswer(row.scope_key, row.body_hash).say(row.status, row.body) for row in rows}
        return [found.get(key) for key in keys]


def answer_row(first: FirstAnswer, at: float) -> dict[str, object]:
    """A first answer as a row of `answers`."""
    status, body = first.answer.status, first.answer.body
    return {"scope_key": first.scope_key, "body_hash": first.body_hash, "status": status, "body": body, "at": at}


def unique_answer() -> AbstractContextManager[None]:
    """Turn the violation of an insert of answers into Conflict key_kept."""
    return unique(answers, {"scope_key": Conflict("this Idempotency-Key was answered before", code=KEY_KEPT)})
