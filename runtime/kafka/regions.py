"""Which partitions of the rides, and so which regions, this process owns among those that run the same group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from core.bus import Owner
from core.clock import Clock
from runtime.bus import Told, tell
from runtime.kafka.sharing import Claim, share_out
from runtime.kafka.topics import Topic
from runtime.kafka_settings import KafkaSettings

_log = logging.getLogger("hexcab.kafka")
_VERSION = 0  # of the consumer protocol's frames
_NONE: frozenset[int] = frozenset()


class Regions:
    """Ownership by the consumer group.

    What the group takes away is ours until the owner has let go of it, or has taken longer than `rebalance_s`; only
    then do we ask for the round in which another process gets it. Two may search for one ride for as long as such an
    owner goes on: SQL lets one of them win. While Kafka is away everything stays as it was. A process that has
    reached no Kafka for `alone_after_s` since its start owns everything until it does: no ride may wait for a bus.
    """

    def __init__(self, topic: Topic, owner: Owner, clock: Clock, settings: KafkaSettings) -> None:
        self.assignor = Assignor(topic, self._claim, self._given)
        self.rejoin: Callable[[], Awaitable[None]] | None = None  # while a consumer runs
        self._topic = topic
        self._owner = owner
        self._clock = clock
        self._settings = settings
        self._round = 0
        self._joined = False
        self._mine: frozenset[int] = _NONE  # what we are to own
        self._owned: frozenset[int] = _NONE  # what the owner was told
        self._claimed: frozenset[int] = _NONE  # what the group gave us and nobody else may get yet
        self._heard_at = clock.now()
        self._in_doubt = True
        self._wake = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    @property
    def owned(self) -> Collection[int]:
        """The partitions owned now."""
        return self._owned

    @property
    def in_doubt_since(self) -> float | None:
        """When Kafka answered for the last time, once it does not any more."""
        return self._heard_at if self._in_doubt else None

    def heard(self, answered: bool) -> None:
        """Whether Kafka answered just now."""
        self._in_doubt = not answered
        if answered:
            self._heard_at = self._clock.now()

    def start(self) -> None:
        """Tell the owner of every change from now on."""
        self.tasks = [
            asyncio.create_task(self._settle_forever(), name=f"owner-of-{self._topic.name}"),
            asyncio.create_task(self._serve_alone(), name=f"alone-on-{self._topic.name}"),
        ]

    async def close(self) -> None:
        """Own nothing any more; the owner has heard so on return."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        owned, self._owned = self._owned, _NONE
        if owned:
            await self._tell(self._owner.revoked, owned)
        self._mine = self._claimed = _NONE

    def _claim(self) -> Claim:
        return Claim(self._round, tuple(sorted(self._claimed)))

    def _given(self, partitions: frozenset[int], now: int) -> None:
        self._joined = True
        self._round = now
        self._mine = partitions
        self._claimed |= partitions
        self._wake.set()

    async def _serve_alone(self) -> None:
        await asyncio.sleep(self._settings.alone_after_s)
        if not self._joined and self._in_doubt:
            _log.warning("Kafka has not answered since the start: this process serves every region until it does")
            self._mine = frozenset(range(self._topic.partitions))
            self._wake.set()

    async def _settle_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if gained := self._mine - self._owned:
                self._owned |= gained
                await self._tell(self._owner.assigned, gained)
            if lost := (self._owned | self._claimed) - self._mine:
                await self._give_up(lost)

    async def _give_up(self, lost: frozenset[int]) -> None:
        if told := lost & self._owned:
            await self._tell(self._owner.revoked, told)
        self._owned -= lost
        others_wait = (lost & self._claimed) - self._mine
        self._claimed -= others_wait
        if lost & self._mine:  # given back meanwhile
            self._wake.set()
        if others_wait and self.rejoin is not None:
            try:
                await self.rejoin()
            except Exception:  # whatever ails the consumer, it is made anew and joins then
                _log.exception("asking for another round failed")

    async def _tell(self, say: Told, partitions: Collection[int]) -> None:
        try:
            async with asyncio.timeout(self._settings.rebalance_s):
                await tell(say, partitions)
        except TimeoutError:
            _log.error("an owner of partitions takes too long", extra={"partitions": sorted(partitions)})


class Assignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """Puts `share_out` into the frames of Kafka's group protocol; one per consumer, as it speaks for its claims."""

    name = "hexcab-regions"

    def __init__(self, topic: Topic, claim: Callable[[], Claim], given: Callable[[frozenset[int], int], None]) -> None:
        self._topic = topic
        self._claim = claim
        self._given = given

    def metadata(self, topics: Iterable[str]) -> Any:
        """What this process says of itself when it joins."""
        return ConsumerProtocolMemberMetadata(_VERSION, list(topics), msgspec.msgpack.encode(self._claim()))

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """What everybody gets, worked out by the one whom the group has made its leader."""
        claims = {member: msgspec.msgpack.decode(said.user_data, type=Claim) for member, said in members.items()}
        shares = share_out(cluster.partitions_for_topic(self._topic.name) or (), claims)
        now = msgspec.msgpack.encode(1 + max(claim.round for claim in claims.values()))
        return {
            member: ConsumerProtocolMemberAssignment(_VERSION, [(self._topic.name, mine)], now)
            for member, mine in shares.items()
        }

    def on_assignment(self, assignment: Any) -> None:
        """What this process got."""
        mine = frozenset(each.partition for each in assignment.partitions())
        self._given(mine, msgspec.msgpack.decode(assignment.user_data, type=int))
