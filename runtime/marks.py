"""Marking what was handed out: published, or dead where a group gave it up; and forgetting it after a while."""

from __future__ import annotations

import asyncio
import itertools

import sqlalchemy as sa

from core.clock import Clock
from runtime.lease import Lease
from runtime.settings import RuntimeSettings
from runtime.sql import outbox

_NOBODY = ""  # gave the row up: it is published


class Marks:
    """Rows that every group is past, gathered for `relay_mark_s`: each commit waits for the disk.

    Nothing is written for a relay whose lease another has taken: those rows are the other's to hand out and to mark.
    """

    def __init__(self, lease: Lease, clock: Clock, settings: RuntimeSettings) -> None:
        self._database = lease.database
        self._lease = lease
        self._clock = clock
        self._settings = settings
        self._gave_up: dict[int, str] = {}  # row: the groups that gave it up
        self._some = asyncio.Event()
        self.writing = asyncio.Lock()  # held while rows are marked
        self.written = asyncio.Event()
        self.published = 0

    def __contains__(self, seq: object) -> bool:
        return seq in self._gave_up

    def note(self, seq: int, gave_up: str = _NOBODY) -> None:
        """Mark a row soon; what was noted first holds."""
        self._gave_up.setdefault(seq, gave_up)
        self._some.set()

    def forget(self) -> None:
        """Mark nothing of what was noted."""
        self._gave_up.clear()

    async def write_some(self) -> None:
        """Wait for rows, gather more, and mark them. Raises Unavailable; nothing is forgotten then."""
        await self._some.wait()
        await asyncio.sleep(self._settings.relay_mark_s)
        self._some.clear()
        try:
            await self.write()
        except BaseException:
            self._some.set()
            raise

    async def write(self) -> None:
        """Mark what was noted so far. Raises Unavailable."""
        if not self._gave_up:
            return
        marks, published = dict(self._gave_up), 0
        waits = (outbox.c.state == "waiting") & self._lease.stands()
        async with self.writing:
            async with self._database.transaction() as tx:
                for some in itertools.batched(
                    (seq for seq, groups in marks.items() if groups == _NOBODY), self._settings.relay_batch
                ):
                    handled = sa.update(outbox).where(outbox.c.seq.in_(some), waits).values(state="published")
                    published += (await tx.connection.execute(handled)).rowcount
                for seq, groups in marks.items():
                    if groups != _NOBODY:
                        values = {"state": "dead", "gave_up": groups[:200]}
                        await tx.connection.execute(sa.update(outbox).where(outbox.c.seq == seq, waits).values(values))
            self.published += published
            for seq in marks:
                self._gave_up.pop(seq, None)
        self.written.set()

    async def clean(self) -> None:
        """Drop what was published `outbox_keep_s` ago, in small transactions. Raises Unavailable."""
        batch = self._settings.relay_batch
        newest = sa.select(sa.func.max(outbox.c.seq)).scalar_subquery()  # SQLite numbers the next row after it
        published = (outbox.c.state == "published") & (outbox.c.seq < newest)
        query = sa.select(outbox.c.seq, outbox.c.at).where(published).order_by(outbox.c.seq).limit(batch)
        while True:
            async with self._database.reading() as connection:
                rows = (await connection.execute(query)).all()
            old = [row.seq for row in rows if row.at < self._clock.now() - self._settings.outbox_keep_s]
            if old:
                async with self._database.transaction() as tx:
                    await tx.connection.execute(sa.delete(outbox).where(outbox.c.seq.in_(old)))
            if len(old) < batch:
                return
