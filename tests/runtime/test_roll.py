"""The roll of a host: every connection is told, in time or later, and the newest one of a driver wins."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Unavailable
from runtime.host_settings import HostSettings
from runtime.presence import Arrival, Arrived, Departure, Host, MemoryPresence, Subject
from runtime.roll import Roll

QUICK = HostSettings(presence_wait_s=60.0, beat_s=0.02, host_expires_s=0.1, presence_batch=3, presence_again_s=0.1)
DRIVER = Subject("driver", "drv_1")


class Wall:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Store(MemoryPresence):
    """A presence that can be away, and holds its answers back."""

    def __init__(self) -> None:
        self.wall = Wall()
        super().__init__(self.wall)
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[int] = []

    async def arrive(self, host_id: str, arrivals: Sequence[Arrival]) -> list[Arrived]:
        self._check()
        self.batches.append(len(arrivals))
        answers = await super().arrive(host_id, arrivals)
        await self.gate.wait()
        self._check()
        return answers

    async def leave(self, host_id: str, departures: Sequence[Departure]) -> list[bool]:
        self._check()
        return await super().leave(host_id, departures)

    async def beat(self, host: Host, expires_s: float) -> bool:
        self._check()
        return await super().beat(host, expires_s)

    def _check(self) -> None:
        if self.away:
            raise Unavailable("away")


class Place:
    """A host with its roll, and what its listener has heard."""

    def __init__(self, name: str, store: Store, others: dict[str, Place]) -> None:
        self.host = Host(name, f"{name}:1")
        self.store = store
        self.heard: list[tuple[str, str]] = []
        self.epochs: dict[str, int] = {}
        self.connected = False  # the driver, as far as the host knows
        self._others = others
        others[name] = self
        self.roll = Roll(store, self.host, self._replaced, QUICK, random.Random(1))
        self.roll.listen("driver", self)
        self.roll.listen("rider", self)
        self.task = asyncio.create_task(self.roll.run())

    async def _replaced(self, host: Host, subject: Subject, epoch: int) -> None:
        self._others[host.id].lost(subject.id, epoch)

    def owns(self, subject_id: str, epoch: int) -> None:
        self.heard.append(("owns", subject_id))
        self.epochs[subject_id] = epoch

    def lost(self, subject_id: str, epoch: int) -> None:
        if 0 < self.epochs.get(subject_id, 0) < epoch:
            self.heard.append(("lost", subject_id))
            self.connected = False
            del self.epochs[subject_id]
            self.roll.leave(Subject("driver", subject_id))

    def gone(self, subject_id: str) -> None:
        self.heard.append(("gone", subject_id))
        self.epochs.pop(subject_id, None)

    async def settled(self) -> None:
        """Wait until presence knows everything."""
        async with asyncio.timeout(5):
            while self.roll.untold:
                await asyncio.sleep(0.001)
            for _ in range(5):
                await asyncio.sleep(0)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def store() -> Store:
    return Store()


@pytest.fixture
async def hosts(store: Store) -> AsyncIterator[tuple[Place, Place]]:
    others: dict[str, Place] = {}
    a, b = Place("a", store, others), Place("b", store, others)
    await a.roll.beat()
    await b.roll.beat()
    await a.roll.beat()  # knows of b now
    yield a, b
    await a.stop()
    await b.stop()


async def where(store: Store, subject: Subject = DRIVER) -> list[str]:
    return [host.id for host in (await store.hosts_of([subject]))[0]]


async def test_an_arrival_is_told_and_owned_and_a_departure_is_told(store: Store, hosts: tuple[Place, Place]) -> None:
    a, _ = hosts
    a.roll.join(DRIVER)
    await a.settled()
    assert (a.heard, await where(store)) == ([("owns", "drv_1")], ["a"])
    a.roll.leave(DRIVER)
    a.roll.leave(DRIVER)
    await a.settled()
    assert (a.heard[1:], await where(store)) == ([("gone", "drv_1")], [])


async def test_a_driver_who_goes_to_another_host_is_lost_to_the_first_and_never_gone(
    store: Store, hosts: tuple[Place, Place]
) -> None:
    a, b = hosts
    a.roll.join(DRIVER)
    await a.settled()
    b.roll.join(DRIVER)
    await b.settled()
    await a.settled()
    assert a.heard == [("owns", "drv_1"), ("lost", "drv_1")]
    assert (b.heard, await where(store)) == ([("owns", "drv_1")], ["b"])


async def test_a_host_that_was_not_told_finds_out_when_it_tells_of_the_driver_again(
    store: Store, hosts: tuple[Place, Place]
) -> None:
    a, _ = hosts
    a.roll.join(DRIVER)
    await a.settled()
    await store.arrive("b", [Arrival(DRIVER, 0)])
    for _ in range(10):  # everybody is told anew within presence_again_s
        await a.roll.beat()
    await a.settled()
    assert a.heard == [("owns", "drv_1"), ("lost", "drv_1")]
    assert await where(store) == ["b"]


async def test_a_welcome_waits_until_the_other_hosts_can_find_who_connected(
    store: Store, hosts: tuple[Place, Place]
) -> None:
    a, _ = hosts
    store.gate.clear()
    a.roll.join(DRIVER)
    waiting = asyncio.create_task(a.roll.of("driver").known("drv_1"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    store.gate.set()
    await waiting
    assert await where(store) == ["a"]
    await a.roll.known(DRIVER)  # told already
    await a.roll.known(Subject("rider", "nobody"))


async def test_a_welcome_does_not_wait_for_a_presence_that_is_away_or_for_who_has_left(
    store: Store, hosts: tuple[Place, Place]
) -> None:
    a, b = hosts
    store.gate.clear()
    b.roll.join(DRIVER)
    waiting = asyncio.create_task(b.roll.known(DRIVER))
    await asyncio.sleep(0.01)
    b.roll.leave(DRIVER)
    await waiting
    store.gate.set()
    store.away = True
    a.roll.join(DRIVER)
    await asyncio.gather(*(a.roll.known(DRIVER) for _ in range(3)))
    assert a.heard == []


async def test_many_arrivals_go_in_batches(store: Store, hosts: tuple[Place, Place]) -> None:
    a, _ = hosts
    for number in range(8):
        a.roll.join(Subject("driver", f"drv_{number}"))
    await a.settled()
    assert store.batches == [3, 3, 2]
    assert len(a.epochs) == 8


async def test_who_leaves_while_being_told_is_nowhere_in_the_end(store: Store, hosts: tuple[Place, Place]) -> None:
    a, _ = hosts
    store.gate.clear()
    a.roll.join(DRIVER)
    await asyncio.sleep(0.01)
    a.roll.leave(DRIVER)
    store.gate.set()
    await a.settled()
    assert (a.heard, await where(store)) == ([("gone", "drv_1")], [])


async def test_who_connects_again_while_being_told_has_a_newer_epoch(store: Store, hosts: tuple[Place, Place]) -> None:
    a, b = hosts
    store.gate.clear()
    a.roll.join(DRIVER)
    await asyncio.sleep(0.01)
    b.roll.join(DRIVER)  # went to b meanwhile, and came back
    a.roll.leave(DRIVER)
    a.roll.join(DRIVER)
    await asyncio.sleep(0.01)
    store.gate.set()
    await a.settled()
    await b.settled()
    assert a.heard == [("owns", "drv_1")]
    assert "drv_1" not in b.epochs
    assert await where(store) == ["a"]


async def test_while_presence_is_away_arrivals_wait_and_are_told_later(
    store: Store, hosts: tuple[Place, Place]
) -> None:
    a, _ = hosts
    store.away = True
    a.roll.join(DRIVER)
    a.roll.join(Subject("driver", "drv_2"))
    a.roll.leave(Subject("driver", "drv_2"))
    await asyncio.sleep(0.05)
    await a.roll.beat()
    assert (a.heard, a.roll.untold) == ([], 2)
    store.away = False
    await a.settled()
    assert a.heard == [("owns", "drv_1")]
    assert await where(store, Subject("driver", "drv_2")) == []


async def test_after_a_loss_everybody_is_told_again_and_the_newest_host_keeps_the_driver(
    store: Store, hosts: tuple[Place, Place]
) -> None:
    a, b = hosts
    a.roll.join(DRIVER)
    await a.settled()
    a._others.pop("a")  # cannot be reached, and so is not told
    b.roll.join(DRIVER)
    b.roll.join(Subject("rider", "rdr_1"))
    await b.settled()
    store.lose_everything()
    for place in (a, b):
        await place.roll.beat()
        place.roll.tell_again()
        await place.settled()
    a.roll.tell_again()
    await a.settled()
    assert await where(store) == ["b"]
    assert a.heard == [("owns", "drv_1"), ("lost", "drv_1")]
    assert await where(store, Subject("rider", "rdr_1")) == ["b"]


async def test_a_host_that_counted_as_dead_tells_of_everybody_again(store: Store, hosts: tuple[Place, Place]) -> None:
    a, b = hosts
    a.roll.join(DRIVER)
    await a.settled()
    store.wall.now += 1.0
    for _ in range(10):
        await b.roll.beat()
    assert await store.subjects_of("a") == [], "b has reclaimed them"
    await a.roll.beat()
    await a.settled()
    assert await where(store) == ["a"]


async def test_closing_tells_who_left_and_that_the_host_is_no_more(store: Store, hosts: tuple[Place, Place]) -> None:
    a, _ = hosts
    a.roll.join(DRIVER)
    await a.settled()
    a.roll.leave(DRIVER)
    await a.stop()
    await a.roll.close()
    assert [host.id for host in await store.hosts()] == ["b"]
    assert await where(store) == []


async def test_closing_without_presence_ends_all_the_same(store: Store, hosts: tuple[Place, Place]) -> None:
    a, _ = hosts
    store.away = True
    a.roll.join(DRIVER)
    await a.stop()
    await a.roll.close()
    assert a.roll.untold == 1


acts = st.sampled_from(["join", "join", "leave", "away", "back", "wait", "wait"])
moves = st.lists(st.tuples(st.sampled_from("ab"), acts), max_size=30)


@settings(max_examples=150, deadline=None)
@given(moves=moves)
async def test_in_the_end_presence_has_the_driver_where_the_newest_connection_is(moves: list[tuple[str, str]]) -> None:
    store = Store()
    others: dict[str, Place] = {}
    places = {name: Place(name, store, others) for name in "ab"}
    for place in list(places.values()) * 2:
        await place.roll.beat()
    for name, what in moves:
        place = places[name]
        if what == "join":
            place.roll.join(DRIVER)
            place.connected = True
        elif what == "leave":
            place.roll.leave(DRIVER)
            place.connected = False
        elif what in ("away", "back"):
            store.away = what == "away"
        else:
            await asyncio.sleep(0.002)
    store.away = False
    for place in list(places.values()) * 2:
        await place.settled()
        place.roll.tell_again()
        await place.settled()
    kept = [name for name in "ab" if places[name].connected]
    assert len(kept) <= 1, "whoever is not the newest has heard of it"
    assert await where(store) == kept
    assert [name for name in "ab" if "drv_1" in places[name].epochs] == kept
    for place in places.values():
        await place.stop()


class Forgiving(Store):
    """A presence whose sign of life was sent twice: the second finds the first."""

    async def beat(self, host: Host, expires_s: float) -> bool:
        await super().beat(host, expires_s)
        return True


class Deaf:
    """A listener that does nothing."""

    def owns(self, subject_id: str, epoch: int) -> None: ...

    def lost(self, subject_id: str, epoch: int) -> None: ...

    def gone(self, subject_id: str) -> None: ...


async def test_a_host_that_was_silent_for_too_long_tells_again_whatever_its_sign_of_life_finds() -> None:
    async def replaced(host: Host, subject: Subject, epoch: int) -> None: ...

    store, everybody = Forgiving(), 30
    roll = Roll(store, Host("a", "a:1"), replaced, QUICK, random.Random(1))
    roll.listen("driver", Deaf())
    for number in range(everybody):
        roll.join(Subject("driver", f"drv_{number}"))
    await roll.beat()
    running = asyncio.create_task(roll.run())
    try:
        async with asyncio.timeout(10):
            while roll.untold:
                await asyncio.sleep(0.01)
            await asyncio.sleep(2 * QUICK.host_expires_s)
            before = sum(store.batches)
            await roll.beat()
            while roll.untold:
                await asyncio.sleep(0.01)
        assert sum(store.batches) - before == everybody
    finally:
        running.cancel()
