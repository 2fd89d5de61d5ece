"""A consumer group's member in this process: reads its partitions, hands events over, commits what is handled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError

from core.bus import GroupFigures
from core.clock import Clock
from runtime.feed import pause_s
from runtime.kafka.assigned import Assigned
from runtime.kafka.client import connection_options
from runtime.kafka.handling import Bury, GroupOutlet
from runtime.kafka.partition import Handling
from runtime.kafka.regions import Regions
from runtime.kafka_settings import KafkaSettings
from runtime.settings import RuntimeSettings

_log = logging.getLogger("hexcab.kafka")
_AWAY = (KafkaError, IllegalStateError, OSError, TimeoutError)
_POLL_MS = 200  # to wait for messages of partitions with room
_POLL_FULL_MS = 20  # while others have none, and may have some again soon
_SETTLE_S = 0.05  # from a new assignment until the client can bear another change: its heartbeat has to run first
_NEVER_MS = 86_400_000  # a group that waits for a store reads nothing and is alive all the same


@dataclass(frozen=True, slots=True)
class Means:
    """What every group of a bus works with."""

    topic: str
    prepared: asyncio.Event  # the topic is there
    bury: Bury
    clock: Clock
    kafka: KafkaSettings
    runtime: RuntimeSettings
    rng: random.Random
    begin: str = "earliest"  # where a group that nobody has run before begins


class GroupMember:
    """Consumes until it is closed; a consumer that dies is made anew.

    Before a rebalance goes on, what is in hand is finished or, after `drain_s`, broken off, and offsets are committed.
    """

    def __init__(self, outlet: GroupOutlet, means: Means, regions: Regions | None) -> None:
        self._outlet = outlet
        self._means = means
        self._regions = regions
        handling = Handling(outlet, means.bury, means.topic, means.clock, means.runtime, means.rng)
        self._assigned = Assigned(handling, means.kafka.group_window)
        self._consumer: Any = None
        self._closing = False
        self._noting: asyncio.Task[None] | None = None  # the commit under way
        self._joined = asyncio.Event()
        self._waiting = 0
        self._answers = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; Kafka may be away."""
        if self._regions is not None:
            self._regions.start()
        self._task = asyncio.create_task(self._run(), name=f"group-{self._outlet.name}")

    def tasks(self) -> list[asyncio.Task[None]]:
        """What runs from `start` to `close`, or ends without an error before."""
        assert self._task is not None
        return [self._task, *(self._regions.tasks if self._regions is not None else ())]

    async def close(self) -> None:
        """Finish what is in hand, commit, leave the group, own nothing."""
        assert self._task is not None
        self._closing = True
        await self.release()
        if self._regions is not None:
            await self._regions.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def figures(self) -> GroupFigures:
        """How it gets on."""
        outlet, assigned = self._outlet, self._assigned
        oldest_at = assigned.oldest_at
        return GroupFigures(
            group=outlet.name,
            waiting=self._waiting,
            in_hand=assigned.in_hand,
            oldest_s=0.0 if oldest_at is None else max(0.0, self._means.clock.now() - oldest_at),
            handled=outlet.handled,
            repeated=outlet.repeated,
            dead=outlet.dead,
        )

    # what the consumer tells

    async def release(self) -> None:
        """Before every rebalance, and at the end: nothing is in hand on return, and what was handled is committed."""
        self._joined.clear()
        await self._assigned.drain(self._means.kafka.drain_s)
        await self._commit_now()
        await self._assigned.end()
        self._outlet.forget_failures()

    def assigned(self, numbers: Collection[int]) -> None:
        """After every rebalance: these partitions are read, from what was committed last."""
        if not self._closing:
            self._assigned.begin(numbers)
        self._joined.set()

    # the member itself

    async def _run(self) -> None:
        while True:
            try:
                await self._consume()
            except* _AWAY as errors:
                _log.warning("a consumer is made anew: %r", errors.exceptions[0], extra={"group": self._outlet.name})
            except* Exception:
                _log.exception("a consumer failed and is made anew", extra={"group": self._outlet.name})
            self._heard(answered=False)
            await asyncio.sleep(pause_s(1, self._means.runtime, self._means.rng))

    async def _consume(self) -> None:
        await self._means.prepared.wait()
        self._consumer = consumer = self._made()
        try:
            async with self._in_time():
                await consumer.start()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._commit_forever(), name=f"commit-{self._outlet.name}")
                tasks.create_task(self._pump(consumer), name=f"pump-{self._outlet.name}")
                tasks.create_task(self._look_forever(consumer), name=f"look-{self._outlet.name}")
        finally:
            self._consumer = None
            await self._end(consumer)

    def _made(self) -> Any:
        kafka = self._means.kafka
        consumer = AIOKafkaConsumer(
            group_id=kafka.prefix + self._outlet.name,
            enable_auto_commit=False,
            auto_offset_reset=self._means.begin,
            max_partition_fetch_bytes=kafka.fetch_bytes,
            session_timeout_ms=int(kafka.session_s * 1000),
            heartbeat_interval_ms=int(kafka.heartbeat_s * 1000),
            rebalance_timeout_ms=int(kafka.rebalance_s * 1000),
            max_poll_interval_ms=_NEVER_MS,
            partition_assignment_strategy=(self._regions.assignor if self._regions else RoundRobinPartitionAssignor,),
            **connection_options(kafka),
        )
        if self._regions is not None:
            self._regions.rejoin = self._rejoin
        consumer.subscribe([self._means.topic], listener=_Listener(self))
        return consumer

    async def _rejoin(self) -> None:
        await self._joined.wait()
        await asyncio.sleep(_SETTLE_S)
        await self._commit_now()
        if self._consumer is not None:
            self._consumer.subscribe([self._means.topic], listener=_Listener(self))

    async def _end(self, consumer: Any) -> None:
        self._stop_noting()
        await self._assigned.end()
        try:
            async with asyncio.timeout(self._means.kafka.request_timeout_s):
                await consumer.stop()
        except _AWAY as error:
            _log.warning("a consumer did not end in order: %r", error, extra={"group": self._outlet.name})

    async def _pump(self, consumer: Any) -> None:
        most, changed = self._means.kafka.fetch_records, self._assigned.changed
        while True:
            await asyncio.sleep(0)
            changed.clear()
            full = self._assigned.full
            ready = [tp for tp in consumer.assignment() if tp.partition not in full]
            if full and not ready:
                await changed.wait()
                continue
            poll_ms = _POLL_FULL_MS if full else _POLL_MS
            read = await self._read(consumer.getmany(*ready, timeout_ms=poll_ms, max_records=most))
            for tp, records in read.items():
                if not self._assigned.take(tp.partition, records):  # amid a rebalance
                    with contextlib.suppress(IllegalStateError):
                        consumer.seek(tp, records[0].offset)

    async def _read(self, reading: Any) -> Any:
        try:
            async with self._in_time():
                return await reading
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise KafkaError("the client has lost its coordination") from error  # its own task was cancelled

    def _in_time(self) -> asyncio.Timeout:
        """Reading waits while a group is formed; a client that waits for longer has got stuck and is made anew."""
        return asyncio.timeout(2 * self._means.kafka.rebalance_s)

    async def _commit_forever(self) -> None:
        while True:
            await asyncio.sleep(self._means.kafka.commit_every_s)
            self._noting = asyncio.create_task(self._commit(), name=f"commit-{self._outlet.name}")
            await asyncio.wait([self._noting])

    async def _commit_now(self) -> None:
        """Commit, or give up after a while; a commit that waits for Kafka would come too late to be true."""
        self._stop_noting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._means.kafka.drain_s):
                await self._commit()

    def _stop_noting(self) -> None:
        if self._noting is not None:
            self._noting.cancel()

    async def _commit(self) -> None:
        ends = self._assigned.to_note()
        if not ends or self._consumer is None:
            return
        offsets = {TopicPartition(self._means.topic, number): at for number, at in ends.items()}
        try:
            await self._consumer.commit(offsets)
        except _AWAY as error:
            about = {"group": self._outlet.name}
            _log.debug("offsets are not committed, events may come again: %r", error, extra=about)
        else:
            self._assigned.noted(ends)

    async def _look_forever(self, consumer: Any) -> None:
        while True:
            try:
                async with asyncio.timeout(self._means.kafka.session_s):
                    self._waiting = await self._lag(consumer)
            except _AWAY as error:
                self._heard(False, error)
            else:
                self._heard(True)
            await asyncio.sleep(self._means.kafka.watch_s)

    def _heard(self, answered: bool, error: Exception | None = None) -> None:
        if answered != self._answers:  # once per outage
            level, about = logging.INFO if answered else logging.WARNING, {"group": self._outlet.name}
            _log.log(level, "Kafka answers" if answered else "Kafka does not answer: %r", error, extra=about)
        self._answers = answered
        if self._regions is not None:
            self._regions.heard(answered)

    async def _lag(self, consumer: Any) -> int:
        """Messages behind the ends of the partitions read here. Asks the brokers and the group's coordinator."""
        await consumer.committed(TopicPartition(self._means.topic, 0))
        waiting = 0
        for tp, end in (await consumer.end_offsets(list(consumer.assignment()))).items():
            at = self._assigned.handled(tp.partition)
            waiting += max(0, end - (await consumer.position(tp) if at is None else at))
        return waiting


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, member: GroupMember) -> None:
        self._member = member

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._member.release()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        self._member.assigned([tp.partition for tp in assigned])
