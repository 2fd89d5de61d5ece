"""The port that carries events between rooms: in memory when embedded, Kafka in a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from core.events import AnyEvent, Event

Handler = Callable[[AnyEvent], Awaitable[None]]


class Bus(Protocol):
    """At-least-once delivery, in order per key, to each consumer group."""

    def subscribe(self, group: str, types: Sequence[type[Event]], handler: Handler) -> None:
        """Call `handler` with each event of these types. A handler must be idempotent by event id.

        Groups are independent: each sees every event. Subscribe before the bus is started.
        """
        ...

    async def publish(self, events: Sequence[AnyEvent]) -> None:
        """Hand over events in order; returns once they are accepted, raises Unavailable otherwise."""
        ...
