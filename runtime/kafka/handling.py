"""What a consumer group does with one event, and what it remembers of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from core.errors import Unavailable
from core.events import AnyEvent
from core.recent import Recent
from runtime.bus import Handlers


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a group gave up. `event` is the message as it was, but for its last `cut` characters, if it was
    longer than `dead_letter_chars`; `at` is engine time.
    """

    group: str
    error: str
    tries: int
    at: float
    topic: str
    partition: int
    offset: int
    key: str
    event: str
    cut: int = 0


Bury = Callable[[DeadLetter], Awaitable[None]]  # returns once the letter is safe; may raise Unavailable


class GroupOutlet:
    """The outlet of a group's partitions: it passes over what was handled lately and keeps why something failed.

    At most `lanes` events are with the handlers at a time, whatever their partition.
    """

    def __init__(self, handlers: Handlers, lanes: int, recent_ids: int) -> None:
        self.name = handlers.name
        self.handled = 0
        self.repeated = 0
        self.dead = 0
        self._handlers = handlers
        self._lanes = asyncio.Semaphore(lanes)
        self._recent: Recent[str] = Recent(recent_ids)
        self._failures: dict[str, str] = {}  # by event in hand

    def wants(self, event: AnyEvent) -> bool:
        """Whether any handler takes events like this."""
        return self._handlers.wants(event)

    async def accept(self, event: AnyEvent) -> None:
        """Call the handlers, unless the event was handled lately. Raises what they raise."""
        if event.id in self._recent:
            self.repeated += 1
            return
        async with self._lanes:
            try:
                await self._handlers.accept(event)
            except Unavailable:
                raise
            except (Exception, asyncio.CancelledError) as error:
                self._failures[event.id] = repr(error)
                raise
        self._failures.pop(event.id, None)
        self._recent.add(event.id)
        self.handled += 1

    def failure(self, event_id: str) -> str:
        """The last error of an event that was given up; told once."""
        return self._failures.pop(event_id, "")

    def forget_failures(self) -> None:
        """No event is in hand any more."""
        self._failures.clear()
