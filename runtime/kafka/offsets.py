"""Which messages of a partition are handled, and how far that may be committed."""

from __future__ import annotations

from collections import OrderedDict


class Offsets:
    """Messages in hand by offset. What may be committed ends before the first that is not handled yet.

    Offsets come in rising order, not always without gaps: brokers number more than messages.
    """

    def __init__(self) -> None:
        self._in_hand: OrderedDict[int, float] = OrderedDict()  # offset: when it happened
        self._next: int | None = None

    def __len__(self) -> int:
        """How many are not handled yet."""
        return len(self._in_hand)

    @property
    def next(self) -> int | None:
        """The offset after the last message that was taken; None before the first."""
        return self._next

    @property
    def committable(self) -> int | None:
        """From where another process would have to go on; None before the first message."""
        return next(iter(self._in_hand), self._next)

    @property
    def oldest_at(self) -> float | None:
        """When the first message in hand happened; None without any."""
        return next(iter(self._in_hand.values()), None)

    def take(self, offset: int, at: float) -> None:
        """A message has come that happened at this time."""
        assert self._next is None or offset >= self._next
        self._in_hand[offset] = at
        self._next = offset + 1

    def done(self, offset: int) -> None:
        """A message is handled, in any order."""
        del self._in_hand[offset]
