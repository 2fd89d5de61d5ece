"""Reading the rides' topic of a real Kafka past the engine, and delivering what it has again."""

from __future__ import annotations

import json
import random

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import ConsumerRecord

from tests.simulation.topic import deliver_again, event_ids

pytestmark = pytest.mark.slow

EVENTS = [f"event-{number}" for number in range(40)]


@pytest.fixture
async def topic(kafka_brokers: str, topic_prefix: str) -> str:
    name = f"{topic_prefix}rides"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_brokers)
    await admin.start()
    await admin.create_topics([NewTopic(name, num_partitions=4, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka_brokers) as producer:
        for number, event_id in enumerate(EVENTS):
            value, key = json.dumps({"id": event_id}).encode(), f"key-{number % 5}".encode()
            await producer.send_and_wait(name, value, key, headers=[("type", b"Event")])
    return name


async def test_every_event_of_a_topic_is_read(kafka_brokers: str, topic: str) -> None:
    assert await event_ids(kafka_brokers, topic) == set(EVENTS)


async def test_what_is_delivered_again_is_what_was_there(kafka_brokers: str, topic: str) -> None:
    again = await deliver_again(kafka_brokers, topic, random.Random(1), 1.0)
    assert again > 0
    assert await event_ids(kafka_brokers, topic) == set(EVENTS)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka_brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        records: list[ConsumerRecord] = []
        while len(records) < len(EVENTS) + again:
            for batch in (await consumer.getmany(timeout_ms=1_000)).values():
                records += batch
    finally:
        await consumer.stop()
    assert len({(record.key, record.value, record.headers, record.partition) for record in records}) == len(EVENTS)
