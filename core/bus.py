"""The port that carries events between rooms: in memory when embedded, Kafka in a cluster.

An event is published by committing it with the transaction that made it true. From there the relay brings it to every
outlet of the bus, and forgets it once all of them have accepted it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
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


class Owner(Protocol):
    """Hears which partitions of the rides this process owns. What it raises is logged and changes nothing."""

    async def assigned(self, partitions: Collection[int]) -> None:
        """These are ours from now on."""
        ...

    async def revoked(self, partitions: Collection[int]) -> None:
        """These are ours no more: another process may own them from the moment this returns."""
        ...


class Ownership(Protocol):
    """What this process owns of a shared group."""

    @property
    def owned(self) -> Collection[int]:
        """The partitions owned now; none before the bus is started."""
        ...

    @property
    def in_doubt_since(self) -> float | None:
        """Engine time since which nobody could be asked whether `owned` still holds; None while all is well.

        What was owned is kept meanwhile: another process may own it too, so that a store has to decide.
        """
        ...


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """How a consumer group gets on in this process. `waiting` and `oldest_s` are about its partitions alone."""

    group: str
    waiting: int  # events that it has not handled yet, read or not
    in_hand: int  # of them, those that were read
    oldest_s: float  # engine seconds since the oldest of those in hand happened; 0 without any
    handled: int  # since the start
    repeated: int  # since the start: passed over, as they had been handled before
    dead: int  # since the start: given up


@dataclass(frozen=True, slots=True)
class BusFigures:
    """How a bus gets on in this process. One in memory has nothing to tell: what waits there waits in the outbox."""

    groups: Sequence[GroupFigures] = ()
    produced: int = 0  # messages that are safe in the bus's own log, since the start
    in_doubt_since: float | None = None  # the earliest of its shared groups


class Bus(Protocol):
    """At-least-once delivery, in order per key, to each consumer group. Groups are subscribed before `start`."""

    @property
    def partitions(self) -> int:
        """Into how many partitions the rides are divided by their region (`partition_of`)."""
        ...

    def subscribe(self, group: str, types: Sequence[type[Event]], handler: Handler, *, from_now: bool = False) -> None:
        """Call `handler` with each event of these types. A handler must be idempotent by event id.

        A group that nobody has run before begins with the oldest event that is kept; `from_now` with the next one.

        Groups are independent: each sees every event, at its own pace. The processes that run a group share its
        events among them.
        """
        ...

    def share(self, group: str, owner: Owner) -> Ownership:
        """Tell `owner` which partitions this process has while it runs the group; the group's events follow them."""
        ...

    def outlets(self) -> Sequence[Outlet]:
        """Everybody who has to accept an event. Ask after `start`."""
        ...

    async def start(self, groups: Collection[str] | None = None) -> None:
        """Run these groups in this process, or all that were subscribed.

        Does not wait for a bus that is away. Raises InvalidInput when the bus is made in another way than the settings
        say.
        """
        ...

    async def wait(self) -> None:
        """Return when the bus was closed; raises what ended it otherwise."""
        ...

    def figures(self) -> BusFigures:
        """How it gets on."""
        ...

    async def close(self) -> None:
        """Finish what is in hand, within a bound, and leave every group. Owners have heard so on return."""
        ...
