"""What a process has in hand between two rebalances: nothing that was not taken may ever count as handled."""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple

import msgspec
import pytest
from aiokafka.errors import KafkaError

from core.events import AnyEvent, Event
from runtime.bus import Handlers
from runtime.clocks import ManualClock
from runtime.kafka.assigned import Assigned
from runtime.kafka.handling import DeadLetter, GroupOutlet
from runtime.kafka.partition import Handling
from tests.runtime.kafka.world import RETRIES, event


class Record(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None


def records(*numbers: int) -> list[Record]:
    return [Record(number, b"k", msgspec.json.encode(event(number, f"req_{number}"))) for number in numbers]


class World:
    def __init__(self, clock: ManualClock) -> None:
        handlers = Handlers("test")
        handlers.add([Event], self._handle)
        self.gate = asyncio.Event()
        handling = Handling(GroupOutlet(handlers, 8, 100), self._bury, "rides", clock, RETRIES, random.Random(1))
        self.assigned = Assigned(handling, window=3)

    async def _handle(self, _event: AnyEvent) -> None:
        await self.gate.wait()

    async def _bury(self, _letter: DeadLetter) -> None: ...


@pytest.fixture
async def world(clock: ManualClock) -> World:
    return World(clock)


async def test_what_comes_before_a_partition_is_ours_is_not_taken(world: World) -> None:
    assert not world.assigned.take(1, records(0, 1))
    world.assigned.begin([1])
    assert world.assigned.take(1, records(0, 1))
    assert not world.assigned.take(2, records(0))
    assert world.assigned.in_hand == 2


async def test_while_draining_nothing_is_taken_and_what_is_handled_may_be_noted(world: World) -> None:
    world.assigned.begin([1])
    world.assigned.take(1, records(4, 5))
    draining = asyncio.create_task(world.assigned.drain(10))
    await asyncio.sleep(0)
    assert not world.assigned.take(1, records(6))
    world.gate.set()
    await draining
    assert world.assigned.to_note() == {1: 6}
    world.assigned.noted({1: 6})
    assert world.assigned.to_note() == {}
    await world.assigned.end()
    assert (world.assigned.in_hand, world.assigned.to_note(), world.assigned.handled(1)) == (0, {}, None)


async def test_a_partition_with_its_window_in_hand_is_full_until_something_is_handled(world: World) -> None:
    world.assigned.begin([1, 2])
    world.assigned.take(1, records(0, 1, 2))
    world.assigned.take(2, records(7))
    assert world.assigned.full == {1}
    assert world.assigned.oldest_at is not None
    world.assigned.changed.clear()
    world.gate.set()
    await asyncio.wait_for(world.assigned.changed.wait(), 10)
    await world.assigned.drain(10)
    assert (world.assigned.full, world.assigned.oldest_at) == (set(), None)
    assert world.assigned.to_note() == {1: 3, 2: 8}


async def test_a_partition_that_goes_back_is_an_error(world: World) -> None:
    world.assigned.begin([1])
    world.assigned.take(1, records(5))
    with pytest.raises(KafkaError, match="goes back"):
        world.assigned.take(1, records(3))
    await world.assigned.end()


async def test_a_message_without_a_body_is_given_up(world: World) -> None:
    world.assigned.begin([1])
    world.assigned.take(1, [Record(0, None, None)])
    await world.assigned.drain(10)
    assert world.assigned.to_note() == {1: 1}
