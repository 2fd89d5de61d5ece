"""Which sockets a rider hangs on, and the way to tell them something."""

from __future__ import annotations

from typing import Protocol

from core.errors import TooMany
from web.ports import Body

REPLACED = 4001
GOING_AWAY = 1001


class Listener(Protocol):
    """One open socket."""

    def tell(self, message: Body) -> bool:
        """Queue a message; False when the socket is closing or its queue was full, which closes it."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Begin to close; what is queued is dropped."""
        ...


class Roll(Protocol):
    """The roll of all hosts: on which of them a rider hangs. Its calls wait for nothing."""

    def join(self, rider_id: str) -> None:
        """The rider has a first socket here."""
        ...

    def leave(self, rider_id: str) -> None:
        """The rider has no socket here any more."""
        ...

    async def known(self, rider_id: str) -> None:
        """Wait a moment until other hosts can find the rider here."""
        ...


class Hub:
    """Rider id to open sockets. All calls belong to the event loop's thread. `roll`: None where no other host is."""

    def __init__(self, limit: int, per_rider: int = 8, roll: Roll | None = None) -> None:
        self._limit = limit
        self._per_rider = per_rider
        self._roll = roll
        self._listeners: dict[str, list[Listener]] = {}
        self._count = 0

    @property
    def count(self) -> int:
        """Open sockets of all riders."""
        return self._count

    def connected(self, rider_id: str) -> bool:
        """Has the rider an open socket?"""
        return rider_id in self._listeners

    def join(self, rider_id: str, listener: Listener) -> None:
        """Take a socket in; beyond a few of the same rider the oldest goes. Raises TooMany when the house is full."""
        own = self._listeners.get(rider_id, [])
        if len(own) >= self._per_rider:
            oldest = own[0]
            self.leave(rider_id, oldest)
            oldest.close(REPLACED, "too many connections of the same rider")
        elif self._count >= self._limit:
            raise TooMany("too many riders are watching", retry_after_s=5.0)
        if self._roll is not None and rider_id not in self._listeners:
            self._roll.join(rider_id)
        self._listeners.setdefault(rider_id, []).append(listener)
        self._count += 1

    def leave(self, rider_id: str, listener: Listener) -> None:
        """Let a socket go; repeating is harmless."""
        own = self._listeners.get(rider_id, [])
        if listener in own:
            own.remove(listener)
            self._count -= 1
            if not own:
                del self._listeners[rider_id]
                if self._roll is not None:
                    self._roll.leave(rider_id)

    async def known(self, rider_id: str) -> None:
        """Wait a moment until other hosts can find the rider here, so that they tell of what is read after this."""
        if self._roll is not None:
            await self._roll.known(rider_id)

    def tell(self, rider_id: str, message: Body) -> bool:
        """Queue a message on each socket of the rider; False when there was none to take it."""
        told = [listener.tell(message) for listener in list(self._listeners.get(rider_id, ()))]
        return any(told)

    def close(self) -> None:
        """Begin to close every socket: the server is going away."""
        for listener in [each for own in self._listeners.values() for each in own]:
            listener.close(GOING_AWAY, "the server is going away")
