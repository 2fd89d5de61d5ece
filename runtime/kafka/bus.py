"""The bus on Kafka: one producer for the relay, one consumer for each group that this process runs."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Collection, Sequence
from typing import Any

from core.bus import BusFigures, Handler, Outlet, Owner, Ownership
from core.clock import Clock
from core.errors import Unavailable
from core.events import Event
from runtime.bus import Handlers
from runtime.feed import pause_s
from runtime.kafka.client import prepare_topics
from runtime.kafka.group import GroupMember, Means
from runtime.kafka.handling import GroupOutlet
from runtime.kafka.producer import Producer
from runtime.kafka.regions import Regions
from runtime.kafka.topics import topics_of
from runtime.kafka_settings import KafkaSettings
from runtime.settings import RuntimeSettings

_log = logging.getLogger("hexcab.kafka")


class KafkaBus:
    """core.bus.Bus on the topics of runtime/kafka/topics.py. Make it inside the running event loop.

    It starts without Kafka and goes on by itself once Kafka is there; until then events wait in the outbox.
    """

    def __init__(self, kafka: KafkaSettings, runtime: RuntimeSettings, clock: Clock, rng: random.Random) -> None:
        self._kafka = kafka
        self._runtime = runtime
        self._clock = clock
        self._rng = rng
        self._topics = topics_of(kafka)
        self._groups: dict[str, Handlers] = {}
        self._from_now: set[str] = set()
        self._shared: dict[str, Regions] = {}
        self._running: frozenset[str] = frozenset()
        self._members: list[GroupMember] = []
        self._producer = Producer(self._topics, kafka, runtime, rng)
        self._prepared = asyncio.Event()
        self._closed = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def partitions(self) -> int:
        """Of the topic of the rides."""
        return self._topics.rides.partitions

    def subscribe(self, group: str, types: Sequence[type[Event]], handler: Handler, *, from_now: bool = False) -> None:
        if from_now:
            self._from_now.add(group)
        self._groups.setdefault(group, Handlers(group)).add(types, handler)

    def share(self, group: str, owner: Owner) -> Ownership:
        assert group not in self._shared, "a group has one owner in a process"
        self._shared[group] = Regions(self._topics.rides, owner, self._clock, self._kafka)
        return self._shared[group]

    def outlets(self) -> Sequence[Outlet]:
        return (self._producer,)

    async def start(self, groups: Collection[str] | None = None) -> None:
        names = list(self._groups) if groups is None else list(groups)
        assert set(names) <= set(self._groups), "a group is subscribed before it runs"
        self._running = frozenset(names)
        self._members = [self._member(name) for name in names]
        try:
            async with asyncio.timeout(self._kafka.request_timeout_s):
                await self._prepare()
        except (Unavailable, TimeoutError) as error:
            _log.warning("starting without Kafka, events wait in the outbox: %s", error)
        for member in self._members:
            member.start()
        self._task = asyncio.create_task(self._prepare_at_last(), name="kafka-topics")

    async def wait(self) -> None:
        assert self._task is not None
        closed = asyncio.ensure_future(self._closed.wait())
        left: set[asyncio.Future[Any]] = {
            closed,
            self._task,
            *(task for each in self._members for task in each.tasks()),
        }
        try:
            while not self._closing and not closed.done():
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                for task in done if not self._closing else ():
                    task.result()
            await closed
        finally:
            closed.cancel()

    def figures(self) -> BusFigures:
        doubts = [regions.in_doubt_since for name, regions in self._shared.items() if name in self._running]
        return BusFigures(
            groups=[member.figures() for member in self._members],
            produced=self._producer.produced,
            in_doubt_since=min((since for since in doubts if since is not None), default=None),
        )

    async def close(self) -> None:
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, *(member.close() for member in self._members), return_exceptions=True)
        await self._producer.close()
        self._closed.set()

    def _member(self, name: str) -> GroupMember:
        outlet = GroupOutlet(self._groups[name], self._runtime.relay_lanes, self._kafka.recent_ids)
        means = Means(
            topic=self._topics.rides.name,
            prepared=self._prepared,
            bury=self._producer.bury,
            clock=self._clock,
            kafka=self._kafka,
            runtime=self._runtime,
            rng=self._rng,
            begin="latest" if name in self._from_now else "earliest",
        )
        return GroupMember(outlet, means, self._shared.get(name))

    async def _prepare(self) -> None:
        await prepare_topics(self._kafka, self._topics)
        self._producer.start()
        self._prepared.set()

    async def _prepare_at_last(self) -> None:
        for tries in itertools.count(1):
            if self._prepared.is_set():
                return
            await asyncio.sleep(pause_s(min(tries, 4), self._runtime, self._rng))
            try:
                await self._prepare()
            except Unavailable as error:
                _log.warning("Kafka is away still: %s", error.detail)
