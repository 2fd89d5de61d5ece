"""The transaction and its outbox: all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event as sa_event

from core.errors import Conflict, Unavailable
from core.events import AnyEvent, TripAssigned, TripCompleted
from runtime.bus import MemoryBus
from runtime.clocks import ManualClock
from runtime.outbox import Relay
from runtime.settings import RuntimeSettings
from runtime.sql import Database, consume_once, outbox


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}")
    await database.create_all()
    yield database
    await database.close()


def _assigned(number: int, key: str = "req_1") -> TripAssigned:
    return TripAssigned(id=f"e{number}", at=number, trip_id="t", request_id=key, rider_id="r", driver_id="d")


async def _rows(database: Database) -> list[tuple[str, str]]:
    async with database.reading() as connection:
        query = sa.select(outbox.c.event_id, outbox.c.state).order_by(outbox.c.seq)
        return [(row.event_id, row.state) for row in await connection.execute(query)]


async def test_events_leave_with_the_commit_and_only_then(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.transaction() as tx:
            tx.publish(_assigned(1))
            raise RuntimeError("the handler failed")
    async with database.transaction() as tx:
        tx.publish(_assigned(2))
    assert [event_id for event_id, _ in await _rows(database)] == ["e2"]


async def test_the_same_event_cannot_be_published_twice(database: Database) -> None:
    async with database.transaction() as tx:
        tx.publish(_assigned(1))
    with pytest.raises(Conflict, match="already happened"):
        async with database.transaction() as tx:
            tx.publish(_assigned(1))


async def test_fifty_writers_take_turns_without_collision(database: Database) -> None:
    async def write(number: int) -> None:
        async with database.transaction() as tx:
            await asyncio.sleep(0)
            tx.publish(_assigned(number))

    await asyncio.gather(*(write(number) for number in range(50)))
    assert len(await _rows(database)) == 50


async def test_a_group_handles_an_event_once(database: Database) -> None:
    async with database.transaction() as tx:
        assert await consume_once(tx, "billing", "e1", 1.0)
        assert not await consume_once(tx, "billing", "e1", 1.0)
        assert await consume_once(tx, "archive", "e1", 1.0)


async def test_a_full_disk_is_unavailable_and_nothing_is_committed(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'full.db'}")
    await database.create_all()

    @sa_event.listens_for(database.engine.sync_engine, "begin")
    def no_room(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count=1")  # the file may not grow: what a full disk looks like

    with pytest.raises(Unavailable) as raised:
        for start in range(0, 20_000, 500):
            async with database.transaction() as tx:
                tx.publish(*(_assigned(start + number) for number in range(500)))
    assert raised.value.code == "disk_full"
    rows = await _rows(database)
    assert len(rows) % 500 == 0
    await database.close()


def _relay(database: Database, bus: MemoryBus, clock: ManualClock, attempts: int = 20) -> Relay:
    return Relay(database, bus, clock, RuntimeSettings(relay_retry_s=0.01, relay_max_attempts=attempts))


async def test_the_relay_delivers_in_order_per_key(database: Database, clock: ManualClock) -> None:
    seen: list[tuple[str, str]] = []

    async def handler(event: AnyEvent) -> None:
        await asyncio.sleep(0)
        seen.append((event.key, event.id))

    bus = MemoryBus()
    bus.subscribe("test", [TripAssigned], handler)
    for number in range(40):
        async with database.transaction() as tx:
            tx.publish(_assigned(number, key=f"req_{number % 3}"))
    relay = _relay(database, bus, clock)
    relay.start()
    await asyncio.wait_for(relay.drained(), 10)
    await relay.close()
    for key in ("req_0", "req_1", "req_2"):
        numbers = [int(event_id[1:]) for seen_key, event_id in seen if seen_key == key]
        assert numbers == sorted(numbers)
    assert len(seen) == 40
    assert all(state == "published" for _, state in await _rows(database))


async def test_a_failing_handler_is_tried_again_and_holds_back_its_own_key_only(
    database: Database, clock: ManualClock
) -> None:
    seen: list[str] = []
    failures = iter([True, True, False])

    async def handler(event: AnyEvent) -> None:
        if event.id == "e1" and next(failures):
            raise RuntimeError("not now")
        seen.append(event.id)

    bus = MemoryBus()
    bus.subscribe("test", [TripAssigned], handler)
    async with database.transaction() as tx:
        tx.publish(_assigned(1, "a"), _assigned(2, "a"), _assigned(3, "b"))
    relay = _relay(database, bus, clock)
    relay.start()
    await asyncio.wait_for(relay.drained(), 10)
    await relay.close()
    assert seen.index("e1") < seen.index("e2")
    assert set(seen) == {"e1", "e2", "e3"}


async def test_an_event_that_never_succeeds_is_set_aside(database: Database, clock: ManualClock) -> None:
    async def handler(event: AnyEvent) -> None:
        raise RuntimeError("never")

    bus = MemoryBus()
    bus.subscribe("test", [TripAssigned], handler)
    async with database.transaction() as tx:
        tx.publish(_assigned(1))
    relay = _relay(database, bus, clock, attempts=3)
    relay.start()
    await asyncio.wait_for(relay.drained(), 10)
    await relay.close()
    assert await _rows(database) == [("e1", "dead")]
    assert relay.dead == 1


async def test_what_a_stopped_relay_left_goes_out_at_the_next_start(database: Database, clock: ManualClock) -> None:
    seen: list[str] = []

    async def handler(event: AnyEvent) -> None:
        seen.append(event.id)

    async with database.transaction() as tx:
        tx.publish(
            TripCompleted(id="late", at=1.0, trip_id="t", request_id="req", rider_id="r", driver_id="d"),
        )
    bus = MemoryBus()
    bus.subscribe("test", [TripCompleted], handler)
    relay = _relay(database, bus, clock)
    relay.start()
    await asyncio.wait_for(relay.drained(), 10)
    await relay.close()
    assert seen == ["late"]
