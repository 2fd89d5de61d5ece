"""Kafka goes away and comes back: nothing is lost, nobody has to help, and whoever owned something still does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from core.errors import InvalidInput, Unavailable
from runtime.clocks import SystemClock
from runtime.kafka_settings import KafkaSettings
from runtime.lease import Lease
from runtime.outbox import Relay
from runtime.services.manager import Services
from runtime.sql import Database
from tests.runtime.kafka.world import RETRIES, Owners, Process, event, until
from tests.servers.running import skip_or_fail

pytestmark = pytest.mark.slow

PATIENT = KafkaSettings(
    partitions=8, drain_s=1.0, delivery_s=1.0, request_timeout_s=4.0, session_s=6.0, watch_s=0.2, retry_backoff_s=0.1
)


class Broker:
    """One broker that a test may kill and stop."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def start(self) -> None:
        """Start it, or start it again on its data and its port."""
        try:
            await asyncio.to_thread(self._services.up, ["kafka"])
        except Unavailable as error:
            if error.code != "not_installed":
                raise
            skip_or_fail(error.detail)

    @property
    def address(self) -> str:
        return self._services.url("kafka")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._services.sites("kafka")[0].node.pid, number)


@pytest.fixture
async def broker(new_servers: Callable[[], Services]) -> Broker:
    broker = Broker(new_servers())
    await broker.start()
    return broker


@pytest.fixture
def settings(broker: Broker) -> KafkaSettings:
    return msgspec.structs.replace(PATIENT, brokers=broker.address)


@contextlib.asynccontextmanager
async def running(process: Process) -> AsyncIterator[Process]:
    await process.bus.start()
    try:
        yield process
    finally:
        await process.bus.close()


async def test_the_outbox_grows_while_a_broker_is_dead_and_drains_when_it_is_back(
    broker: Broker, settings: KafkaSettings, tmp_path: Path
) -> None:
    store = Database(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}")
    await store.create_all()
    owners = Owners()
    process = Process(settings, owner=owners.of("only"))
    ownership = process.ownership
    assert ownership is not None

    async def book(numbers: range) -> None:
        async with store.transaction() as tx:
            tx.publish(*(event(n, f"req_{n % 7}", f"region {n % 7}") for n in numbers))

    async with running(process):
        relay = Relay(Lease(store, "relay", "the test"), process.bus, SystemClock(), RETRIES, random.Random(1))
        relay.start()
        await book(range(100))
        await until(lambda: len(process.heard) == 100 and ownership.in_doubt_since is None)
        for life in (1, 2):
            broker.signal(signal.SIGKILL)
            await until(lambda: ownership.in_doubt_since is not None)
            await book(range(100 * life, 100 * life + 100))
            await asyncio.sleep(2)
            assert (await relay.backlog()).waiting == 100
            assert set(ownership.owned) == owners.owned["only"] == set(range(8))
            await broker.start()
            await until(lambda: len(set(process.heard)) == 100 * life + 100)  # noqa: B023
            await until(lambda: ownership.in_doubt_since is None)
        await asyncio.wait_for(relay.drained(), 60)
        assert owners.revoked == []
        for key in range(7):
            mine = [int(each[1:]) for each in dict.fromkeys(process.heard) if int(each[1:]) % 7 == key]
            assert mine == sorted(mine)
        await relay.close()
    await store.close()


async def test_a_broker_that_hangs_is_waited_for(broker: Broker, settings: KafkaSettings) -> None:
    process = Process(settings)
    async with running(process):
        await process.send(event(1))
        await until(lambda: process.heard == ["e1"])
        broker.signal(signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable):
                await process.send(event(2))
        finally:
            broker.signal(signal.SIGCONT)

        async def sent() -> None:
            while True:
                with contextlib.suppress(Unavailable):
                    return await process.send(event(2))

        await asyncio.wait_for(sent(), 60)
        await until(lambda: set(process.heard) == {"e1", "e2"})
        assert process.heard.count("e2") == 1


async def test_an_engine_starts_without_kafka_and_serves_alone_until_it_is_there(
    broker: Broker, settings: KafkaSettings
) -> None:
    broker.signal(signal.SIGKILL)
    owners = Owners()
    lonely = msgspec.structs.replace(settings, alone_after_s=0.5)
    first = Process(lonely, owner=owners.of("first"))
    second = Process(lonely, owner=owners.of("second"))
    async with running(first), running(second):
        assert first.ownership is not None
        assert list(first.ownership.owned) == []
        await until(lambda: owners.sizes() == [8, 8])  # no ride waits for Kafka; SQL decides between them
        assert first.ownership.in_doubt_since is not None
        with pytest.raises(Unavailable):
            await first.send(event(1))
        await broker.start()
        await until(lambda: owners.sizes() == [4, 4])
        await until(lambda: len(owners.owned["first"] | owners.owned["second"]) == 8)
        await first.send(event(2, region="a"), event(3, region="b"))
        await until(lambda: {"e2", "e3"} <= {*first.heard, *second.heard})


async def test_a_bus_can_be_closed_while_kafka_is_away(broker: Broker, settings: KafkaSettings) -> None:
    process = Process(settings, owner=Owners().of("only"))
    async with running(process):
        await process.send(event(1))
        broker.signal(signal.SIGKILL)
        with pytest.raises(Unavailable):
            await process.send(event(2))
    assert process.ownership is not None
    assert list(process.ownership.owned) == []


async def test_topics_that_do_not_fit_end_a_bus_that_was_started_without_kafka(
    broker: Broker, settings: KafkaSettings
) -> None:
    async with running(Process(settings)):
        pass
    broker.signal(signal.SIGKILL)
    other = Process(msgspec.structs.replace(settings, partitions=3))
    async with running(other):
        ended = asyncio.create_task(other.bus.wait())
        await broker.start()
        with pytest.raises(InvalidInput, match="partitions"):
            await asyncio.wait_for(ended, 60)
