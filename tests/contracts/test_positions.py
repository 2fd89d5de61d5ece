"""Every PositionStream, in memory and on Kafka: the latest position of who is in the supply, and losses are counted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from core.events import DriverMoved
from location.adapters.kafka import KafkaPositions
from location.adapters.memory import MemoryPositions
from location.model import BUSY, ONLINE, SupplyChange, SupplyRow
from location.ports import PositionStream
from runtime.kafka.topics import partition_of, topics_of
from runtime.kafka_settings import KafkaSettings

ENOUGH_S = 60.0
WINDOW = 2_000


class Kind(Protocol):
    stream: PositionStream

    async def arrived(self, count: int) -> dict[str, tuple[float, float]]:
        """Latitude and time by driver, once so many drivers are there."""
        ...


class InMemory:
    def __init__(self) -> None:
        self.memory = MemoryPositions(WINDOW)
        self.stream: PositionStream = self.memory

    async def arrived(self, count: int) -> dict[str, tuple[float, float]]:
        rows = {driver: change.row for driver, change in self.memory.latest.items()}
        assert len(rows) == count
        return {driver: (row.lat, row.seen_at) for driver, row in rows.items() if row is not None}


class OnKafka:
    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self.positions = KafkaPositions(settings)
        self.stream: PositionStream = self.positions

    async def messages(self, drivers: int) -> list[tuple[int, DriverMoved]]:
        topic = topics_of(self.settings).locations
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.brokers, auto_offset_reset="earliest")
        consumer.assign([TopicPartition(topic.name, number) for number in range(topic.partitions)])
        await consumer.start()
        try:
            found: list[tuple[int, DriverMoved]] = []
            async with asyncio.timeout(ENOUGH_S):
                while len({moved.driver_id for _, moved in found}) < drivers:
                    message = await consumer.getone()
                    moved = msgspec.msgpack.decode(message.value, type=DriverMoved)
                    assert message.key == moved.driver_id.encode()
                    found.append((message.partition, moved))
            return found
        finally:
            await consumer.stop()

    async def arrived(self, count: int) -> dict[str, tuple[float, float]]:
        return {moved.driver_id: (moved.lat, moved.at) for _, moved in await self.messages(count)}


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.slow)])
async def kind(request: pytest.FixtureRequest) -> AsyncIterator[Kind]:
    if request.param == "memory":
        yield InMemory()
        return
    prefix = f"{request.getfixturevalue('topic_prefix')}{request.node.originalname[5:40]}."
    brokers = request.getfixturevalue("kafka_brokers")
    kafka = OnKafka(
        KafkaSettings(
            brokers=brokers, prefix=prefix, location_partitions=4, positions_every_s=0.1, positions_window=WINDOW
        )
    )
    await kafka.positions.start()
    yield kafka
    await kafka.positions.close()


def moved(number: int, lat: float = 57.7, seen_at: float = 100.0) -> SupplyChange:
    row = SupplyRow(lat, 11.97, math.nan, 8.5, seen_at, 42.0, ONLINE | (BUSY if number % 2 else 0), b"standard")
    return SupplyChange(f"drv_{number}", 0x881F25A5B7FFFFF, 0, row, 1)


def left(number: int) -> SupplyChange:
    return SupplyChange(f"drv_{number}", 0, 0x881F25A5B7FFFFF, None, 1)


async def until_counted(stream: PositionStream, count: int) -> None:
    async with asyncio.timeout(ENOUGH_S):
        while sum(stream.counts().values()) < count:
            await asyncio.sleep(0.01)


async def test_positions_arrive_and_are_counted(kind: Kind) -> None:
    kind.stream.offer([moved(number, lat=57.0 + number / 10_000) for number in range(1_500)])
    assert await kind.arrived(1_500) == {f"drv_{n}": (57.0 + n / 10_000, 100.0) for n in range(1_500)}
    await until_counted(kind.stream, 1_500)
    assert kind.stream.counts()["sent"] == 1_500


async def test_the_latest_position_of_a_driver_is_there_in_the_end(kind: Kind) -> None:
    for tick in range(5):
        kind.stream.offer([moved(1, lat=57.0 + tick, seen_at=100.0 + tick)])
    assert await kind.arrived(1) == {"drv_1": (61.0, 104.0)}


async def test_who_has_left_the_supply_is_nowhere(kind: Kind) -> None:
    kind.stream.offer([moved(1), left(2)])
    assert set(await kind.arrived(1)) == {"drv_1"}


async def test_what_is_too_much_is_dropped_and_counted(kind: Kind) -> None:
    kind.stream.offer([moved(number) for number in range(WINDOW + 7)])
    kind.stream.offer([moved(3, lat=58.0)])  # who waits already needs no room
    assert kind.stream.counts()["queue_full"] == 7
    assert (await kind.arrived(WINDOW))["drv_3"] == (58.0, 100.0)


@pytest.mark.slow
async def test_on_kafka_a_driver_keeps_to_one_partition_and_says_what_is_known(
    kafka_brokers: str, topic_prefix: str
) -> None:
    kafka = OnKafka(
        KafkaSettings(
            brokers=kafka_brokers, prefix=f"{topic_prefix}one.", location_partitions=4, positions_every_s=0.05
        )
    )
    await kafka.positions.start()
    for tick in range(3):
        kafka.stream.offer([moved(number, seen_at=100.0 + tick) for number in range(20)])
        await until_counted(kafka.stream, 20 * tick + 20)
    found = await kafka.messages(20)
    await kafka.positions.close()
    assert {partition_of(each.driver_id, 4) for _, each in found} == {0, 1, 2, 3}
    assert all(partition == partition_of(each.driver_id, 4) for partition, each in found)
    expected = DriverMoved("drv_1", 100.0, 57.7, 11.97, None, 8.5, True, 0x881F25A5B7FFFFF)
    assert next(each for _, each in found if each.driver_id == "drv_1") == expected


async def test_without_kafka_positions_are_dropped_and_counted_and_nobody_waits() -> None:
    nowhere = KafkaSettings(brokers="127.0.0.1:1", positions_every_s=0.02, positions_window=50)
    positions = KafkaPositions(nowhere)
    await positions.start()
    for tick in range(1, 4):
        positions.offer([moved(number) for number in range(60)])
        await until_counted(positions, 60 * tick)
    await positions.close()
    assert positions.counts() == {"sent": 0, "queue_full": 30, "unavailable": 150}
