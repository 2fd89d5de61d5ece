"""The rides' topic of Kafka: read by somebody who only reads, and written to as a broker does that delivers again."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

_POLL_MS = 2_000
_PAUSE_S = (0.0, 0.05)


async def event_ids(brokers: str, topic: str) -> set[str]:
    """The ids of all events that the topic has."""
    async with _reader(brokers, topic) as consumer:
        return {json.loads(record.value)["id"] async for record in _all(consumer)}


async def deliver_again(brokers: str, topic: str, rng: random.Random, seconds: float) -> int:
    """Put events that the topic has into it again, in a random order, for so long; how many.

    Each goes to its partition with its key and headers, as if its producer had tried again without being idempotent.
    """
    async with _reader(brokers, topic) as consumer:
        seen = [record async for record in _all(consumer)]
    count, until = 0, asyncio.get_running_loop().time() + seconds
    async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all") as producer:
        while seen and asyncio.get_running_loop().time() < until:
            again = rng.choice(seen)
            await producer.send_and_wait(
                topic, again.value, again.key, again.partition, headers=list(again.headers or ())
            )
            count += 1
            await asyncio.sleep(rng.uniform(*_PAUSE_S))
    return count


@asynccontextmanager
async def _reader(brokers: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Without a group: it has every partition, from the beginning on."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _all(consumer: AIOKafkaConsumer) -> AsyncIterator[ConsumerRecord]:
    """To where the topic ended when this began."""
    ends = await consumer.end_offsets(consumer.assignment())
    left = {each for each, end in ends.items() if end > await consumer.position(each)}
    while left:
        for records in (await consumer.getmany(*left, timeout_ms=_POLL_MS)).values():
            for record in records:
                yield record
        left = {each for each in left if await consumer.position(each) < ends[each]}
