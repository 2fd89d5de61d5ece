"""The relay: what transactions left in the outbox goes to the bus, in order per key, at least once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from core.bus import Bus
from core.clock import Clock
from core.errors import Unavailable
from core.events import AnyEvent
from runtime.settings import RuntimeSettings
from runtime.sql import Database, consumed, outbox

_log = logging.getLogger("hexcab.outbox")
_decode = msgspec.json.Decoder(AnyEvent).decode


class _Row(msgspec.Struct, frozen=True):
    seq: int
    key: str
    body: str
    attempts: int


class Relay:
    """Reads waiting rows, publishes each key's rows in order, keys side by side, and marks them.

    A row whose publishing fails is tried again after `relay_retry_s`, and holds back later rows of its key only. After
    `relay_max_attempts` it is set aside as dead, logged and counted: one bad handler must not stop a ride forever.
    """

    def __init__(self, database: Database, bus: Bus, clock: Clock, settings: RuntimeSettings) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._settings = settings
        self._kick = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(64)
        self._task: asyncio.Task[None] | None = None
        self._next_clean = 0.0
        self.published = 0
        self.dead = 0
        database.on_commit(self._kick.set)

    def start(self) -> None:
        """Begin relaying; rows left by an earlier run go first."""
        self._kick.set()
        self._task = asyncio.create_task(self._run(), name="outbox-relay")

    async def close(self) -> None:
        """Stop; what is unpublished stays in the outbox for the next start."""
        tasks = [*self._busy.values(), *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def waiting(self) -> tuple[int, float]:
        """How many rows wait, and the age of the oldest in seconds."""
        query = sa.select(sa.func.count(), sa.func.min(outbox.c.at)).where(outbox.c.state == "waiting")
        async with self._database.reading() as connection:
            count, oldest = (await connection.execute(query)).one()
        return int(count), max(0.0, self._clock.now() - oldest) if count else 0.0

    async def drained(self) -> None:
        """Return once nothing waits; for tests and for a clean stop."""
        while (await self.waiting())[0]:
            self._kick.set()
            await asyncio.sleep(0.01)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._kick.wait(), self._settings.relay_retry_s)
            self._kick.clear()
            try:
                await self._start_chains()
                await self._clean()
            except Unavailable as error:
                _log.warning("the outbox cannot be read, will try again: %s", error.detail)
                await asyncio.sleep(self._settings.relay_retry_s)

    async def _start_chains(self) -> None:
        by_key: dict[str, list[_Row]] = {}
        for row in await self._waiting_rows():
            if row.key not in self._busy:
                by_key.setdefault(row.key, []).append(row)
        for key, rows in by_key.items():
            self._busy[key] = asyncio.create_task(self._publish_chain(key, rows), name=f"outbox-{key}")

    async def _waiting_rows(self) -> Sequence[_Row]:
        query = (
            sa.select(outbox.c.seq, outbox.c.key, outbox.c.body, outbox.c.attempts)
            .where(outbox.c.state == "waiting")
            .order_by(outbox.c.seq)
            .limit(self._settings.relay_batch)
        )
        if self._busy:
            query = query.where(outbox.c.key.not_in(list(self._busy)))
        async with self._database.reading() as connection:
            return [_Row(*row) for row in await connection.execute(query)]

    async def _publish_chain(self, key: str, rows: Sequence[_Row]) -> None:
        done: list[int] = []
        failed: _Row | None = None
        async with self._places:
            for row in rows:
                try:
                    await self._bus.publish([_decode(row.body)])
                except Exception:
                    _log.exception("publishing an event failed", extra={"event_key": key, "attempt": row.attempts + 1})
                    failed = row
                    break
                done.append(row.seq)
        try:
            await self._mark(done, failed)
        except Unavailable as error:
            _log.warning("the outbox cannot be marked, events will come again: %s", error.detail)
            failed = failed or rows[0]
        if failed is not None:
            await asyncio.sleep(self._settings.relay_retry_s)
        del self._busy[key]
        self._kick.set()

    async def _mark(self, done: list[int], failed: _Row | None) -> None:
        async with self._database.transaction() as tx:
            if done:
                await tx.connection.execute(sa.update(outbox).where(outbox.c.seq.in_(done)).values(state="published"))
            if failed is not None:
                attempts = failed.attempts + 1
                is_dead = attempts >= self._settings.relay_max_attempts
                values = {"attempts": attempts, "state": "dead" if is_dead else "waiting"}
                await tx.connection.execute(sa.update(outbox).where(outbox.c.seq == failed.seq).values(**values))
                self.dead += is_dead
        self.published += len(done)

    async def _clean(self) -> None:
        """Drop what was published long ago, at most once a minute of engine time."""
        now = self._clock.now()
        if now < self._next_clean:
            return
        self._next_clean = now + 60
        before = now - self._settings.outbox_keep_s
        async with self._database.transaction() as tx:
            old = (outbox.c.state == "published") & (outbox.c.at < before)
            await tx.connection.execute(sa.delete(outbox).where(old))
            await tx.connection.execute(sa.delete(consumed).where(consumed.c.at < before))
