"""Buses of several processes on one Kafka, in one loop."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection
from typing import Any

from core.bus import Handler, Ownership
from core.events import AnyEvent, Event, TripAssigned
from runtime.clocks import SystemClock
from runtime.kafka.bus import KafkaBus
from runtime.kafka_settings import KafkaSettings
from runtime.settings import RuntimeSettings

RETRIES = RuntimeSettings(relay_retry_s=0.01, relay_max_retry_s=0.05, relay_max_attempts=3)
ENOUGH_S = 90.0  # for a group of a loaded machine to form, and for a broker to come back


def event(number: int, key: str = "req_1", region: str = "here") -> TripAssigned:
    return TripAssigned(
        id=f"e{number}", at=time.time(), trip_id="t", request_id=key, region=region, rider_id="r", driver_id="d"
    )


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(ENOUGH_S):
        while not true():
            await asyncio.sleep(0.01)


class Owners:
    """What all owners of a group believe, checked at every change: no partition has two of them."""

    def __init__(self) -> None:
        self.owned: dict[str, set[int]] = {}
        self.overlaps: list[tuple[str, int]] = []
        self.revoked: list[tuple[str, int]] = []

    def of(self, name: str, leave_s: float = 0.0) -> _Owner:
        return _Owner(self, name, leave_s)

    def sizes(self) -> list[int]:
        return sorted(len(mine) for mine in self.owned.values())


class _Owner:
    def __init__(self, owners: Owners, name: str, leave_s: float) -> None:
        self._all = owners
        self._name = name
        self._leave_s = leave_s

    async def assigned(self, partitions: Collection[int]) -> None:
        for other, theirs in self._all.owned.items():
            self._all.overlaps += [(f"{other}-{self._name}", each) for each in theirs & set(partitions)]
        self._all.owned.setdefault(self._name, set()).update(partitions)

    async def revoked(self, partitions: Collection[int]) -> None:
        await asyncio.sleep(self._leave_s)
        self._all.owned[self._name] -= set(partitions)
        self._all.revoked += [(self._name, each) for each in partitions]


class Process:
    """One process of a cluster: a bus that runs one group, and what that heard."""

    def __init__(self, settings: KafkaSettings, group: str = "group", owner: Any = None) -> None:
        self.heard: list[str] = []
        self.before: Handler | None = None
        self.bus = KafkaBus(settings, RETRIES, SystemClock(), random.Random(1))
        self.bus.subscribe(group, [Event], self._hear)
        self.ownership: Ownership | None = self.bus.share(group, owner) if owner is not None else None

    async def _hear(self, event: AnyEvent) -> None:
        if self.before is not None:
            await self.before(event)
        self.heard.append(event.id)

    async def send(self, *events: Event) -> None:
        for each in events:
            await self.bus.outlets()[0].accept(each)  # type: ignore[arg-type]

    @property
    def figures(self) -> Any:
        return self.bus.figures().groups[0]
