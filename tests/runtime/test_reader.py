"""Reading the outbox while rows appear out of the order of their numbers."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from core.events import AnyEvent, TripAssigned
from runtime.feed import Entry, Feed
from runtime.reader import Reader
from runtime.settings import RuntimeSettings
from runtime.sql import Database, event_row, outbox

KEYS = 3


def assigned(seq: int, key: int) -> TripAssigned:
    return TripAssigned(id=f"e{seq}", at=seq, trip_id="t", request_id=f"req_{key}", rider_id="r", driver_id="d")


class Group:
    """An outlet that handles events while its gate is open."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.gate = asyncio.Event()
        self.heard: list[int] = []

    def wants(self, event: AnyEvent) -> bool:
        return True

    async def accept(self, event: AnyEvent) -> None:
        await self.gate.wait()
        self.heard.append(int(event.id[1:]))


class Outbox:
    """Rows with numbers given beforehand, a reader, two groups, and marks that are made when the test says so."""

    def __init__(self, database: Database, limits: RuntimeSettings) -> None:
        self.database = database
        self.groups = [Group("quick"), Group("slow")]
        self.groups[0].gate.set()
        self.feeds = [Feed(group, limits, random.Random(1), self._ended) for group in self.groups]
        self.reader = Reader(database, self.feeds, limits, self._settle, lambda seq: None)
        self.handled: set[int] = set()

    async def commit(self, seqs: Sequence[int], keys: Sequence[int]) -> None:
        async with self.database.transaction() as tx:
            rows = [event_row(assigned(seq, keys[seq])) | {"seq": seq} for seq in seqs]
            await tx.connection.execute(sa.insert(outbox), rows)

    async def read(self) -> None:
        while await self.reader.read():
            pass

    async def mark(self) -> None:
        async with self.database.transaction() as tx:
            past = outbox.c.seq.in_(self.handled)
            await tx.connection.execute(sa.update(outbox).where(past).values(state="published"))

    async def run(self) -> None:
        """Let the groups do what they can."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def drain(self) -> None:
        """Let both groups come to the end."""
        self.groups[1].gate.set()
        before = -1
        while before < (now := sum(len(group.heard) for group in self.groups)):
            before = now
            await self.read()
            await self.run()

    def _ended(self, _feed: Feed, entry: Entry) -> None:
        self._settle(entry)

    def _settle(self, entry: Entry) -> None:
        if all(feed.is_past(entry) for feed in self.feeds):
            self.handled.add(entry.seq)


def commits(keys: Sequence[int], rng: random.Random) -> list[int]:
    """The numbers 1.. in an order of commits that writers who lock a key first can bring about."""
    waiting = {key: [seq for seq in range(1, len(keys)) if keys[seq] == key] for key in range(KEYS)}
    order: list[int] = []
    while left := [key for key, seqs in waiting.items() if seqs]:
        order.append(waiting[rng.choice(left)].pop(0))
    return order


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 40), window=st.integers(1, 6), batch=st.integers(1, 6))
def test_whatever_the_order_of_commits_each_group_hears_each_event_once_and_each_key_in_order(
    seed: int, n: int, window: int, batch: int
) -> None:
    rng = random.Random(seed)
    keys = [0, *(rng.randrange(KEYS) for _ in range(n))]
    rolled_back = {seq for seq in range(1, n + 1) if rng.random() < 0.1}

    async def play(url: str) -> None:
        database = Database(url)
        await database.create_all()
        box = Outbox(database, RuntimeSettings(relay_window=window, relay_batch=batch))
        for seq in commits(keys, rng):
            if seq not in rolled_back:
                await box.commit([seq], keys)
            for step in rng.sample([box.read, box.run, box.mark], rng.randrange(3)):
                await step()
            if rng.random() < 0.2:
                box.groups[1].gate.set() if rng.random() < 0.5 else box.groups[1].gate.clear()
        await box.drain()
        wanted = [seq for seq in range(1, n + 1) if seq not in rolled_back]
        for group in box.groups:
            assert sorted(group.heard) == wanted, f"seed {seed}"
            for key in range(KEYS):
                mine = [seq for seq in group.heard if keys[seq] == key]
                assert mine == sorted(mine), f"seed {seed}"
        assert box.handled == set(wanted)
        await database.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(f"sqlite+aiosqlite:///{Path(folder) / 'outbox.db'}"))


async def test_what_is_under_way_when_the_reader_begins_is_seen_when_it_commits(database: Database) -> None:
    box = Outbox(database, RuntimeSettings())
    keys = [0] * 10
    await box.commit([2, 5, 6], keys)
    box.groups[1].gate.set()
    await box.read()
    await box.commit([3], keys)
    await box.drain()
    assert [group.heard for group in box.groups] == [[2, 5, 6, 3]] * 2


async def test_a_row_that_comes_later_than_anybody_looks_for_is_swept_up(database: Database) -> None:
    box = Outbox(database, RuntimeSettings(relay_late_s=1e-9))
    keys = [0] * 10
    await box.commit([1, 4], keys)
    box.groups[1].gate.set()
    await box.read()
    await box.commit([2], keys)
    await box.read()
    await box.run()
    assert [group.heard for group in box.groups] == [[1, 4]] * 2
    for _ in range(2):  # the second finds it in hand, or marked
        await box.reader.sweep(lambda seq: seq in box.handled)
    await box.drain()
    assert [group.heard for group in box.groups] == [[1, 4, 2]] * 2


async def test_a_group_that_fell_behind_meets_a_late_row_in_its_place_and_the_one_ahead_gets_it_too(
    database: Database,
) -> None:
    box = Outbox(database, RuntimeSettings(relay_window=1, relay_late_s=1e-9))
    keys = list(range(10))
    await box.commit([1, 3, 4], keys)
    for _ in range(4):
        await box.read()
        await box.run()
    assert [group.heard for group in box.groups] == [[1, 3, 4], []]
    await box.commit([2], keys)
    await box.drain()
    assert [group.heard for group in box.groups] == [[1, 3, 4, 2], [1, 2, 3, 4]]
    assert box.handled == {1, 2, 3, 4}


async def test_a_sweep_looks_at_a_bounded_number_of_rows_and_comes_to_all_of_them(database: Database) -> None:
    box = Outbox(database, RuntimeSettings(relay_batch=2))
    await box.commit(range(1, 8), [0] * 10)
    box.groups[1].gate.set()
    await box.drain()
    box.handled.clear()
    asked: list[int] = []

    def known(seq: int) -> bool:
        asked.append(seq)
        return True

    for _ in range(4):
        await box.reader.sweep(known)
    assert asked == [1, 2, 3, 4, 5, 6, 7]
