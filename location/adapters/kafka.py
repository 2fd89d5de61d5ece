"""Drivers' positions to the topic `locations` of Kafka: in batches, keyed by driver, lost rather than waited for."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from core.errors import Unavailable
from core.events import DriverMoved
from location.model import BUSY, SupplyChange
from runtime.kafka.client import connection_options, prepare_topics
from runtime.kafka.topics import partition_of, topics_of
from runtime.kafka_settings import KafkaSettings

_log = logging.getLogger("hexcab.kafka")
_encode = msgspec.msgpack.Encoder().encode
_AWAY = (KafkaError, Unavailable, OSError, TimeoutError)
_BATCH_BYTES = 65_536
_SLICE = 500  # positions encoded in one go: about a millisecond of the gateway's time


class KafkaPositions:
    """location's PositionStream. The latest position of every driver goes out each `positions_every_s`.

    Make it inside the running event loop. What cannot be sent within `positions_timeout_s`, or comes while Kafka is
    away, is dropped and counted; memory holds one position a driver, of `positions_window` drivers at most.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._topics = topics_of(settings)
        self._topic = self._topics.locations
        self._waiting: dict[str, SupplyChange] = {}
        self._counts = {"sent": 0, "queue_full": 0, "unavailable": 0}
        self._task: asyncio.Task[None] | None = None

    def offer(self, changes: Sequence[SupplyChange]) -> None:
        waiting, room = self._waiting, self._settings.positions_window
        for change in changes:
            if change.row is None:
                continue
            if len(waiting) < room or change.driver_id in waiting:
                waiting[change.driver_id] = change
            else:
                self._counts["queue_full"] += 1

    def counts(self) -> Mapping[str, int]:
        return self._counts

    async def start(self) -> None:
        """Begin; Kafka may be away. Raises InvalidInput when the topic is made in another way than the settings say."""
        try:
            await self._prepare()
        except (Unavailable, TimeoutError) as error:
            _log.warning("starting without Kafka, drivers' positions are dropped: %s", error)
        self._task = asyncio.create_task(self._run(), name="positions")

    async def close(self) -> None:
        """Stop; what waits is lost."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._prepare()
                await self._send_forever()
            except _AWAY as error:
                _log.warning("drivers' positions are dropped, Kafka does not answer: %r", error)
            except Exception:
                _log.exception("sending drivers' positions failed, it is begun anew")
            self._counts["unavailable"] += len(self._taken())
            await asyncio.sleep(self._settings.positions_every_s)

    async def _prepare(self) -> None:
        async with asyncio.timeout(self._settings.request_timeout_s):
            await prepare_topics(self._settings, [self._topic])

    async def _send_forever(self) -> None:
        timeout_ms = int(self._settings.positions_timeout_s * 1000)
        options = connection_options(self._settings) | {"request_timeout_ms": timeout_ms}
        producer = AIOKafkaProducer(acks=1, max_batch_size=_BATCH_BYTES, **options)
        try:
            await producer.start()
            while True:
                await asyncio.sleep(self._settings.positions_every_s)
                await self._send(producer, list(self._taken().values()))
        finally:
            async with asyncio.timeout(2 * self._settings.positions_timeout_s):
                await producer.stop()

    def _taken(self) -> dict[str, SupplyChange]:
        taken, self._waiting = self._waiting, {}
        return taken

    async def _send(self, producer: Any, changes: Sequence[SupplyChange]) -> None:
        """Send positions; on return each is counted. What arrives later all the same counts as lost."""
        sending: list[tuple[asyncio.Future[Any], int]] = []
        try:
            async with asyncio.timeout(self._settings.positions_timeout_s):
                async for partition, batch, count in self._batches(producer, changes):
                    sending.append((await producer.send_batch(batch, self._topic.name, partition=partition), count))
                await asyncio.gather(*(future for future, _ in sending), return_exceptions=True)
        except _AWAY as error:
            _log.warning("drivers' positions are dropped: %r", error)
        finally:
            sent = sum(count for future, count in sending if _arrived(future))
            self._counts["sent"] += sent
            self._counts["unavailable"] += len(changes) - sent

    async def _batches(self, producer: Any, changes: Sequence[SupplyChange]) -> AsyncIterator[tuple[int, Any, int]]:
        """(partition, batch, how many positions) until all are in one."""
        open_: dict[int, tuple[Any, int]] = {}
        for some in itertools.batched(changes, _SLICE):
            for change in some:
                partition = partition_of(change.driver_id, self._topic.partitions)
                batch, count = open_.get(partition) or (producer.create_batch(), 0)
                key, value = change.driver_id.encode(), _encode(_moved(change))
                if batch.append(key=key, value=value, timestamp=None) is None:
                    yield partition, batch, count
                    batch, count = producer.create_batch(), 0
                    batch.append(key=key, value=value, timestamp=None)
                open_[partition] = (batch, count + 1)
            await asyncio.sleep(0)
        for partition, (batch, count) in open_.items():
            yield partition, batch, count


def _arrived(future: asyncio.Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _moved(change: SupplyChange) -> DriverMoved:
    row = change.row
    assert row is not None
    return DriverMoved(
        driver_id=change.driver_id,
        at=row.seen_at,
        lat=row.lat,
        lng=row.lng,
        heading=row.heading if row.heading == row.heading else None,
        speed_mps=row.speed if row.speed == row.speed else None,
        on_trip=bool(row.flags & BUSY),
        segment=change.segment,
    )
