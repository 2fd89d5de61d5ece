"""Several gateways: a driver is where they connected last, and an older host takes nothing away from a newer one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from core.errors import Unauthorized, Unavailable
from location.adapters.memory import MemorySupply
from runtime.clocks import ManualClock
from runtime.host_settings import HostSettings
from runtime.presence import Host, MemoryPresence, Subject
from runtime.roll import Roll
from tests.location.conftest import QUICK, Street

HOSTS = HostSettings(beat_s=0.02, host_expires_s=60.0)


class HostStreet(Street):
    """One gateway of several, on the same supply and presence."""

    def __init__(self, name: str, clock: ManualClock, world: World) -> None:
        self.world = world
        self.unreachable = False
        self.host_roll = Roll(world.presence, Host(name, f"{name}:1"), self._replaced, HOSTS, random.Random(1))
        super().__init__(clock, QUICK, store=world.store, roll=self.host_roll.of("driver"))
        world.streets[name] = self

    async def _replaced(self, host: Host, subject: Subject, epoch: int) -> None:
        other = self.world.streets[host.id]
        if other.unreachable:
            raise Unavailable("cannot be reached")
        other.gateway.lost(subject.id, epoch)

    async def start(self) -> None:
        self.telling = asyncio.create_task(self.host_roll.run())
        await self.gateway.start()
        await self.host_roll.beat()

    async def stop(self) -> None:
        await self.gateway.close()
        self.telling.cancel()
        await asyncio.gather(self.telling, return_exceptions=True)
        await self.host_roll.close()

    def gone(self) -> list[str]:
        return [call[1] for call in self.desk.calls if call[0] == "disconnected"]


class World:
    def __init__(self) -> None:
        self.presence = MemoryPresence(lambda: 0.0)
        self.store = MemorySupply()
        self.streets: dict[str, HostStreet] = {}

    async def where(self) -> list[str]:
        return [host.id for host in (await self.presence.hosts_of([Subject("driver", "drv_1")]))[0]]


@pytest.fixture
async def hosts(clock: ManualClock) -> AsyncIterator[tuple[HostStreet, HostStreet]]:
    world = World()
    a, b = HostStreet("a", clock, world), HostStreet("b", clock, world)
    for street in (a, b, a):
        await (street.host_roll.beat() if street.gateway.port else street.start())
    yield a, b
    for street in (a, b):
        await street.stop()


async def test_a_driver_who_connects_elsewhere_is_closed_here_and_stays_in_the_supply(
    hosts: tuple[HostStreet, HostStreet],
) -> None:
    a, b = hosts
    async with a.app() as old:
        await old.say("status", online=True)
        await old.say("ping", **a.at(1))
        await old.acked(1)
        assert await a.in_supply() == ["drv_1"]
        async with b.app() as new:
            assert await old.closed() == 4001
            await new.say("status", online=True)
            await new.say("ping", **b.at(2))
            await new.acked(2)
            for street in (b, a, b):
                assert await street.in_supply() == ["drv_1"]
            a.supply.set_vehicle("drv_1", "premium", 4)  # late news reaches the old host
            a.live.tell_again()
            assert await a.in_supply() == ["drv_1"]
            assert (await a.store.of_drivers(["drv_1"])).vehicle == [""]
            assert await a.world.where() == ["b"]
            assert (a.gone(), b.gone()) == ([], []), "offers stay with a driver who is connected"
        await b.until(lambda: b.gone() == ["drv_1"])
    assert a.gone() == []


async def test_an_old_host_that_was_not_told_finds_out_from_the_supply(hosts: tuple[HostStreet, HostStreet]) -> None:
    a, b = hosts
    a.unreachable = True
    async with a.app() as old, b.app() as new:
        for app, street, seq in ((new, b, 2), (old, a, 1)):
            await app.say("status", online=True)
            await app.say("ping", **street.at(seq))
            if app is new:
                await app.acked(seq)
                assert await street.in_supply() == ["drv_1"]
        assert await old.closed() == 4001
        assert await b.in_supply() == ["drv_1"]
        assert await a.world.where() == ["b"]
        assert a.gone() == []


async def test_the_old_sockets_end_after_the_move_ends_no_offers(hosts: tuple[HostStreet, HostStreet]) -> None:
    a, b = hosts
    a.unreachable = True
    async with b.app("drv_2"):
        async with a.app():
            async with b.app():
                await b.until(lambda: b.live.driver("drv_1").epoch > 0)
                await a.gateway.drain()
                await a.until(lambda: not a.host_roll.untold)
                assert await a.world.where() == ["b"]
                assert (a.gone(), b.gone()) == ([], [])


async def test_a_driver_who_comes_back_to_the_first_host_works_there_again(
    hosts: tuple[HostStreet, HostStreet],
) -> None:
    a, b = hosts
    async with a.app() as first, b.app() as second:
        assert await first.closed() == 4001
        async with a.app() as third:
            assert await second.closed() == 4001
            await third.say("status", online=True)
            await third.say("ping", **a.at(1))
            await third.acked(1)
            assert await a.in_supply() == ["drv_1"]
            assert await a.world.where() == ["a"]


@pytest.mark.parametrize("older_first", [True, False])
async def test_after_presence_and_supply_were_lost_the_newest_host_keeps_the_driver(
    hosts: tuple[HostStreet, HostStreet], older_first: bool
) -> None:
    a, b = hosts
    a.unreachable = True
    async with a.app() as old, b.app() as new:
        await b.until(lambda: b.live.driver("drv_1").epoch > 0)
        await new.say("status", online=True)
        await new.say("ping", **b.at(2))
        await new.acked(2)
        assert await b.in_supply() == ["drv_1"]
        a.world.presence.lose_everything()
        await a.store.expire(1e12)
        for street in (a, b) if older_first else (b, a):
            street.live.tell_again()
            street.host_roll.tell_again()
            await street.host_roll.beat()
            await street.until(lambda street=street: not street.host_roll.untold)  # type: ignore[misc]
        a.host_roll.tell_again()
        assert await old.closed() == 4001
        assert await b.in_supply() == ["drv_1"]
        assert await a.world.where() == ["b"]


class Ticket:
    """What becomes of a ticket is decided by the test."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.error: Exception | None = None
        self.used: list[str] = []

    async def use(self, ticket: str) -> None:
        self.used.append(ticket)
        await self.gate.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
async def door(clock: ManualClock) -> AsyncIterator[tuple[Street, Ticket]]:
    ticket = Ticket()
    street = Street(clock, QUICK, use_ticket=ticket.use)
    await street.gateway.start()
    yield street, ticket
    ticket.gate.set()
    await street.gateway.close()


async def test_who_comes_with_a_ticket_is_here_once_it_is_used_up_and_what_they_said_meanwhile_counts(
    door: tuple[Street, Ticket],
) -> None:
    street, ticket = door
    async with street.app(ticket="drv_1", welcome=False) as app:
        await app.say("status", online=True)
        await app.say("ping", **street.at(1))
        await app.socket.send(['{"type":"pings",', '"items":[]}'])
        await street.until(lambda: ticket.used == ["drv_1"])
        assert not street.gateway.connected("drv_1")
        ticket.gate.set()
        assert (await app.hear())["type"] == "welcome"
        await app.acked(1)
        assert await street.in_supply() == ["drv_1"]


@pytest.mark.parametrize(("error", "code"), [(Unauthorized("used before"), 1008), (Unavailable("nobody knows"), 1013)])
async def test_a_ticket_that_cannot_be_used_takes_nobodys_place(
    door: tuple[Street, Ticket], error: Exception, code: int
) -> None:
    street, ticket = door
    async with street.app() as real:
        ticket.error = error
        ticket.gate.set()
        async with street.app(ticket="drv_1", welcome=False) as app:
            assert await app.closed() == code
        assert street.gateway.connected("drv_1")
        await real.say("ping", **street.at(1))
        await real.acked(1)
    await street.until(lambda: not street.gateway.connected("drv_1"))


async def test_too_much_before_the_ticket_is_used_closes(door: tuple[Street, Ticket]) -> None:
    street, _ = door
    async with street.app(ticket="drv_1", welcome=False) as app:
        for seq in range(2_000):
            await app.say("ping", **street.at(seq))
        assert await app.closed() in (1008, 1013)


async def test_who_leaves_before_the_ticket_is_used_never_was_here(door: tuple[Street, Ticket]) -> None:
    street, ticket = door
    async with street.app(ticket="drv_1", welcome=False):
        await street.until(lambda: bool(ticket.used))
    ticket.gate.set()
    await asyncio.sleep(0.05)
    assert not street.gateway.connected("drv_1")
    assert street.desk.calls == []


async def test_a_gateway_that_drains_lets_go_of_who_waits(door: tuple[Street, Ticket]) -> None:
    street, ticket = door
    async with street.app(ticket="drv_1", welcome=False) as app:
        await street.until(lambda: bool(ticket.used))
        await street.gateway.drain()
        assert await app.closed() in (1011, 1012, 1013)
