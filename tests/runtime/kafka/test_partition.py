"""What happens to the messages of one partition until they may be committed; no broker is needed for that."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import msgspec
import pytest

from core.errors import Unavailable
from core.events import AnyEvent, Event, RideRequested, TripAssigned
from runtime.bus import Handlers
from runtime.clocks import ManualClock
from runtime.kafka.handling import DeadLetter, GroupOutlet
from runtime.kafka.partition import Handling, Partition
from tests.runtime.kafka.world import RETRIES, event


class World:
    """A partition whose handler and graveyard a test decides about."""

    def __init__(self, clock: ManualClock, *types: type[Event], lanes: int = 4, recent_ids: int = 100) -> None:
        handlers = Handlers("test")
        handlers.add(types or [Event], self._handle)
        self.outlet = GroupOutlet(handlers, lanes, recent_ids)
        self.heard: list[str] = []
        self.letters: list[DeadLetter] = []
        self.before: Callable[[AnyEvent], None] = lambda _event: None
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = 0
        self.failure: Exception = Unavailable("Kafka is away")
        handling = Handling(self.outlet, self._bury, "rides", clock, RETRIES, random.Random(1))
        self.ends = 0
        self.partition = Partition(5, handling, self._ended)

    async def _handle(self, each: AnyEvent) -> None:
        await self.gate.wait()
        self.before(each)
        self.heard.append(each.id)

    async def _bury(self, letter: DeadLetter) -> None:
        if self.away:
            self.away -= 1
            raise self.failure
        self.letters.append(letter)

    def _ended(self) -> None:
        self.ends += 1

    def take(self, offset: int, each: Event | bytes) -> None:
        value = each if isinstance(each, bytes) else msgspec.json.encode(each)
        self.partition.take(offset, b"req_1", value)

    @property
    def committable(self) -> int | None:
        return self.partition.offsets.committable


@pytest.fixture
async def world(clock: ManualClock) -> World:
    return World(clock)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


async def test_what_is_handled_may_be_committed_from_the_first_offset_on(world: World) -> None:
    world.take(0, event(1))
    world.take(1, event(2))
    assert world.committable == 0
    await until(lambda: world.committable == 2)
    assert (world.heard, world.ends) == (["e1", "e2"], 2)


async def test_a_stuck_ride_holds_the_commit_back_but_not_other_rides(world: World) -> None:
    def wait(each: AnyEvent) -> None:
        if each.id == "e1" and world.heard != ["e3"]:
            raise Unavailable("not yet")

    world.before = wait
    world.take(10, event(1, "a"))
    world.take(11, event(2, "a"))
    world.take(12, event(3, "b"))
    await until(lambda: world.heard[:1] == ["e3"])
    assert world.committable == 10
    await until(lambda: world.committable == 13)
    assert world.heard == ["e3", "e1", "e2"]


async def test_what_no_handler_wants_is_handled_at_once(clock: ManualClock) -> None:
    world = World(clock, RideRequested)
    world.take(3, event(1))
    assert (world.committable, world.heard) == (4, [])


async def test_an_event_that_was_handled_lately_is_passed_over(world: World) -> None:
    for offset, number in enumerate((1, 2, 1, 1)):
        world.take(offset, event(number))
    await until(lambda: world.committable == 4)
    assert (world.heard, world.outlet.handled, world.outlet.repeated) == (["e1", "e2"], 2, 2)


async def test_what_is_remembered_is_bounded_so_an_old_event_may_come_again(clock: ManualClock) -> None:
    world = World(clock, recent_ids=1)
    for offset, number in enumerate((1, 2, 1)):
        world.take(offset, event(number))
    await until(lambda: world.committable == 3)
    assert world.heard == ["e1", "e2", "e1"]


async def test_a_dead_letter_holds_the_commit_back_until_it_is_safe(world: World, clock: ManualClock) -> None:
    def never(each: AnyEvent) -> None:
        if each.id == "e1":
            raise ValueError(f"at {len(world.heard)}")

    world.before, world.away = never, 3
    world.take(7, event(1))
    world.take(8, event(2))
    await until(lambda: world.heard == ["e2"])
    await until(lambda: world.committable == 9)
    (letter,) = world.letters
    assert msgspec.json.decode(letter.event, type=AnyEvent).id == "e1"
    assert (letter.error, letter.tries, letter.at) == ("ValueError('at 0')", RETRIES.relay_max_attempts, clock.now())
    assert (letter.group, letter.topic, letter.partition, letter.offset) == ("test", "rides", 5, 7)
    assert world.outlet.dead == 1


@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b'{"type":"Nothing"}', b'{"type":"TripAssigned"}'])
async def test_a_message_that_is_no_event_is_a_dead_letter_and_the_next_is_handled(world: World, value: bytes) -> None:
    world.take(0, value)
    world.take(1, event(1))
    await until(lambda: world.committable == 2)
    assert world.heard == ["e1"]
    assert [letter.offset for letter in world.letters] == [0]


async def test_a_letter_that_kafka_would_not_take_whole_is_cut_so_that_the_partition_goes_on(world: World) -> None:
    most = RETRIES.dead_letter_chars
    world.take(0, b"x" * (most + 7))
    world.take(1, event(1))
    await until(lambda: world.committable == 2)
    (letter,) = world.letters
    assert letter.event == "x" * most
    assert letter.cut == 7


async def test_a_burial_that_fails_in_an_unknown_way_is_tried_again(world: World) -> None:
    world.away, world.failure = 3, ValueError("nobody thought of it")
    world.take(0, b"nothing")
    await until(lambda: world.committable == 1)
    assert len(world.letters) == 1


async def test_draining_finishes_what_is_in_hand(world: World) -> None:
    world.gate.clear()
    world.take(0, event(1))
    draining = asyncio.create_task(world.partition.drain(10))
    await asyncio.sleep(0.01)
    assert not draining.done()
    world.gate.set()
    await asyncio.wait_for(draining, 10)
    assert (world.heard, world.committable) == (["e1"], 1)


async def test_draining_breaks_off_what_does_not_end_and_does_not_call_it_handled(world: World) -> None:
    world.gate.clear()
    world.take(0, event(1, "a"))
    world.take(1, event(2, "a"))
    await world.partition.drain(0.01)
    world.gate.set()
    await asyncio.sleep(0.01)
    assert (world.heard, world.committable, world.letters) == ([], 0, [])


async def test_draining_breaks_off_a_burial_too(world: World) -> None:
    world.away = 1_000_000
    world.take(0, b"nothing")
    await world.partition.drain(0.05)
    assert (world.committable, world.letters) == (0, [])


async def test_a_group_handles_no_more_rides_at_once_than_it_has_lanes_over_all_partitions(clock: ManualClock) -> None:
    now, most = 0, 0

    async def count(_event: AnyEvent) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    handlers = Handlers("test")
    handlers.add([TripAssigned], count)
    outlet = GroupOutlet(handlers, 3, 100)

    async def nothing_dies(_letter: DeadLetter) -> None:
        raise AssertionError

    handling = Handling(outlet, nothing_dies, "rides", clock, RETRIES, random.Random(1))
    partitions = [Partition(number, handling, lambda: None) for number in range(4)]
    for number in range(40):
        each = event(number, f"req_{number}")
        partitions[number % 4].take(number // 4, b"", msgspec.json.encode(each))
    await until(lambda: outlet.handled == 40)
    assert most == 3
