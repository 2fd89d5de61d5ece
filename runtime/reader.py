"""Reading the outbox when many write to it: every waiting row goes to every feed once, in whatever order rows appear.

A number is given out when a row is inserted, and the row is seen when its transaction commits: where several write at
once, row 7 may appear after row 9. The reader remembers the holes: numbers below the highest it has met, but not met.
Each read looks for rows that fill them, in the same statement, so that both are of one moment. Rows of one key come in
order all the same: their writers lock the same row first, so that the later number is given out only after the earlier
row is there for everybody, and a read that has the later one has the earlier one too.

Most holes close within milliseconds. Some never do, for their transaction was rolled back: after `relay_late_s`, longer
than the database lets a transaction live, nobody looks for them any more. `sweep` finds what would be left even so.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from core.events import AnyEvent
from runtime.feed import Entry, Feed
from runtime.settings import RuntimeSettings
from runtime.sql import Database, outbox

_log = logging.getLogger("hexcab.outbox")
_decode = msgspec.json.Decoder(AnyEvent).decode
_WAITS = outbox.c.state == "waiting"


class Reader:
    """Brings waiting rows to the feeds that have room for them.

    `offered` is called with each row that was handed out, `broken` with the number of one that is no event of ours.
    """

    def __init__(
        self,
        database: Database,
        feeds: Sequence[Feed],
        settings: RuntimeSettings,
        offered: Callable[[Entry], None],
        broken: Callable[[int], None],
    ) -> None:
        self._database = database
        self._feeds = feeds
        self._settings = settings
        self._offered = offered
        self._broken = broken
        self._top = -1  # the highest number that was seen; nothing was read yet
        self._holes: dict[int, float] = {}  # numbers below it that were not, and when they were missed; oldest first
        self._swept = 0

    async def read(self) -> bool:
        """Offer the next rows to the feeds that have room; whether there may be more for them. Raises Unavailable."""
        if self._top < 0:
            await self._begin()
        ready = [feed for feed in self._feeds if feed.room > 0]
        most = min(self._settings.relay_batch, max((feed.room for feed in ready), default=0))
        parts = []
        if ready:
            after = _WAITS & (outbox.c.seq > min(feed.cursor for feed in ready))
            parts.append(_rows(after, sa.true()).order_by(outbox.c.seq).limit(most))
        if holes := self._looked_for():
            parts.append(_rows(_WAITS & outbox.c.seq.in_(holes), sa.false()))
        if not parts:
            return False  # the first feed that has room again says so
        async with self._database.reading() as connection:
            rows = (await connection.execute(_one_statement(parts))).all()
        in_order = {row.seq for row in rows if row.in_order}
        for seq, body in sorted({row.seq: row.body for row in rows}.items()):
            self._take(seq, body, ready if seq in in_order else ())
        return bool(ready) and len(in_order) == most and any(feed.room > 0 for feed in ready)

    async def sweep(self, known: Callable[[int], bool]) -> None:
        """Offer rows that wait although every feed is past them and nobody has them in hand.

        Such are rows that came very late, and those that an operator lets go again. `known` says of a number whether it
        was handed out and is not marked yet. Looks at `relay_batch` rows at most, and the next time at those after.
        Raises Unavailable.
        """
        low = min((feed.cursor for feed in self._feeds), default=0)
        past = _WAITS & (outbox.c.seq > self._swept) & (outbox.c.seq <= low)
        query = sa.select(outbox.c.seq, outbox.c.body).where(past).order_by(outbox.c.seq)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.limit(self._settings.relay_batch))).all()
        for seq, body in rows:
            if not known(seq):
                self._holes.setdefault(seq, 0.0)
                self._take(seq, body, ())
        self._swept = rows[-1].seq if len(rows) == self._settings.relay_batch else 0

    async def _begin(self) -> None:
        """See which of the newest numbers are missing: their transactions may be under way."""
        newest = sa.select(outbox.c.seq).order_by(outbox.c.seq.desc()).limit(self._settings.relay_holes)
        async with self._database.reading() as connection:
            known = set((await connection.execute(newest)).scalars())
        self._top = max(known, default=0)
        lowest = max(1, self._top - self._settings.relay_holes)  # what was cleaned away looks missing too
        self._miss([seq for seq in range(lowest, self._top) if seq not in known])

    def _take(self, seq: int, body: str, ready: Sequence[Feed]) -> None:
        """A row that was read: for feeds that it is next for, and, where it fills a hole, for those that passed it."""
        late = [feed for feed in self._feeds if feed.cursor >= seq] if seq in self._holes else []
        next_ = [feed for feed in ready if feed.cursor < seq and feed.room > 0]
        if not (late or next_):
            return
        try:
            entry = Entry(seq, _decode(body))
        except msgspec.MsgspecError:
            _log.exception("a row of the outbox is no event of ours", extra={"seq": seq})
            entry = None
        self._seen(seq)
        for feed in next_:
            feed.reach(seq)
        if entry is None:
            self._broken(seq)
            return
        for feed in (*late, *next_):
            feed.offer(entry)
        self._offered(entry)

    def _seen(self, seq: int) -> None:
        self._holes.pop(seq, None)
        if seq > self._top:
            self._miss(range(self._top + 1, seq))
            self._top = seq

    def _miss(self, numbers: Sequence[int]) -> None:
        now = asyncio.get_running_loop().time()
        for seq in numbers[-self._settings.relay_holes :]:
            self._holes[seq] = now
        for seq in list(itertools.islice(self._holes, max(0, len(self._holes) - self._settings.relay_holes))):
            del self._holes[seq]  # the oldest

    def _looked_for(self) -> list[int]:
        since = asyncio.get_running_loop().time() - self._settings.relay_late_s
        return [seq for seq, at in self._holes.items() if at > since]


def _rows(where: sa.ColumnElement[bool], in_order: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(outbox.c.seq, outbox.c.body, in_order.label("in_order")).where(where)


def _one_statement(parts: Sequence[sa.Select[Any]]) -> sa.Select[Any]:
    if len(parts) == 1:
        return parts[0]
    first, second = (sa.select(part.subquery()) for part in parts)
    return sa.select(sa.union_all(first, second).subquery())
