"""The bus when everything runs in one process."""

from __future__ import annotations

from collections.abc import Sequence

from core.bus import Handler
from core.events import AnyEvent, Event


class MemoryBus:
    """Calls each group's handlers in turn; an event counts as accepted once every group has handled it.

    The relay keeps an event in the outbox until `publish` returned, so a crash in between means the event comes again:
    handlers are idempotent by event id.
    """

    def __init__(self) -> None:
        self._groups: dict[str, list[tuple[tuple[type[Event], ...], Handler]]] = {}

    def subscribe(self, group: str, types: Sequence[type[Event]], handler: Handler) -> None:
        self._groups.setdefault(group, []).append((tuple(types), handler))

    async def publish(self, events: Sequence[AnyEvent]) -> None:
        for each in events:
            for subscriptions in self._groups.values():
                for types, handler in subscriptions:
                    if isinstance(each, types):
                        await handler(each)
