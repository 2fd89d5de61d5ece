"""The bus when everything runs in one process."""

from __future__ import annotations

from collections.abc import Sequence

from core.bus import Handler, Outlet
from core.events import AnyEvent, Event


class MemoryBus:
    """Keeps nothing itself: its log is the outbox, and each of its groups is an outlet of the relay."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def subscribe(self, group: str, types: Sequence[type[Event]], handler: Handler) -> None:
        self._groups.setdefault(group, _Group(group)).handlers.append((tuple(types), handler))

    def outlets(self) -> Sequence[Outlet]:
        return tuple(self._groups.values())


class _Group:
    def __init__(self, name: str) -> None:
        self.name = name
        self.handlers: list[tuple[tuple[type[Event], ...], Handler]] = []

    def wants(self, event: AnyEvent) -> bool:
        return any(isinstance(event, types) for types, _ in self.handlers)

    async def accept(self, event: AnyEvent) -> None:
        for types, handler in self.handlers:
            if isinstance(event, types):
                await handler(event)
