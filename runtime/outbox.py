"""The relay: what transactions left in the outbox goes to the outlets of the bus, in order per key, at least once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import sqlalchemy as sa

from core.bus import Bus
from core.clock import Clock
from core.errors import Unavailable
from runtime.feed import Entry, Feed
from runtime.lease import Lease
from runtime.marks import Marks
from runtime.reader import Reader
from runtime.settings import RuntimeSettings
from runtime.sql import outbox

_log = logging.getLogger("hexcab.outbox")
_READER = "relay"  # gives up a row that is no event of ours
_CLEAN_EVERY_S = 60.0  # engine time


class Backlog(NamedTuple):
    """How many rows wait (`relay_count_max` where there are more), the age of the oldest in seconds, the dead ones."""

    waiting: int
    age_s: float
    dead: int


class _LeaseLostError(Exception):
    """Another relay has taken over, or may have."""


class Relay:
    """Offers each waiting row to every group, and marks it once all of them are past it.

    Each group has a cursor of its own, and groups at the same place share a read: one that is stuck or slow stays
    behind with a bounded number of rows in hand, and the others go on. What a group has handled is remembered here
    alone, so after a crash groups may see an event again. Several processes may run a relay on one database: the one
    that holds the lease works, the others wait for it.
    """

    def __init__(self, lease: Lease, bus: Bus, clock: Clock, settings: RuntimeSettings, rng: random.Random) -> None:
        self._lease = lease
        self._database = lease.database
        self._bus = bus
        self._clock = clock
        self._settings = settings
        self._rng = rng
        self._marks = Marks(lease, clock, settings)
        self._feeds: Sequence[Feed] = ()
        self._kick = asyncio.Event()
        self._sweep_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._database.on_commit(self._kick.set)

    @property
    def published(self) -> int:
        """How many rows this relay has marked."""
        return self._marks.published

    def start(self) -> None:
        """Begin relaying once the lease is ours; rows left by an earlier run go first."""
        self._task = asyncio.create_task(self._run(), name="outbox-relay")

    async def wait(self) -> None:
        """Return when the relay was closed; raises what ended it otherwise."""
        assert self._task is not None
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def close(self) -> None:
        """Stop, and let another relay lead; what is unpublished stays in the outbox for it or for the next start."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._marks.write()
            await self._lease.release()
        except Unavailable as error:
            _log.warning("the outbox cannot be marked, events will come again: %s", error.detail)

    async def backlog(self) -> Backlog:
        """What stands in the outbox. Raises Unavailable."""
        waits, most = outbox.c.state == "waiting", self._settings.relay_count_max
        some = sa.select(outbox.c.seq).where(waits).limit(most).subquery()
        counted = sa.select(sa.func.count()).select_from(some).scalar_subquery()
        oldest = sa.select(outbox.c.at).where(waits).order_by(outbox.c.seq).limit(1).scalar_subquery()
        dead = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.state == "dead").scalar_subquery()
        async with self._database.reading() as connection:
            waiting, at, gave_up = (await connection.execute(sa.select(counted, oldest, dead))).one()
        return Backlog(waiting, 0.0 if at is None else max(0.0, self._clock.now() - at), gave_up)

    async def drained(self) -> None:
        """Return once nothing waits; for tests and for a clean stop."""
        while True:
            self._marks.written.clear()
            if not (await self.backlog()).waiting:
                return
            await self._marks.written.wait()

    async def _run(self) -> None:
        while True:
            await self._take_lease()
            self._feeds = [Feed(outlet, self._settings, self._rng, self._ended) for outlet in self._bus.outlets()]
            reader = Reader(self._database, self._feeds, self._settings, self._settle, self._spoilt)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._forever("the lease cannot be renewed", self._hold))
                    tasks.create_task(self._forever("the outbox cannot be read", partial(self._read, reader)))
                    tasks.create_task(self._forever("the outbox cannot be marked", self._marks.write_some))
                    tasks.create_task(self._forever("the outbox cannot be cleaned", self._clean))
            except* _LeaseLostError:
                _log.warning("another process relays the outbox from here on, or nobody could be asked in time")
                self._marks.forget()  # whoever leads hands these out again
            finally:
                await asyncio.gather(*(feed.close() for feed in self._feeds))

    async def _take_lease(self) -> None:
        """Return once the lease is ours."""
        while True:
            try:
                if await self._lease.take():
                    return
            except Unavailable as error:
                _log.warning("the relay's lease cannot be taken: %s", error.detail)
            await asyncio.sleep(self._lease.lease_s / 3 * self._rng.uniform(0.5, 1.0))

    async def _forever(self, failed: str, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat some work; what fails is tried again after a pause."""
        while True:
            try:
                await work()
            except _LeaseLostError:
                raise
            except Unavailable as error:
                _log.warning("%s, will try again: %s", failed, error.detail)
                await asyncio.sleep(self._settings.relay_retry_s)
            except Exception:
                _log.exception("%s, will try again", failed)
                await asyncio.sleep(self._settings.relay_retry_s)

    async def _hold(self) -> None:
        await asyncio.sleep(self._lease.lease_s / 3)
        try:
            await self._lease.renew()
        except Unavailable:
            if self._lease.held:
                raise
        if not self._lease.held:
            raise _LeaseLostError

    async def _read(self, reader: Reader) -> None:
        """Hand out all that waits, then wait for a commit of this process or for the time to look for others'."""
        self._kick.clear()
        while await reader.read():
            pass
        now = asyncio.get_running_loop().time()
        if now >= self._sweep_at:
            async with self._marks.writing:  # what is marked in between would look as if nobody had it
                await reader.sweep(self._is_in_hand)
            self._sweep_at = now + self._settings.relay_sweep_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.relay_look_s):
                await self._kick.wait()

    async def _clean(self) -> None:
        await self._marks.clean()
        await self._clock.sleep(_CLEAN_EVERY_S)

    def _is_in_hand(self, seq: int) -> bool:
        return seq in self._marks or any(feed.has_in_hand(seq) for feed in self._feeds)

    def _ended(self, feed: Feed, entry: Entry) -> None:
        if feed.room == 1:  # it had none, and may have been left behind
            self._kick.set()
        self._settle(entry)

    def _settle(self, entry: Entry) -> None:
        if all(feed.is_past(entry) for feed in self._feeds):
            gave_up = [feed for feed in self._feeds if entry.seq in feed.gave_up]
            self._marks.note(entry.seq, ",".join(feed.name for feed in gave_up))
            for feed in gave_up:
                feed.gave_up.remove(entry.seq)

    def _spoilt(self, seq: int) -> None:
        self._marks.note(seq, _READER)
