"""A feed: one outlet's way through the outbox, at its own pace and with its own retries."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from core.bus import Outlet
from core.errors import Unavailable
from core.events import AnyEvent
from runtime.settings import RuntimeSettings

_log = logging.getLogger("hexcab.outbox")


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the outbox."""

    seq: int
    event: AnyEvent


def pause_s(tries: int, settings: RuntimeSettings, rng: random.Random) -> float:
    """How long to wait after so many tries: doubling up to a most, and spread so that keys do not come back at once."""
    doubled_s = settings.relay_retry_s * 2.0 ** min(tries - 1, 32)
    return min(settings.relay_max_retry_s, doubled_s) * rng.uniform(0.5, 1.0)


class Feed:
    """Brings entries to one outlet: in order per key, keys side by side.

    At most `relay_window` entries are in hand and at most `relay_lanes` of them with the outlet; an entry that waits
    for its next try takes no lane. An outlet that is Unavailable is asked until it answers. After `relay_max_attempts`
    other errors an entry is given up: one bad handler must not stop the rest of a ride forever.
    """

    def __init__(
        self,
        outlet: Outlet,
        settings: RuntimeSettings,
        rng: random.Random,
        ended: Callable[[Feed, Entry], None],
    ) -> None:
        self.name = outlet.name
        self.cursor = 0  # the highest row that was offered
        self.gave_up: set[int] = set()  # rows, until the relay has noted it
        self._outlet = outlet
        self._settings = settings
        self._rng = rng
        self._ended = ended
        self._in_hand: set[int] = set()
        self._lanes = asyncio.Semaphore(settings.relay_lanes)
        self._queues: dict[str, deque[Entry]] = {}  # by key
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def room(self) -> int:
        """How many more entries it may have in hand."""
        return self._settings.relay_window - len(self._in_hand)

    def reach(self, seq: int) -> None:
        """Come to the next row. Rows come in order, save those that come late."""
        assert seq > self.cursor
        self.cursor = seq

    def has_in_hand(self, seq: int) -> bool:
        """Whether this row was taken and has not ended."""
        return seq in self._in_hand

    def offer(self, entry: Entry) -> None:
        """Take a row that was reached, if the outlet wants it; one that comes late also beyond `relay_window`."""
        assert entry.seq <= self.cursor
        if entry.seq in self._in_hand or not self._outlet.wants(entry.event):
            return
        self._in_hand.add(entry.seq)
        key = entry.event.key
        if key in self._queues:
            self._queues[key].append(entry)
            return
        self._queues[key] = deque([entry])
        task = asyncio.create_task(self._serve(key), name=f"outbox-{self.name}-{key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def is_past(self, entry: Entry) -> bool:
        """Whether the outlet needs this row no more: handled, given up, or not wanted."""
        if not self._outlet.wants(entry.event):
            return True
        return entry.seq <= self.cursor and entry.seq not in self._in_hand

    async def close(self) -> None:
        """Stop; entries in hand were not handled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, key: str) -> None:
        queue = self._queues[key]
        while queue:
            if not await self._bring(queue[0]):
                self.gave_up.add(queue[0].seq)
            entry = queue.popleft()
            self._in_hand.remove(entry.seq)
            try:
                self._ended(self, entry)
            except Exception:  # the rows behind it must not stay without anybody who serves them
                _log.exception("the end of an event could not be noted", extra={"event_id": entry.event.id})
        del self._queues[key]

    async def _bring(self, entry: Entry) -> bool:
        """Ask the outlet until it has accepted the entry; False when the entry is given up."""
        failures = 0
        for tries in itertools.count(1):
            about = {"group": self.name, "event_id": entry.event.id, "tries": tries}
            try:
                async with self._lanes:
                    await self._outlet.accept(entry.event)
                return True
            except Unavailable as error:
                _log.warning("an event has to wait: %s", error.detail, extra={**about, "code": error.code})
            except (Exception, asyncio.CancelledError) as error:
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                    raise  # we are to stop; otherwise something that the handler waited for was cancelled
                failures += 1
                _log.exception("handling an event failed", extra=about)
                if failures >= self._settings.relay_max_attempts:
                    return False
            await asyncio.sleep(pause_s(tries, self._settings, self._rng))
        raise AssertionError("counting never ends")
