"""One partition in the hands of a consumer group: in order per key, tried again, at last given up."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from core.clock import Clock
from core.errors import Unavailable
from core.events import AnyEvent
from runtime.feed import Entry, Feed, pause_s
from runtime.kafka.handling import Bury, DeadLetter, GroupOutlet
from runtime.kafka.offsets import Offsets
from runtime.settings import RuntimeSettings

_log = logging.getLogger("hexcab.kafka")
_decode = msgspec.json.Decoder(AnyEvent).decode


@dataclass(frozen=True, slots=True)
class Handling:
    """How a group handles the events of a topic."""

    outlet: GroupOutlet
    bury: Bury
    topic: str
    clock: Clock
    settings: RuntimeSettings
    rng: random.Random


class Partition:
    """Messages from the moment they are read until they may be committed; `changed` is called after each end.

    Retries are the feed's: one that is Unavailable waits and holds back its own key; one that fails for good becomes a
    dead letter, and counts as handled once that is safe.
    """

    def __init__(self, number: int, handling: Handling, changed: Callable[[], None]) -> None:
        self.number = number
        self.offsets = Offsets()
        self._handling = handling
        self._changed = changed
        self._feed = Feed(handling.outlet, handling.settings, handling.rng, self._ended)
        self._burials: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()

    def take(self, offset: int, key: bytes, value: bytes) -> None:
        """The next message of the partition."""
        try:
            event = _decode(value)
        except msgspec.MsgspecError as error:
            self.offsets.take(offset, self._handling.clock.now())
            self._give_up(offset, key, value, (repr(error), 1))
            return
        self.offsets.take(offset, event.at)
        if self._handling.outlet.wants(event):
            self._feed.reach(offset + 1)  # a feed begins after row 0
            self._feed.offer(Entry(offset + 1, event))
        else:
            self._done(offset)

    async def drain(self, most_s: float) -> None:
        """Take no more; return when everything in hand is handled, or after so long, when the rest is broken off."""
        try:
            async with asyncio.timeout(most_s):
                while len(self.offsets):
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            _log.info("%d events in hand are broken off and come again", len(self.offsets), extra=self._about())
        await self.close()

    async def close(self) -> None:
        """Break off what is in hand."""
        for task in self._burials:
            task.cancel()
        await asyncio.gather(self._feed.close(), *self._burials, return_exceptions=True)

    def _ended(self, feed: Feed, entry: Entry) -> None:
        offset, event = entry.seq - 1, entry.event
        if entry.seq not in feed.gave_up:
            self._done(offset)
            return
        feed.gave_up.remove(entry.seq)
        why = (self._handling.outlet.failure(event.id), self._handling.settings.relay_max_attempts)
        self._give_up(offset, event.key.encode(), msgspec.json.encode(event), why)

    def _give_up(self, offset: int, key: bytes, value: bytes, why: tuple[str, int]) -> None:
        handling = self._handling
        most = handling.settings.dead_letter_chars
        text = value.decode("utf-8", "replace")
        letter = DeadLetter(
            group=handling.outlet.name,
            error=why[0][:most],
            tries=why[1],
            at=handling.clock.now(),
            topic=handling.topic,
            partition=self.number,
            offset=offset,
            key=key.decode("utf-8", "replace")[:most],
            event=text[:most],
            cut=max(0, len(text) - most),
        )
        task = asyncio.create_task(self._bury(letter), name=f"bury-{letter.group}-{self.number}-{offset}")
        self._burials.add(task)
        task.add_done_callback(self._burials.discard)

    async def _bury(self, letter: DeadLetter) -> None:
        about = {**self._about(), "offset": letter.offset, "key": letter.key}
        _log.error("a message is given up: %s", letter.error, extra=about)
        for tries in itertools.count(1):
            try:
                await self._handling.bury(letter)
                break
            except Unavailable as error:
                _log.warning("a dead letter has to wait: %s", error.detail, extra=about)
            except Exception:  # a burial that ends silently would hold up its partition for good
                _log.exception("a dead letter cannot be written", extra=about)
            await asyncio.sleep(pause_s(tries, self._handling.settings, self._handling.rng))
        self._handling.outlet.dead += 1
        self._done(letter.offset)

    def _done(self, offset: int) -> None:
        self.offsets.done(offset)
        if not len(self.offsets):
            self._idle.set()
        self._changed()

    def _about(self) -> dict[str, object]:
        return {"group": self._handling.outlet.name, "partition": self.number}
