"""Ownership follows the group, one move at a time, whatever Kafka and the owners do; no broker is needed for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from runtime.clocks import ManualClock
from runtime.kafka.regions import Regions
from runtime.kafka.topics import topics_of
from runtime.kafka_settings import KafkaSettings
from tests.runtime.kafka.world import Owners

SETTINGS = KafkaSettings(partitions=8, rebalance_s=0.05, alone_after_s=3_600.0)
TOPIC = topics_of(SETTINGS).rides


class FakeCluster:
    def partitions_for_topic(self, topic: str) -> set[int]:
        assert topic == TOPIC.name
        return set(range(8))


class FakeGroup:
    """The group coordinator of a broker: brings the members' frames to the leader and back, as bytes."""

    def __init__(self) -> None:
        self.members: dict[str, Regions] = {}
        self.rounds = 0

    def join(self, name: str, regions: Regions) -> None:
        async def rejoin() -> None:
            self.round()

        regions.rejoin = rejoin
        self.members[name] = regions

    def round(self) -> None:
        self.rounds += 1
        assert self.rounds < 50, "it does not come to rest"
        said = {
            name: ConsumerProtocolMemberMetadata.decode(regions.assignor.metadata({TOPIC.name}).encode())
            for name, regions in self.members.items()
        }
        leader = self.members[min(self.members)]
        given = leader.assignor.assign(FakeCluster(), said)
        for name, regions in self.members.items():
            regions.assignor.on_assignment(ConsumerProtocolMemberAssignment.decode(given[name].encode()))


class World:
    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.owners = Owners()
        self.group = FakeGroup()
        self.all: list[Regions] = []

    def comes(self, name: str, owner: Any = None, **settings: Any) -> Regions:
        chosen = msgspec.structs.replace(SETTINGS, **settings)
        regions = Regions(TOPIC, owner or self.owners.of(name), self.clock, chosen)
        regions.start()
        self.all.append(regions)
        self.group.join(name, regions)
        return regions


@pytest.fixture
async def world(clock: ManualClock) -> Any:
    world = World(clock)
    yield world
    for regions in world.all:
        await regions.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


async def test_the_first_one_owns_everything_and_the_second_half_once_it_is_given_up(world: World) -> None:
    first = world.comes("a")
    world.group.round()
    await until(lambda: set(first.owned) == set(range(8)))
    second = world.comes("b")
    world.group.round()
    assert list(second.owned) == []
    await until(lambda: len(second.owned) == 4)
    assert set(first.owned) | set(second.owned) == set(range(8))
    assert world.owners.overlaps == []
    assert world.owners.sizes() == [4, 4]


async def test_what_is_taken_away_before_the_owner_heard_of_it_goes_to_others_at_once(world: World) -> None:
    first = world.comes("a")
    world.group.round()
    second = world.comes("b")
    world.group.round()
    await until(lambda: len(first.owned) == len(second.owned) == 4)
    assert world.owners.revoked == []


async def test_an_owner_that_never_answers_holds_up_a_move_for_a_bounded_time(world: World) -> None:
    class Hangs:
        async def assigned(self, _partitions: Any) -> None: ...

        async def revoked(self, _partitions: Any) -> None:
            await asyncio.Event().wait()

    first = world.comes("a", owner=Hangs())
    world.group.round()
    await until(lambda: len(first.owned) == 8)
    second = world.comes("b")
    world.group.round()
    await until(lambda: len(second.owned) == 4)


async def test_what_is_given_back_while_it_is_given_up_is_owned_again(world: World) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        def __init__(self) -> None:
            self.owned: set[int] = set()

        async def assigned(self, partitions: Any) -> None:
            self.owned |= set(partitions)

        async def revoked(self, partitions: Any) -> None:
            asked.set()
            await go_on.wait()
            self.owned -= set(partitions)

    slow = Slow()
    first = world.comes("a", owner=slow, rebalance_s=10.0)
    world.group.round()
    await until(lambda: len(slow.owned) == 8)
    world.comes("b")
    world.group.round()
    await asked.wait()
    del world.group.members["b"]  # it dies before it has got anything
    world.group.round()
    go_on.set()
    await until(lambda: slow.owned == set(range(8)))
    assert set(first.owned) == set(range(8))


async def test_who_was_thought_dead_gives_up_what_others_have_when_it_is_back(world: World) -> None:
    first, second = world.comes("a"), world.comes("b")
    world.group.round()
    await until(lambda: len(first.owned) + len(second.owned) == 8)
    del world.group.members["b"]
    world.group.round()
    await until(lambda: len(first.owned) == 8)
    world.group.join("b", second)
    world.group.round()
    await until(lambda: len(first.owned) == len(second.owned) == 4)
    assert not set(first.owned) & set(second.owned)


async def test_who_reaches_no_kafka_serves_alone_until_it_has_joined(world: World) -> None:
    lonely = world.comes("a", alone_after_s=0.01)
    await until(lambda: set(lonely.owned) == set(range(8)))
    world.comes("b")
    world.group.round()
    await until(lambda: world.owners.sizes() == [4, 4])
    assert world.group.rounds == 1  # what nobody had given it needs no round to be given to others


async def test_who_has_joined_never_serves_alone(world: World) -> None:
    first = world.comes("a", alone_after_s=0.02)
    world.comes("b", alone_after_s=0.02)
    world.group.round()
    first.heard(answered=False)
    await asyncio.sleep(0.05)
    assert len(first.owned) == 4


async def test_doubt_begins_with_the_last_answer_and_takes_nothing_away(world: World, clock: ManualClock) -> None:
    regions = world.comes("a")
    assert regions.in_doubt_since == clock.now()
    world.group.round()
    await clock.advance(5)
    regions.heard(answered=True)
    assert regions.in_doubt_since is None
    answered_at = clock.now()
    await clock.advance(60)
    regions.heard(answered=False)
    regions.heard(answered=False)
    assert regions.in_doubt_since == answered_at
    assert len(regions.owned) == 8


async def test_closing_tells_the_owner_once(world: World) -> None:
    regions = world.comes("a")
    world.group.round()
    await until(lambda: len(regions.owned) == 8)
    await regions.close()
    await regions.close()
    assert sorted(world.owners.revoked) == [("a", number) for number in range(8)]
    assert list(regions.owned) == []
