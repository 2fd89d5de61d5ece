"""The port that carries events between rooms: in memory when embedded, Kafka in a cluster.

An event is published by committing it with the transaction that made it true. From there the relay brings it to every
outlet of the bus, and forgets it once all of them have accepted it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from core.events import AnyEvent, Event

Handler = Callable[[AnyEvent], Awaitable[None]]


class Outlet(Protocol):
    """Where committed events go: each consumer group of a bus in memory, the one producer of a bus like Kafka."""

    @property
    def name(self) -> str:
        """For logs and for events that were set aside."""
        ...

    def wants(self, event: AnyEvent) -> bool:
        """Whether to bring this event; always the same answer for the same event."""
        ...

    async def accept(self, event: AnyEvent) -> None:
        """Return once the event is handled, or safe in the bus's own log. Asked again after any error.

        Raises Unavailable when it has to wait: that never counts against the event.
        """
        ...


class Bus(Protocol):
    """At-least-once delivery, in order per key, to each consumer group."""

    def subscribe(self, group: str, types: Sequence[type[Event]], handler: Handler) -> None:
        """Call `handler` with each event of these types. A handler must be idempotent by event id.

        Groups are independent: each sees every event, at its own pace. Subscribe before the bus is started.
        """
        ...

    def outlets(self) -> Sequence[Outlet]:
        """Everybody who has to accept an event."""
        ...
