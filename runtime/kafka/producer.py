"""Writing to Kafka what must not be lost: returned from is what the brokers have."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from core.errors import InvalidInput, Unavailable
from core.events import AnyEvent
from runtime.feed import pause_s
from runtime.kafka.client import connection_options
from runtime.kafka.handling import DeadLetter
from runtime.kafka.topics import Topics, partition_of
from runtime.kafka_settings import KafkaSettings
from runtime.settings import RuntimeSettings

_log = logging.getLogger("hexcab.kafka")
_encode = msgspec.json.Encoder().encode


class Producer:
    """An idempotent producer that waits for all in-sync replicas, made anew when it broke.

    A message whose wait was over is not sent twice: it stays with the client, which never gives it up, and who asks
    again waits for the same one. So at most `produce_window` messages are in memory, however long Kafka is away.
    """

    name = "kafka"

    def __init__(self, topics: Topics, kafka: KafkaSettings, runtime: RuntimeSettings, rng: random.Random) -> None:
        self.produced = 0
        self._topics = topics
        self._kafka = kafka
        self._runtime = runtime
        self._rng = rng
        self._producer: Any = None
        self._ready = asyncio.Event()
        self._broken = asyncio.Event()
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to connect; Kafka may be away."""
        self._task = asyncio.create_task(self._keep(), name="kafka-producer")

    async def close(self) -> None:
        """End. What nobody was told to be safe may be written or not."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._break_off()

    def wants(self, event: AnyEvent) -> bool:
        """All of them."""
        return True

    async def accept(self, event: AnyEvent) -> None:
        """Return once the brokers have the event.

        Raises Unavailable when that takes longer than `delivery_s`, and InvalidInput for an event too large for Kafka.
        """
        where = (self._topics.rides.name, partition_of(event.region, self._topics.rides.partitions))
        await self._safe(event.id, where, event.key, _encode(event))

    async def bury(self, letter: DeadLetter) -> None:
        """Return once the brokers have the dead letter. Raises Unavailable."""
        name = f"{letter.group}/{letter.topic}/{letter.partition}/{letter.offset}"
        await self._safe(name, (self._topics.dead.name, 0), letter.key, _encode(letter))

    async def _safe(self, name: str, where: tuple[str, int], key: str, value: bytes) -> None:
        if self._closed:
            raise Unavailable("the producer is closed", code="kafka_unavailable")
        task = self._sending.get(name)
        if task is None:
            if len(self._sending) >= self._kafka.produce_window:
                raise Unavailable("too many events wait for Kafka", code="kafka_unavailable")
            task = asyncio.create_task(self._send(where, key, value), name=f"produce-{name}")
            self._sending[name] = task
            task.add_done_callback(lambda done: self._sent(name, done))
        done, _ = await asyncio.wait([task], timeout=self._kafka.delivery_s)
        if not done:
            raise Unavailable("Kafka has not confirmed an event yet", code="kafka_unavailable")
        if task.cancelled():
            raise Unavailable("the connection to Kafka was closed", code="kafka_unavailable")
        task.result()

    async def _send(self, where: tuple[str, int], key: str, value: bytes) -> None:
        await self._ready.wait()
        topic, partition = where
        try:
            await self._producer.send_and_wait(topic, value, key.encode(), partition)
        except MessageSizeTooLargeError as error:
            raise InvalidInput(f"an event of {len(value)} bytes is too large for Kafka", code="too_large") from error
        except KafkaError as error:
            # the numbers that make it idempotent may have a gap now, which the brokers would refuse from here on
            self._broken.set()
            raise Unavailable(f"Kafka refused an event: {error!r}", code="kafka_unavailable") from error
        self.produced += 1

    def _sent(self, name: str, task: asyncio.Task[None]) -> None:
        del self._sending[name]
        if not task.cancelled():
            task.exception()  # whoever waited was told

    async def _keep(self) -> None:
        """Have a producer that works, always."""
        while True:
            producer = self._made()
            try:
                await producer.start()
                self._producer = producer
                self._broken.clear()
                self._ready.set()
                await self._broken.wait()
                _log.warning("the producer is made anew")
            except (KafkaError, OSError, TimeoutError) as error:
                _log.warning("Kafka does not answer, events wait: %r", error)
            except Exception:  # whatever the client has met: without a producer no event leaves any more
                _log.exception("the producer failed and is made anew")
            finally:
                if self._ready.is_set():
                    self._ready.clear()
                    self._break_off()
                await self._end(producer)
            await asyncio.sleep(pause_s(1, self._runtime, self._rng))

    def _made(self) -> Any:
        return AIOKafkaProducer(
            enable_idempotence=True,
            acks="all",
            linger_ms=int(self._kafka.linger_s * 1000),
            **connection_options(self._kafka),
        )

    def _break_off(self) -> None:
        """Who waits for a message hears Unavailable, and asks again."""
        for task in self._sending.values():
            task.cancel()

    async def _end(self, producer: Any) -> None:
        # an idempotent client never gives a message up and would wait for Kafka; the outbox has them all
        producer._message_accumulator.fail_all(KafkaError("the producer is closed"))
        try:
            async with asyncio.timeout(self._kafka.drain_s):
                await producer.stop()
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("the producer did not end in order: %r", error)
