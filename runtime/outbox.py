"""The relay: what transactions left in the outbox goes to the outlets of the bus, in order per key, at least once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from core.bus import Bus
from core.clock import Clock
from core.errors import Unavailable
from core.events import AnyEvent
from runtime.feed import Entry, Feed
from runtime.settings import RuntimeSettings
from runtime.sql import Database, outbox

_log = logging.getLogger("hexcab.outbox")
_decode = msgspec.json.Decoder(AnyEvent).decode
_NOBODY = ""  # gave the row up: it is published
_READER = "relay"


class Relay:
    """Offers each waiting row to every group, and marks it once all of them are past it.

    Each group has a cursor of its own, and groups at the same place share a read: one that is stuck or slow stays
    behind with a bounded number of rows in hand, and the others go on. What a group has handled is remembered here
    alone, so after a crash groups may see an event again. The cursors ask that rows become visible in the order of
    `seq`, which SQLite's single writer gives.
    """

    def __init__(
        self, database: Database, bus: Bus, clock: Clock, settings: RuntimeSettings, rng: random.Random
    ) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._settings = settings
        self._rng = rng
        self._feeds: Sequence[Feed] = ()
        self._kick = asyncio.Event()
        self._marks: dict[int, str] = {}  # row: the groups that gave it up
        self._marks_wait = asyncio.Event()
        self._marked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._next_clean = 0.0
        self.published = 0
        self.dead = 0
        database.on_commit(self._kick.set)

    def start(self) -> None:
        """Begin relaying; rows left by an earlier run go first."""
        self._feeds = [Feed(outlet, self._settings, self._rng, self._ended) for outlet in self._bus.outlets()]
        self._kick.set()
        self._task = asyncio.create_task(self._run(), name="outbox-relay")

    async def wait(self) -> None:
        """Return when the relay was closed; raises what ended it otherwise."""
        assert self._task is not None
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def close(self) -> None:
        """Stop; what is unpublished stays in the outbox for the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, *(feed.close() for feed in self._feeds), return_exceptions=True)
        if self._marks:
            try:
                await self._mark()
            except Unavailable as error:
                _log.warning("the outbox cannot be marked, events will come again: %s", error.detail)

    async def waiting(self) -> tuple[int, float]:
        """How many rows wait, and the age of the oldest in seconds."""
        query = sa.select(sa.func.count(), sa.func.min(outbox.c.at)).where(outbox.c.state == "waiting")
        async with self._database.reading() as connection:
            count, oldest = (await connection.execute(query)).one()
        return int(count), max(0.0, self._clock.now() - oldest) if count else 0.0

    async def drained(self) -> None:
        """Return once nothing waits; for tests and for a clean stop."""
        while True:
            self._marked.clear()
            if not (await self.waiting())[0]:
                return
            await self._marked.wait()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_forever(), name="outbox-reader")
            tasks.create_task(self._mark_forever(), name="outbox-marker")

    async def _read_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.relay_look_s):
                    await self._kick.wait()
            self._kick.clear()
            try:
                while await self._read():
                    pass
                await self._clean()
            except Exception as error:
                self._kick.set()
                await self._pause("the outbox cannot be read, will try again: %s", error)

    async def _read(self) -> bool:
        """Offer the next rows to the groups that have room; whether there may be more for them."""
        ready = [feed for feed in self._feeds if feed.room > 0]
        if not ready:
            return False  # the first one that has room again kicks
        most = min(self._settings.relay_batch, max(feed.room for feed in ready))
        query = (
            sa.select(outbox.c.seq, outbox.c.body)
            .where(outbox.c.state == "waiting", outbox.c.seq > min(feed.cursor for feed in ready))
            .order_by(outbox.c.seq)
            .limit(most)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        for seq, body in rows:
            self._offer(seq, body, [feed for feed in ready if feed.cursor < seq and feed.room > 0])
        return len(rows) == most and any(feed.room > 0 for feed in ready)

    def _offer(self, seq: int, body: str, feeds: Sequence[Feed]) -> None:
        try:
            entry = Entry(seq, _decode(body))
        except msgspec.MsgspecError:
            _log.exception("a row of the outbox is no event of ours", extra={"seq": seq})
            for feed in feeds:
                feed.cursor = seq
            self._mark_later(seq, _READER)
            return
        for feed in feeds:
            feed.offer(entry)
        self._settle(entry)

    def _ended(self, feed: Feed, entry: Entry) -> None:
        if feed.room == 1:  # it had none, and may have been left behind
            self._kick.set()
        self._settle(entry)

    def _settle(self, entry: Entry) -> None:
        if all(feed.is_past(entry) for feed in self._feeds):
            gave_up = [feed for feed in self._feeds if entry.seq in feed.gave_up]
            self._mark_later(entry.seq, ",".join(feed.name for feed in gave_up))
            for feed in gave_up:
                feed.gave_up.remove(entry.seq)

    def _mark_later(self, seq: int, gave_up: str) -> None:
        self._marks.setdefault(seq, gave_up)  # a group that comes late to a row it does not want settles it again
        self._marks_wait.set()

    async def _mark_forever(self) -> None:
        while True:
            await self._marks_wait.wait()
            await asyncio.sleep(self._settings.relay_mark_s)  # each commit waits for the disk: one for many rows
            self._marks_wait.clear()
            try:
                await self._mark()
            except Exception as error:
                self._marks_wait.set()
                await self._pause("the outbox cannot be marked, will try again: %s", error)

    async def _mark(self) -> None:
        marks, published = dict(self._marks), 0
        waits = outbox.c.state == "waiting"
        async with self._database.transaction() as tx:
            for some in itertools.batched(
                (seq for seq, groups in marks.items() if groups == _NOBODY), self._settings.relay_batch
            ):
                handled = sa.update(outbox).where(waits, outbox.c.seq.in_(some)).values(state="published")
                published += (await tx.connection.execute(handled)).rowcount
            dead = {seq: groups for seq, groups in marks.items() if groups != _NOBODY}
            for seq, groups in dead.items():
                values = {"state": "dead", "gave_up": groups[:200]}
                await tx.connection.execute(sa.update(outbox).where(waits, outbox.c.seq == seq).values(**values))
        self.published += published
        self.dead += len(dead)
        for seq in marks:
            del self._marks[seq]
        self._marked.set()

    async def _clean(self) -> None:
        """Drop what was published long ago, at most once a minute of engine time."""
        now = self._clock.now()
        if now < self._next_clean:
            return
        self._next_clean = now + 60
        old = (outbox.c.state == "published") & (outbox.c.at < now - self._settings.outbox_keep_s)
        newest = sa.select(sa.func.max(outbox.c.seq)).scalar_subquery()  # SQLite numbers the next row after it
        async with self._database.transaction() as tx:
            await tx.connection.execute(sa.delete(outbox).where(old, outbox.c.seq < newest))

    async def _pause(self, message: str, error: Exception) -> None:
        if isinstance(error, Unavailable):
            _log.warning(message, error.detail)
        else:
            _log.error(message, error, exc_info=error)
        await asyncio.sleep(self._settings.relay_retry_s)
