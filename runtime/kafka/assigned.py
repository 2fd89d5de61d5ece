"""The partitions that a group has given to this process, from one rebalance to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.errors import KafkaError

from runtime.kafka.partition import Handling, Partition


class Assigned:
    """What is in hand, by partition. `changed` is set whenever there may be room again, or other partitions."""

    def __init__(self, handling: Handling, window: int) -> None:
        self.changed = asyncio.Event()
        self._handling = handling
        self._window = window
        self._partitions: dict[int, Partition] = {}
        self._noted: dict[int, int] = {}  # what was committed
        self._draining = False

    def begin(self, numbers: Collection[int]) -> None:
        """These are ours, from what was committed last."""
        self._partitions = {number: Partition(number, self._handling, self.changed.set) for number in numbers}
        self._noted = {}
        self._draining = False
        self.changed.set()

    def take(self, number: int, records: Any) -> bool:
        """Messages of a partition in their order; False when they are not taken and have to be read again.

        Raises KafkaError when the partition goes back to what was read before: what is in hand is not its continuation.
        """
        part = self._partitions.get(number)
        if part is None or self._draining:
            return False
        for record in records:
            if part.offsets.next is not None and record.offset < part.offsets.next:
                raise KafkaError(f"partition {number} goes back to offset {record.offset}")
            part.take(record.offset, record.key or b"", record.value or b"")
        return True

    @property
    def full(self) -> set[int]:
        """The partitions that have as much in hand as they may."""
        return {number for number, part in self._partitions.items() if len(part.offsets) >= self._window}

    @property
    def in_hand(self) -> int:
        """Messages that were read and are not handled yet."""
        return sum(len(part.offsets) for part in self._partitions.values())

    @property
    def oldest_at(self) -> float | None:
        """When the oldest event in hand happened, in engine time."""
        starts = [part.offsets.oldest_at for part in self._partitions.values()]
        return min((at for at in starts if at is not None), default=None)

    def handled(self, number: int) -> int | None:
        """The offset that a partition is handled up to; None before its first message."""
        part = self._partitions.get(number)
        return None if part is None else part.offsets.committable

    def to_note(self) -> dict[int, int]:
        """What may be committed and is not yet."""
        ends = {number: part.offsets.committable for number, part in self._partitions.items()}
        return {number: at for number, at in ends.items() if at is not None and at != self._noted.get(number)}

    def noted(self, ends: Mapping[int, int]) -> None:
        """This is committed."""
        self._noted.update(ends)

    async def drain(self, most_s: float) -> None:
        """Take no more, and return when all is handled or, after so long, broken off."""
        self._draining = True
        await asyncio.gather(*(part.drain(most_s) for part in self._partitions.values()))

    async def end(self) -> None:
        """Nothing is ours any more; what is in hand is broken off."""
        self._draining = True
        await asyncio.gather(*(part.close() for part in self._partitions.values()))
        self._partitions = {}
        self.changed.set()
