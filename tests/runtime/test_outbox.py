"""The relay: every group gets every event, at its own pace, whatever the other groups do."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event as sa_event

from core.bus import Handler
from core.errors import Unavailable
from core.events import AnyEvent, Event, TripAssigned, TripCompleted
from runtime.bus import MemoryBus
from runtime.clocks import ManualClock
from runtime.feed import pause_s
from runtime.lease import Lease
from runtime.outbox import Relay
from runtime.settings import RuntimeSettings
from runtime.sql import Database, Transaction, outbox

SETTINGS = RuntimeSettings(
    relay_retry_s=0.001, relay_max_retry_s=0.002, relay_max_attempts=3, relay_mark_s=0.001, relay_sweep_s=0.05
)


class Store(Database):
    """A database whose next transactions or reads fail on demand."""

    failures: list[Exception]
    read_failures: list[Exception]

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        if self.failures:
            raise self.failures.pop()
        async with super().transaction() as tx:
            yield tx

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Any]:
        if self.read_failures:
            raise self.read_failures.pop()
        async with super().reading() as connection:
            yield connection


class World:
    """A store, a bus, and relays that are closed in the end."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.bus = MemoryBus()
        self.relays: list[Relay] = []

    def hears(self, group: str, handler: Handler, *types: type[Event]) -> None:
        self.bus.subscribe(group, types or [Event], handler)

    def relay(self, owner: str | None = "this process", **settings: Any) -> Relay:
        chosen = msgspec.structs.replace(SETTINGS, **settings)
        lease = Lease(self.store, "relay", f"relay {len(self.relays)}" if owner is None else owner)
        relay = Relay(lease, self.bus, self.clock, chosen, random.Random(1))
        self.relays.append(relay)
        relay.start()
        return relay

    async def publish(self, *events: Event) -> None:
        async with self.store.transaction() as tx:
            tx.publish(*events)

    async def states(self) -> list[tuple[str, str]]:
        async with self.store.reading() as connection:
            query = sa.select(outbox.c.event_id, outbox.c.state).order_by(outbox.c.seq)
            return [(row.event_id, row.state) for row in await connection.execute(query)]


@pytest.fixture
async def world(sql_url: str, clock: ManualClock) -> AsyncIterator[World]:
    store = Store(sql_url)
    store.failures, store.read_failures = [], []
    await store.create_all()
    world = World(store, clock)
    yield world
    for relay in world.relays:
        await relay.close()
    await store.close()


def assigned(number: int, key: str = "req_1") -> TripAssigned:
    return TripAssigned(id=f"e{number}", at=number, trip_id="t", request_id=key, rider_id="r", driver_id="d")


def completed(number: int, key: str = "req_1") -> TripCompleted:
    return TripCompleted(id=f"e{number}", at=number, trip_id="t", request_id=key, rider_id="r", driver_id="d")


class Heard(list[str]):
    """A handler that remembers the events' ids; `before` may make it wait or fail."""

    def __init__(self, before: Handler | None = None) -> None:
        super().__init__()
        self._before = before

    async def __call__(self, event: AnyEvent) -> None:
        if self._before is not None:
            await self._before(event)
        self.append(event.id)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


async def drained(relay: Relay) -> None:
    await asyncio.wait_for(relay.drained(), 10)


async def test_the_relay_delivers_in_order_per_key(world: World) -> None:
    async def yields(_event: AnyEvent) -> None:
        await asyncio.sleep(0)

    heard = Heard(yields)
    world.hears("test", heard)
    for number in range(40):
        await world.publish(assigned(number, key=f"req_{number % 3}"))
    relay = world.relay()
    await drained(relay)
    for key in range(3):
        assert [each for each in heard if int(each[1:]) % 3 == key] == [f"e{number}" for number in range(key, 40, 3)]
    assert {state for _, state in await world.states()} == {"published"}
    assert relay.published == 40


async def test_an_event_is_heard_once_by_each_group_that_wants_it(world: World) -> None:
    every, ends = Heard(), Heard()
    world.hears("every", every)
    world.hears("ends", ends, TripCompleted)
    relay = world.relay()
    await world.publish(assigned(1), completed(2))
    await world.publish(assigned(3))
    await drained(relay)
    assert every == ["e1", "e2", "e3"]
    assert ends == ["e2"]


async def test_a_failing_handler_is_tried_again_and_holds_back_its_own_key_only(world: World) -> None:
    failures = iter([True, True, False])

    async def fails(event: AnyEvent) -> None:
        if event.id == "e1" and next(failures):
            raise RuntimeError("not now")

    heard = Heard(fails)
    world.hears("test", heard)
    relay = world.relay()
    await world.publish(assigned(1, "a"), assigned(2, "a"), assigned(3, "b"))
    await drained(relay)
    assert heard == ["e3", "e1", "e2"]


async def test_what_is_unavailable_for_long_is_never_set_aside(world: World) -> None:
    tries = 0

    async def busy(_event: AnyEvent) -> None:
        nonlocal tries
        tries += 1
        if tries < 10 * SETTINGS.relay_max_attempts:
            raise Unavailable("the route workers are busy", code="routes_busy")

    heard = Heard(busy)
    world.hears("billing", heard)
    relay = world.relay()
    await world.publish(assigned(1))
    await drained(relay)
    assert heard == ["e1"]
    assert await world.states() == [("e1", "published")]


@pytest.mark.parametrize("error", [RuntimeError("never"), asyncio.CancelledError()])
async def test_an_event_that_never_succeeds_is_set_aside_and_its_ride_goes_on(
    world: World, error: BaseException
) -> None:
    async def never(event: AnyEvent) -> None:
        if event.id == "e1":
            raise error

    bad, good = Heard(never), Heard()
    world.hears("bad", bad)
    world.hears("good", good)
    relay = world.relay()
    await world.publish(assigned(1), assigned(2))
    await drained(relay)
    assert (bad, good) == (["e2"], ["e1", "e2"])
    assert await world.states() == [("e1", "dead"), ("e2", "published")]
    assert (await relay.backlog()).dead == 1
    async with world.store.reading() as connection:
        query = sa.select(outbox.c.gave_up).where(outbox.c.event_id == "e1")
        assert (await connection.execute(query)).scalar_one() == "bad"


async def test_a_dead_event_that_an_operator_lets_go_again_is_delivered(world: World) -> None:
    mended = False

    async def broken(event: AnyEvent) -> None:
        if event.id == "e1" and not mended:
            raise RuntimeError("broken")

    heard = Heard(broken)
    world.hears("test", heard)
    relay = world.relay()
    await world.publish(assigned(1), assigned(2))
    await drained(relay)
    mended = True
    async with world.store.transaction() as tx:  # as OPERATIONS says
        again = "UPDATE outbox SET state = 'waiting', gave_up = NULL WHERE state = 'dead'"
        await tx.connection.exec_driver_sql(again)
    await world.publish(assigned(3))
    await drained(relay)
    assert sorted(heard) == ["e1", "e2", "e3"]


async def test_a_stuck_group_stops_neither_the_same_ride_nor_anything_else_for_the_others(world: World) -> None:
    opened = asyncio.Event()

    async def waits(_event: AnyEvent) -> None:
        await opened.wait()

    stuck, quick = Heard(waits), Heard()
    world.hears("stuck", stuck)
    world.hears("quick", quick)
    relay = world.relay(relay_window=4, relay_batch=3)
    ids = [f"e{number}" for number in range(40)]
    for number in range(40):
        await world.publish(assigned(number, key=f"req_{number % 5}"))
    await until(lambda: len(quick) == 40)
    assert sorted(quick) == sorted(ids)
    assert (stuck, (await relay.backlog()).waiting) == ([], 40)
    opened.set()
    await drained(relay)
    assert len(quick) == 40
    for key in range(5):
        assert [each for each in stuck if int(each[1:]) % 5 == key] == ids[key::5]


async def test_a_group_handles_no_more_rides_at_once_than_it_has_lanes(world: World) -> None:
    now, most = 0, 0

    async def count(_event: AnyEvent) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    world.hears("test", Heard(count))
    relay = world.relay(relay_lanes=3)
    await world.publish(*(assigned(number, key=f"req_{number}") for number in range(30)))
    await drained(relay)
    assert most == 3


async def test_an_event_that_waits_for_its_next_try_holds_no_lane(world: World) -> None:
    heard = Heard()

    async def only_after_the_other(event: AnyEvent) -> None:
        if event.id == "e1" and "e2" not in heard:
            raise Unavailable("not yet")

    heard._before = only_after_the_other
    world.hears("test", heard)
    relay = world.relay(relay_lanes=1)
    await world.publish(assigned(1, "a"), assigned(2, "b"))
    await drained(relay)
    assert heard == ["e2", "e1"]


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), Unavailable("the disk is full")])
async def test_a_mark_that_fails_is_made_later_and_the_ride_goes_on(world: World, error: Exception) -> None:
    heard = Heard()
    world.hears("test", heard)
    relay = world.relay()
    await world.publish(assigned(1))
    world.store.failures = [error, error]
    await until(lambda: not world.store.failures)
    await world.publish(assigned(2))
    await drained(relay)
    assert heard == ["e1", "e2"]
    assert relay.published == 2


async def test_reading_goes_on_after_any_error(world: World) -> None:
    heard = Heard()
    world.hears("test", heard)
    world.store.read_failures = [RuntimeError("a fault of ours"), Unavailable("the store is away")]
    relay = world.relay()
    await until(lambda: not world.store.read_failures)
    await world.publish(assigned(1))
    await drained(relay)
    assert heard == ["e1"]


async def test_many_events_are_marked_in_few_transactions(world: World) -> None:
    opened, writes = asyncio.Event(), 0

    async def waits(_event: AnyEvent) -> None:
        await opened.wait()

    @sa_event.listens_for(world.store.engine.sync_engine, "begin")
    def begun(connection: sa.Connection) -> None:
        nonlocal writes
        writes += bool(connection.get_execution_options().get("hexcab_writes"))

    world.hears("test", Heard(waits))
    relay = world.relay(relay_mark_s=0.05)
    await world.publish(*(assigned(number, key=f"req_{number}") for number in range(200)))
    opened.set()
    await drained(relay)
    assert writes <= 5  # with the one that published them and the one that cleans


async def test_a_row_that_is_no_event_is_set_aside(world: World) -> None:
    heard = Heard()
    world.hears("test", heard)
    await world.publish(assigned(1), assigned(2))
    async with world.store.transaction() as tx:
        await tx.connection.execute(
            sa.update(outbox).where(outbox.c.event_id == "e1").values(body='{"type":"Nothing"}')
        )
    relay = world.relay()
    await drained(relay)
    assert heard == ["e2"]
    assert await world.states() == [("e1", "dead"), ("e2", "published")]


async def test_old_events_are_forgotten_and_new_ones_still_heard(world: World) -> None:
    heard = Heard()
    world.hears("test", heard)
    relay = world.relay(relay_look_s=0.001)
    await world.publish(assigned(1), assigned(2))
    await drained(relay)
    async with asyncio.timeout(10):
        while await world.states() != [("e2", "published")]:
            await world.clock.advance(61)
    await world.publish(assigned(3))
    await drained(relay)
    assert heard == ["e1", "e2", "e3"]


async def test_what_a_stopped_relay_left_goes_out_at_the_next_start(world: World) -> None:
    async def forever(_event: AnyEvent) -> None:
        if first is world.relays[-1]:
            await asyncio.Event().wait()

    quick, slow = Heard(), Heard(forever)
    world.hears("quick", quick)
    world.hears("slow", slow)
    await world.publish(assigned(1), assigned(2))
    first = world.relay()
    await until(lambda: len(quick) == 2)
    await first.close()
    assert {state for _, state in await world.states()} == {"waiting"}
    await drained(world.relay())
    assert slow == ["e1", "e2"]
    assert quick == ["e1", "e2", "e1", "e2"]  # at least once: what a group had handled is remembered in memory alone


async def test_a_relay_that_is_closed_marks_what_was_handled(world: World) -> None:
    heard = Heard()
    world.hears("test", heard)
    relay = world.relay(relay_mark_s=60.0)
    await world.publish(assigned(1))
    await until(lambda: len(heard) == 1)
    await relay.close()
    assert await world.states() == [("e1", "published")]


async def test_who_waits_for_a_relay_hears_of_its_end(world: World) -> None:
    relay = world.relay()
    watcher = asyncio.create_task(relay.wait())
    await asyncio.sleep(0)
    assert not watcher.done()
    await relay.close()
    await asyncio.wait_for(watcher, 10)


@given(tries=st.integers(1, 10_000), seed=st.integers(0, 2**32))
def test_pauses_double_up_to_the_most_and_are_spread(tries: int, seed: int) -> None:
    settings = RuntimeSettings(relay_retry_s=1.0, relay_max_retry_s=30.0)
    whole = min(30.0, 2.0 ** min(tries - 1, 10))
    assert whole / 2 <= pause_s(tries, settings, random.Random(seed)) <= whole
