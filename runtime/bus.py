"""The bus when everything runs in one process, and what a group of any bus does with an event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

from core.bus import BusFigures, Handler, Outlet, Owner, Ownership
from core.errors import Unavailable
from core.events import AnyEvent, Event

_log = logging.getLogger("hexcab.bus")
_ALL = frozenset({0})

Told = Callable[[Collection[int]], Awaitable[None]]  # Owner's assigned or revoked


class Handlers:
    """A consumer group's handlers, in the order in which they were subscribed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._handlers: list[tuple[tuple[type[Event], ...], Handler]] = []

    def add(self, types: Sequence[type[Event]], handler: Handler) -> None:
        """One more."""
        self._handlers.append((tuple(types), handler))

    def wants(self, event: AnyEvent) -> bool:
        """Whether any handler takes events like this."""
        return any(isinstance(event, types) for types, _ in self._handlers)

    async def accept(self, event: AnyEvent) -> None:
        """Call the handlers. Raises what one of them raises; then all of them are called again."""
        for types, handler in self._handlers:
            if isinstance(event, types):
                await handler(event)


class MemoryBus:
    """Keeps nothing itself: its log is the outbox, and each of its groups is an outlet of the relay.

    The rides are one partition, which belongs to whoever shares a group here.
    """

    partitions = 1

    def __init__(self) -> None:
        self._groups: dict[str, Handlers] = {}
        self._shares: dict[str, list[MemoryOwnership]] = {}
        self._running: frozenset[str] | None = None
        self._closed = asyncio.Event()

    def subscribe(self, group: str, types: Sequence[type[Event]], handler: Handler, *, from_now: bool = False) -> None:
        self._groups.setdefault(group, Handlers(group)).add(types, handler)

    def share(self, group: str, owner: Owner) -> Ownership:
        ownership = MemoryOwnership(owner)
        self._shares.setdefault(group, []).append(ownership)
        return ownership

    def outlets(self) -> Sequence[Outlet]:
        return tuple(group for name, group in self._groups.items() if self._runs(name))

    async def start(self, groups: Collection[str] | None = None) -> None:
        self._running = None if groups is None else frozenset(groups)
        for name, shares in self._shares.items():
            for ownership in shares if self._runs(name) else ():
                await ownership.take()

    async def wait(self) -> None:
        await self._closed.wait()

    def figures(self) -> BusFigures:
        return BusFigures()

    async def close(self) -> None:
        for shares in self._shares.values():
            for ownership in shares:
                await ownership.leave()
        self._closed.set()

    def _runs(self, group: str) -> bool:
        return self._running is None or group in self._running


class MemoryOwnership:
    """Ownership of everything."""

    in_doubt_since = None

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.owned: frozenset[int] = frozenset()

    async def take(self) -> None:
        """From now on all is ours."""
        self.owned = _ALL
        await tell(self._owner.assigned, _ALL)

    async def leave(self) -> None:
        """From now on nothing is."""
        if self.owned:
            self.owned = frozenset()
            await tell(self._owner.revoked, _ALL)


async def tell(say: Told, partitions: Collection[int]) -> None:
    """Tell an owner; an error of theirs is logged and does not stop the bus."""
    try:
        await say(partitions)
    except Unavailable as error:
        _log.warning("an owner of partitions has to wait: %s", error.detail)
    except Exception:
        _log.exception("an owner of partitions failed", extra={"partitions": sorted(partitions)})
