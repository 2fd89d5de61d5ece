"""Kafka for tests that are not about Kafka: write a word to a topic, read all words of one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from runtime.services.model import Site


def write_one(site: Site, topic: str, word: str) -> None:
    """Make the topic and write the word, acknowledged by every copy there has to be."""
    with ThreadPoolExecutor(1) as pool:  # a test may run in a loop of its own
        pool.submit(asyncio.run, _write(site, topic, word)).result()


def read_all(site: Site, topic: str) -> list[str]:
    """The words of a topic, in their order."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _read(site.node.address, topic)).result()


async def _write(site: Site, topic: str, word: str) -> None:
    broker, copies = site.node.address, min(3, len(site.entry.nodes))
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=copies)])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, word.encode())
    finally:
        await producer.stop()


async def _read(broker: str, topic: str) -> list[str]:
    only = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([only])
        end = (await consumer.end_offsets([only]))[only]
        words: list[str] = []
        while len(words) < end:
            words.append((await consumer.getone()).value.decode())
        return words
    finally:
        await consumer.stop()
