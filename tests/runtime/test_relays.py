"""Several processes on one outbox: many who write, several relays of which one leads."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable

import pytest
import sqlalchemy as sa

from core.events import AnyEvent, Event, TripAssigned
from runtime.bus import MemoryBus
from runtime.clocks import ManualClock
from runtime.lease import Lease, leases
from runtime.outbox import Relay
from runtime.settings import RuntimeSettings
from runtime.sql import Database, outbox
from runtime.sqlsettings import SqlSettings
from tests.servers import SQL_KINDS

LIMITS = RuntimeSettings(relay_look_s=0.005, relay_mark_s=0.005, relay_batch=7, relay_window=5, relay_sweep_s=0.05)
QUICK = SqlSettings(lease_s=0.3)
on_servers = pytest.mark.parametrize("sql_url", SQL_KINDS[1:], indirect=True)


class Host:
    """A process: its own connections, its own relay."""

    def __init__(self, url: str, name: str, clock: ManualClock) -> None:
        self.database = Database(url, QUICK)
        self.heard: list[str] = []
        self.slowly: list[str] = []
        self.bus = MemoryBus()
        self.bus.subscribe("quick", [Event], self._hear)
        self.bus.subscribe("slow", [Event], self._hear_slowly)
        self.lease = Lease(self.database, "relay", name)
        self.relay = Relay(self.lease, self.bus, clock, LIMITS, random.Random(1))

    async def _hear(self, event: AnyEvent) -> None:
        self.heard.append(event.id)

    async def _hear_slowly(self, event: AnyEvent) -> None:
        await asyncio.sleep(0.002)
        self.slowly.append(event.id)

    async def stop(self) -> None:
        await self.relay.close()
        await self.database.close()


@pytest.fixture
async def new_host(sql_url: str, clock: ManualClock) -> AsyncIterator[Callable[[], Host]]:
    hosts: list[Host] = []

    def make() -> Host:
        hosts.append(Host(sql_url, f"host {len(hosts)}", clock))
        return hosts[-1]

    await make().database.create_all()
    yield make
    for host in hosts:
        await host.stop()


def assigned(number: int, key: str = "req_1") -> TripAssigned:
    return TripAssigned(id=f"e{number}", at=number, trip_id="t", request_id=key, rider_id="r", driver_id="d")


async def publish(database: Database, *events: Event) -> None:
    async with database.transaction() as tx:
        tx.publish(*events)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.002)


async def drained(host: Host) -> None:
    async with asyncio.timeout(60):
        while (await host.relay.backlog()).waiting:
            await asyncio.sleep(0.01)


@on_servers
async def test_of_many_writers_whose_commits_overlap_each_event_comes_once_and_each_key_in_order(
    new_host: Callable[[], Host],
) -> None:
    rng = random.Random(11)
    writer, host = new_host(), new_host()
    keys = [f"req_{number}" for number in range(6)]
    async with writer.database.transaction() as tx:  # rows that the writers of a key lock first, as rides are
        rows = [{"name": key, "owner": "", "fence": 0, "expires_at": 0.0} for key in keys]
        await tx.connection.execute(sa.insert(leases), rows)
    written: dict[str, list[str]] = defaultdict(list)
    n = 0

    async def write_some() -> None:
        nonlocal n
        for _ in range(20):
            key = rng.choice(keys)
            try:
                async with writer.database.transaction() as tx:
                    lock = sa.select(leases.c.name).where(leases.c.name == key).with_for_update()
                    await tx.connection.execute(lock)
                    events = [assigned(n + each, key) for each in range(rng.randrange(1, 4))]
                    n += len(events)
                    tx.publish(*events)
                    await tx.write_events()
                    tx._events.clear()
                    await asyncio.sleep(rng.choice([0, 0, 0.001, 0.02]))  # others commit meanwhile
                    if rng.random() < 0.15:
                        raise RuntimeError("rolled back")
                    written[key] += [event.id for event in events]
            except RuntimeError:
                continue

    host.relay.start()
    await asyncio.gather(*(write_some() for _ in range(8)))
    await drained(host)
    ids = [event_id for of_key in written.values() for event_id in of_key]
    for heard in (host.heard, host.slowly):
        assert sorted(heard) == sorted(ids)
        for of_key in written.values():
            assert [event_id for event_id in heard if event_id in set(of_key)] == of_key


async def test_events_of_other_processes_are_noticed(new_host: Callable[[], Host]) -> None:
    host, other = new_host(), new_host()
    host.relay.start()
    await publish(other.database, assigned(1))
    await until(lambda: host.heard == ["e1"])


async def test_one_relay_leads_and_the_other_goes_on_when_it_stops(new_host: Callable[[], Host]) -> None:
    first, second = new_host(), new_host()
    first.relay.start()
    await until(lambda: first.lease.held)
    second.relay.start()
    await publish(second.database, assigned(1))
    await drained(first)
    assert (first.heard, second.heard) == (["e1"], [])
    await first.relay.close()
    await until(lambda: second.lease.held)
    await publish(second.database, assigned(2))
    await drained(second)
    assert (first.heard, second.heard) == (["e1"], ["e2"])


async def test_when_the_leader_falls_silent_another_takes_over_what_it_had_in_hand(
    new_host: Callable[[], Host],
) -> None:
    first, second = new_host(), new_host()
    first.relay.start()
    await until(lambda: first.lease.held)
    assert first.relay._task is not None
    first.relay._task.cancel()  # as kill -9: nothing is marked and the lease is not released
    await asyncio.wait([first.relay._task])
    await publish(first.database, assigned(1), assigned(2))
    second.relay.start()
    await drained(second)
    assert second.heard == ["e1", "e2"]


async def test_a_leader_that_was_paused_for_too_long_marks_nothing_and_steps_back(
    new_host: Callable[[], Host],
) -> None:
    paused, other = new_host(), new_host()
    gate = asyncio.Event()

    async def wait(_event: AnyEvent) -> None:
        await gate.wait()

    paused.bus.subscribe("stuck", [Event], wait)
    paused.relay.start()
    await publish(paused.database, assigned(1))
    await until(lambda: paused.heard == ["e1"])
    async with other.database.transaction() as tx:
        await tx.connection.execute(sa.update(leases).values(expires_at=0.0))
    assert await other.lease.take()
    gate.set()
    await until(lambda: not paused.lease.held)
    assert (await other.relay.backlog()).waiting == 1
    other.relay.start()
    await drained(other)
    assert other.heard == ["e1"]
    async with other.database.reading() as connection:
        assert (await connection.execute(sa.select(outbox.c.state))).scalars().all() == ["published"]


async def test_a_database_that_is_away_ends_no_relay(clock: ManualClock) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none", QUICK)
    relay = Relay(Lease(away, "relay", "a"), MemoryBus(), clock, LIMITS, random.Random(1))
    relay.start()
    watcher = asyncio.create_task(relay.wait())
    await asyncio.sleep(0.2)
    assert not watcher.done()
    await relay.close()
    await watcher
    await away.close()
