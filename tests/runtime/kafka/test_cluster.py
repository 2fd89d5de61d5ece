"""Several processes on one Kafka: they share a group, take over from each other, and lose nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from core.errors import InvalidInput, Unavailable
from core.events import AnyEvent
from runtime.kafka.client import prepare_topics
from runtime.kafka.topics import partition_of, topics_of
from runtime.kafka_settings import KafkaSettings
from tests.contracts.test_bus import dead_letters
from tests.runtime.kafka.world import Owners, Process, event, until

pytestmark = pytest.mark.slow
_names = itertools.count()

Start = Callable[..., Any]


@pytest.fixture
def settings(kafka_brokers: str, topic_prefix: str) -> KafkaSettings:
    return KafkaSettings(brokers=kafka_brokers, prefix=f"{topic_prefix}{next(_names)}.", partitions=8, drain_s=1.0)


@pytest.fixture
async def start(settings: KafkaSettings) -> AsyncIterator[Start]:
    """Start a process; all are closed in the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def started(**options: Any) -> Process:
            process = Process(settings, **options)
            stack.push_async_callback(process.bus.close)
            await process.bus.start()
            return process

        yield started


async def test_two_processes_of_a_group_share_its_events(start: Start) -> None:
    first, second = await start(), await start()
    numbers = range(400)
    await asyncio.gather(
        *(first.send(*(event(n, f"req_{k}", f"region {k}") for n in numbers if n % 40 == k)) for k in range(40))
    )
    await until(lambda: len({*first.heard, *second.heard}) == 400)
    await until(lambda: first.figures.waiting == second.figures.waiting == 0)
    for process in (first, second):
        for key in range(40):
            mine = [int(each[1:]) for each in process.heard if int(each[1:]) % 40 == key]
            assert mine == sorted(mine)


async def test_what_is_published_while_nobody_runs_a_group_waits_for_it(start: Start) -> None:
    first = await start()
    await first.send(event(1))
    await until(lambda: first.heard == ["e1"])
    await first.bus.close()
    other = await start(group="other")
    await other.send(event(2))
    later = await start()
    await until(lambda: later.heard == ["e2"])


async def test_who_comes_takes_over_partitions_and_who_goes_gives_them_back(start: Start) -> None:
    owners = Owners()
    first = await start(owner=owners.of("first", leave_s=0.2))
    await until(lambda: owners.sizes() == [8])
    second = await start(owner=owners.of("second"))
    await until(lambda: owners.sizes() == [4, 4])
    assert owners.overlaps == []
    kept = set(owners.owned["first"])
    assert {each for name, each in owners.revoked if name == "first"} == set(range(8)) - kept
    await second.bus.close()
    await until(lambda: owners.owned["first"] == set(range(8)))
    assert owners.overlaps == []
    assert first.ownership is not None
    assert set(first.ownership.owned) == set(range(8))


async def test_partitions_that_stay_are_never_given_up_when_many_come_and_go(start: Start) -> None:
    owners = Owners()
    first = await start(owner=owners.of("first", leave_s=0.05))
    others = [await start(owner=owners.of(f"other{n}", leave_s=0.05)) for n in range(3)]
    await until(lambda: owners.sizes() == [2, 2, 2, 2])
    stayed = set(owners.owned["first"])
    for other in others:
        await other.bus.close()
    await until(lambda: len(owners.owned["first"]) == 8)
    assert owners.overlaps == []
    assert not stayed & {each for name, each in owners.revoked if name == "first"}
    await first.send(*(event(n, f"req_{n}", f"region {n}") for n in range(20)))
    await until(lambda: len(first.heard) == 20)


async def test_nothing_is_lost_and_rides_keep_their_order_while_processes_come_and_go(start: Start) -> None:
    owners, order, keys, count = Owners(), list[str](), 30, 900

    async def note(each: AnyEvent) -> None:
        await asyncio.sleep(0.002)
        order.append(each.id)

    async def one(number: int) -> Process:
        process: Process = await start(owner=owners.of(f"p{number}", leave_s=0.02))
        process.before = note
        return process

    async def sends(sender: Process, key: int) -> None:
        for number in range(key, count, keys):
            await sender.send(event(number, f"req_{key}", f"region {key}"))
            await asyncio.sleep(0.3)

    stays = await one(0)
    sending = [asyncio.create_task(sends(stays, key)) for key in range(keys)]
    for number in range(1, 5):
        passing = [await one(2 * number), await one(2 * number + 1)]
        await asyncio.sleep(1)
        await asyncio.gather(*(process.bus.close() for process in passing))
    await asyncio.gather(*sending)
    await until(lambda: len(set(order)) == count)
    for key in range(keys):
        mine = [int(each[1:]) for each in dict.fromkeys(order) if int(each[1:]) % keys == key]
        assert mine == sorted(mine)
    assert owners.overlaps == []


async def test_a_killed_process_loses_its_partitions_to_the_others(start: Start, settings: KafkaSettings) -> None:
    owners = Owners()
    first = await start(owner=owners.of("first"))
    await until(lambda: owners.sizes() == [8])
    command = (sys.executable, "-m", "tests.runtime.kafka.member", settings.brokers, settings.prefix)
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert child.stdout is not None
        theirs = {int(each) for each in (await child.stdout.readline()).split()}
        assert len(theirs) == 4
        assert owners.owned["first"] == set(range(8)) - theirs
        child.kill()
        orphan = next(n for n in itertools.count() if partition_of(f"region {n}", 8) in theirs)
        await first.send(event(1, "req_1", f"region {orphan}"))
        await until(lambda: owners.owned["first"] == set(range(8)))
        await until(lambda: first.heard == ["e1"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def test_repeated_and_reordered_deliveries_are_handled_once_each(start: Start, settings: KafkaSettings) -> None:
    process = await start()
    producer = AIOKafkaProducer(bootstrap_servers=settings.brokers)
    await producer.start()
    try:
        for number in (1, 2, 1, 3, 2, 1, 4, 3):
            each = event(number)
            where = partition_of(each.region, settings.partitions)
            topic = topics_of(settings).rides.name
            await producer.send_and_wait(topic, msgspec.json.encode(each), each.key.encode(), where)
    finally:
        await producer.stop()
    await until(lambda: process.figures.handled + process.figures.repeated == 8)
    assert process.heard == ["e1", "e2", "e3", "e4"]


async def test_a_message_that_is_no_event_becomes_a_dead_letter(start: Start, settings: KafkaSettings) -> None:
    process = await start()
    producer = AIOKafkaProducer(bootstrap_servers=settings.brokers)
    await producer.start()
    try:
        await producer.send_and_wait(topics_of(settings).rides.name, b'{"type":"Nothing"}', b"req_1", 3)
    finally:
        await producer.stop()
    await process.send(event(1))
    await until(lambda: process.figures.dead == 1)
    await until(lambda: process.heard == ["e1"])
    (letter,) = await dead_letters(settings)
    assert (letter.group, letter.key, letter.event) == ("group", "req_1", '{"type":"Nothing"}')
    assert (letter.partition, letter.offset, letter.tries) == (3, 0, 1)


async def test_a_dead_letter_says_what_failed_and_how_often_it_was_tried(start: Start, settings: KafkaSettings) -> None:
    async def never(_event: AnyEvent) -> None:
        raise ValueError("never")

    process = await start()
    process.before = never
    await process.send(event(7))
    await until(lambda: process.figures.dead == 1)
    (letter,) = await dead_letters(settings)
    assert (letter.error, letter.tries, letter.topic) == ("ValueError('never')", 3, topics_of(settings).rides.name)
    assert msgspec.json.decode(letter.event, type=AnyEvent).id == "e7"


async def test_no_more_is_read_than_a_group_may_have_in_hand(start: Start, settings: KafkaSettings) -> None:
    opened = asyncio.Event()

    async def waits(_event: AnyEvent) -> None:
        await opened.wait()

    sender = await start(group="sender")
    await sender.send(*(event(n, f"req_{n}") for n in range(400)))
    process = await start()
    process.before = waits
    await until(lambda: process.figures.waiting == 400 and process.figures.in_hand > 0)
    await asyncio.sleep(0.5)  # long enough to read all 400, if nothing held the reader back
    assert process.figures.in_hand < settings.group_window + settings.fetch_records
    assert process.figures.oldest_s > 0
    opened.set()
    await until(lambda: len(process.heard) == 400)
    await until(lambda: process.figures.waiting == 0)


async def test_topics_of_another_number_of_partitions_are_refused(start: Start, settings: KafkaSettings) -> None:
    await start()
    other = Process(msgspec.structs.replace(settings, partitions=9))
    with pytest.raises(InvalidInput, match=r"rides has 8 partitions, the settings say 9"):
        await other.bus.start()
    await other.bus.close()


async def test_topics_that_the_brokers_cannot_keep_are_refused(settings: KafkaSettings) -> None:
    many = msgspec.structs.replace(settings, replication=5)
    with pytest.raises(InvalidInput, match="cannot be used"):
        await prepare_topics(many, topics_of(many))


async def test_an_event_that_is_too_large_is_refused_and_the_next_one_goes(start: Start) -> None:
    process = await start()
    with pytest.raises(InvalidInput, match="too large"):
        await process.send(event(1, "r" * 2_000_000))
    await process.send(event(2))
    await until(lambda: process.heard == ["e2"])


async def test_a_bus_that_is_closed_takes_nothing(start: Start) -> None:
    process = await start()
    await process.bus.close()
    with pytest.raises(Unavailable):
        await process.send(event(1))
