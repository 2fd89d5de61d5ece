"""The bus, in memory and on Kafka: what left with a commit reaches every group, in order per ride, at least once."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, TopicPartition

from core.bus import Bus, Handler
from core.errors import Unavailable
from core.events import AnyEvent, Event, TripAssigned, TripCompleted
from runtime.bus import MemoryBus
from runtime.clocks import ManualClock
from runtime.kafka.bus import KafkaBus
from runtime.kafka.handling import DeadLetter
from runtime.kafka.topics import topics_of
from runtime.kafka_settings import KafkaSettings
from runtime.lease import Lease
from runtime.outbox import Relay
from runtime.settings import RuntimeSettings
from runtime.sql import Database, outbox

SETTINGS = RuntimeSettings(relay_retry_s=0.001, relay_max_retry_s=0.002, relay_max_attempts=3, relay_mark_s=0.001)
ENOUGH_S = 60.0  # for a group of a loaded machine to form


class World:
    """A bus and the outbox that feeds it; `another_life` is the same bus after everything in memory is gone."""

    def __init__(self, store: Database, clock: ManualClock, make: Callable[[], Bus]) -> None:
        self.store = store
        self.clock = clock
        self.make = make
        self.bus = make()
        self.relay: Relay | None = None

    def hears(self, group: str, handler: Handler, *types: type[Event]) -> None:
        self.bus.subscribe(group, types or [Event], handler)

    async def start(self, groups: Collection[str] | None = None) -> None:
        await self.bus.start(groups)
        self.relay = Relay(Lease(self.store, "relay", "the test"), self.bus, self.clock, SETTINGS, random.Random(1))
        self.relay.start()

    async def publish(self, *events: Event) -> None:
        async with self.store.transaction() as tx:
            tx.publish(*events)

    async def another_life(self) -> None:
        await self.close()
        self.bus = self.make()

    async def close(self) -> None:
        if self.relay is not None:
            await self.relay.close()
        await self.bus.close()

    async def set_aside(self) -> list[tuple[str, str]]:
        """Which events were given up by whom."""
        async with self.store.reading() as connection:
            query = sa.select(outbox.c.event_id, outbox.c.gave_up).where(outbox.c.state == "dead")
            return [(row.event_id, row.gave_up) for row in await connection.execute(query)]


class KafkaWorld(World):
    """The same on a prefix of its own."""

    def __init__(self, store: Database, clock: ManualClock, settings: KafkaSettings) -> None:
        self.settings = settings
        super().__init__(store, clock, lambda: KafkaBus(settings, SETTINGS, clock, random.Random(1)))

    async def set_aside(self) -> list[tuple[str, str]]:
        assert await super().set_aside() == []  # the outbox gave it to Kafka, whole
        return [(msgspec.json.decode(letter.event)["id"], letter.group) for letter in await dead_letters(self.settings)]


async def dead_letters(settings: KafkaSettings) -> list[DeadLetter]:
    tp = TopicPartition(topics_of(settings).dead.name, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.brokers, auto_offset_reset="earliest")
    consumer.assign([tp])
    await consumer.start()
    try:
        end = (await consumer.end_offsets([tp]))[tp]
        letters: list[DeadLetter] = []
        async with asyncio.timeout(ENOUGH_S):
            while len(letters) < end:
                letters.append(msgspec.json.decode((await consumer.getone()).value, type=DeadLetter))
        return letters
    finally:
        await consumer.stop()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.slow)])
async def world(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[World]:
    store = Database(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}")
    await store.create_all()
    world: World
    if request.param == "kafka":
        prefix = f"{request.getfixturevalue('topic_prefix')}{re.sub(r'[^a-z]+', '-', request.node.name)}."
        brokers = request.getfixturevalue("kafka_brokers")
        world = KafkaWorld(store, clock, KafkaSettings(brokers=brokers, prefix=prefix, partitions=4, drain_s=1.0))
    else:
        world = World(store, clock, MemoryBus)
    yield world
    await world.close()
    await store.close()


def assigned(number: int, key: str = "req_1") -> TripAssigned:
    return TripAssigned(
        id=f"e{number}", at=number, trip_id="t", request_id=key, region=f"of-{key}", rider_id="r", driver_id="d"
    )


def completed(number: int, key: str = "req_1") -> TripCompleted:
    return TripCompleted(
        id=f"e{number}", at=number, trip_id="t", request_id=key, region=f"of-{key}", rider_id="r", driver_id="d"
    )


class Heard(list[str]):
    """A handler that remembers the events' ids; `before` may make it wait or fail."""

    def __init__(self, before: Handler | None = None) -> None:
        super().__init__()
        self._before = before

    async def __call__(self, event: AnyEvent) -> None:
        if self._before is not None:
            await self._before(event)
        self.append(event.id)


class Told:
    """An owner that remembers what it was told."""

    def __init__(self) -> None:
        self.owned: set[int] = set()
        self.says: list[str] = []

    async def assigned(self, partitions: Collection[int]) -> None:
        assert not self.owned & set(partitions)
        self.owned |= set(partitions)
        self.says.append("assigned")

    async def revoked(self, partitions: Collection[int]) -> None:
        assert self.owned >= set(partitions)
        self.owned -= set(partitions)
        self.says.append("revoked")


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(ENOUGH_S):
        while not true():
            await asyncio.sleep(0.005)


async def until_set_aside(world: World, count: int) -> Sequence[tuple[str, str]]:
    async with asyncio.timeout(ENOUGH_S):
        while len(found := await world.set_aside()) < count:
            await asyncio.sleep(0.02)
        return found


async def test_events_of_a_ride_come_in_order_and_rides_side_by_side(world: World) -> None:
    now, most = 0, 0

    async def yields(_event: AnyEvent) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    heard = Heard(yields)
    world.hears("test", heard)
    for number in range(60):
        await world.publish(assigned(number, key=f"req_{number % 3}"))
    await world.start()
    await until(lambda: len(heard) == 60)
    for key in range(3):
        assert [each for each in heard if int(each[1:]) % 3 == key] == [f"e{number}" for number in range(key, 60, 3)]
    assert most > 1


async def test_each_group_hears_every_event_that_it_wants(world: World) -> None:
    every, ends = Heard(), Heard()
    world.hears("every", every)
    world.hears("ends", ends, TripCompleted)
    await world.start()
    await world.publish(assigned(1), completed(2))
    await world.publish(assigned(3))
    await until(lambda: (len(every), len(ends)) == (3, 1))
    assert every == ["e1", "e2", "e3"]
    assert ends == ["e2"]


async def test_only_the_groups_that_a_process_is_to_run_hear_anything(world: World) -> None:
    here, elsewhere, owner = Heard(), Heard(), Told()
    world.hears("here", here)
    world.hears("elsewhere", elsewhere)
    world.bus.share("elsewhere", owner)
    await world.start(["here"])
    await world.publish(assigned(1))
    await until(lambda: len(here) == 1)
    assert (elsewhere, owner.says) == ([], [])


async def test_two_handlers_of_a_group_both_hear_an_event(world: World) -> None:
    first, second = Heard(), Heard()
    world.hears("test", first)
    world.hears("test", second, TripAssigned)
    await world.start()
    await world.publish(assigned(1), completed(2))
    await until(lambda: len(first) == 2)
    assert second == ["e1"]


async def test_a_stuck_group_does_not_hold_up_the_others(world: World) -> None:
    opened = asyncio.Event()

    async def waits(_event: AnyEvent) -> None:
        await opened.wait()

    stuck, quick = Heard(waits), Heard()
    world.hears("stuck", stuck)
    world.hears("quick", quick)
    await world.start()
    await world.publish(*(assigned(number, key=f"req_{number % 5}") for number in range(40)))
    await until(lambda: len(quick) == 40)
    assert stuck == []
    opened.set()
    await until(lambda: len(stuck) == 40)
    for key in range(5):
        assert [each for each in stuck if int(each[1:]) % 5 == key] == [f"e{number}" for number in range(key, 40, 5)]


async def test_a_failing_handler_is_tried_again_and_holds_back_its_own_ride_only(world: World) -> None:
    failures = iter([True, True, False])
    heard = Heard()

    async def fails(event: AnyEvent) -> None:
        if event.id == "e1" and next(failures):
            await until(lambda: "e3" in heard)
            raise RuntimeError("not now")

    heard._before = fails
    world.hears("test", heard)
    await world.start()
    await world.publish(assigned(1, "a"), assigned(2, "a"), assigned(3, "b"))
    await until(lambda: len(heard) == 3)
    assert heard == ["e3", "e1", "e2"]


async def test_what_is_unavailable_for_long_is_never_given_up(world: World) -> None:
    tries = 0

    async def busy(_event: AnyEvent) -> None:
        nonlocal tries
        tries += 1
        if tries < 10 * SETTINGS.relay_max_attempts:
            raise Unavailable("the route workers are busy")

    heard = Heard(busy)
    world.hears("test", heard)
    await world.start()
    await world.publish(assigned(1), assigned(2))
    await until(lambda: len(heard) == 2)
    assert heard == ["e1", "e2"]
    assert await world.set_aside() == []


@pytest.mark.parametrize("error", [RuntimeError("never"), asyncio.CancelledError()], ids=["error", "cancelled"])
async def test_what_never_succeeds_is_set_aside_and_its_ride_goes_on(world: World, error: BaseException) -> None:
    async def never(event: AnyEvent) -> None:
        if event.id == "e1":
            raise error

    bad, good = Heard(never), Heard()
    world.hears("bad", bad)
    world.hears("good", good)
    await world.start()
    await world.publish(assigned(1), assigned(2))
    assert await until_set_aside(world, 1) == [("e1", "bad")]
    await until(lambda: (len(bad), len(good)) == (1, 2))
    assert (bad, good) == (["e2"], ["e1", "e2"])


async def test_what_was_in_hand_when_a_process_ended_comes_again_to_the_next(world: World) -> None:
    stuck = Heard()

    async def forever(event: AnyEvent) -> None:
        if event.id == "e2":
            await asyncio.Event().wait()

    stuck._before = forever
    world.hears("test", stuck)
    await world.start()
    await world.publish(assigned(1, "a"), assigned(2, "b"), assigned(3, "b"), assigned(4, "c"))
    await until(lambda: len(stuck) == 2)
    await world.another_life()
    heard = Heard()
    world.hears("test", heard)
    await world.start()
    await until(lambda: {"e2", "e3"} <= set(heard))
    assert heard.index("e2") < heard.index("e3")
    assert set(heard) <= {"e1", "e2", "e3", "e4"}


async def test_an_owner_hears_when_it_owns_everything_and_when_nothing(world: World) -> None:
    owner = Told()
    world.hears("dispatch", Heard())
    ownership = world.bus.share("dispatch", owner)
    assert list(ownership.owned) == []
    await world.start()
    everything = set(range(world.bus.partitions))
    await until(lambda: owner.owned == everything)
    await until(lambda: ownership.in_doubt_since is None)
    assert set(ownership.owned) == everything
    await world.bus.close()
    assert (owner.owned, list(ownership.owned), owner.says) == (set(), [], ["assigned", "revoked"])


@pytest.mark.parametrize("error", [RuntimeError("a fault"), Unavailable("the store is away")], ids=["fault", "away"])
async def test_an_owner_that_fails_owns_all_the_same_and_events_go_on(world: World, error: Exception) -> None:
    class Fails:
        async def assigned(self, _partitions: Collection[int]) -> None:
            raise error

        async def revoked(self, _partitions: Collection[int]) -> None:
            raise error

    heard = Heard()
    world.hears("dispatch", heard)
    ownership = world.bus.share("dispatch", Fails())
    await world.start()
    await world.publish(assigned(1))
    await until(lambda: len(heard) == 1)
    await until(lambda: set(ownership.owned) == set(range(world.bus.partitions)))


async def test_who_waits_for_a_bus_hears_of_its_end(world: World) -> None:
    await world.start()
    watcher: asyncio.Task[Any] = asyncio.create_task(world.bus.wait())
    await asyncio.sleep(0)
    assert not watcher.done()
    await world.bus.close()
    await asyncio.wait_for(watcher, ENOUGH_S)
