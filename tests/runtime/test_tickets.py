"""Tickets: good once, on any host, for a short time; and not at all when nobody can know."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import Unauthorized, Unavailable
from runtime.auth import Identity, MemoryTicketUses, Tickets, TicketUses, Tokens
from runtime.redis import connect
from runtime.redis_settings import RedisSettings
from runtime.redis_tickets import RedisTicketUses

KEY = b"k" * 32
DRIVER = Identity("driver", "drv_1")


class Wall:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def of_host(uses: TicketUses, wall: Wall | None = None) -> Tickets:
    return Tickets(KEY, 30.0, uses, wall or Wall())


async def test_a_ticket_is_good_once_and_not_for_long() -> None:
    wall = Wall()
    tickets = of_host(MemoryTicketUses(wall), wall)
    ticket = tickets.issue(DRIVER)
    assert await tickets.redeem(ticket) == DRIVER
    with pytest.raises(Unauthorized):
        await tickets.redeem(ticket)
    late = tickets.issue(DRIVER)
    wall.now += 31.0
    with pytest.raises(Unauthorized):
        await tickets.redeem(late)


async def test_a_ticket_of_one_host_is_used_up_on_another() -> None:
    uses = MemoryTicketUses()
    here, there = of_host(uses), of_host(uses)
    ticket = here.issue(DRIVER)
    assert there.caller(ticket) == DRIVER
    await there.use(ticket)
    with pytest.raises(Unauthorized):
        there.caller(ticket)
    assert here.caller(ticket) == DRIVER, "what another host knows is only found out by the use"
    with pytest.raises(Unauthorized):
        await here.use(ticket)
    with pytest.raises(Unauthorized):
        here.caller(ticket)


@pytest.mark.parametrize("ticket", ["", "never", "a.b.c", Tokens(KEY).sign("driver", "drv_1", 60)])
def test_what_is_no_ticket_is_refused(ticket: str) -> None:
    with pytest.raises(Unauthorized):
        of_host(MemoryTicketUses()).caller(ticket)


async def test_a_ticket_of_another_deployment_is_refused() -> None:
    with pytest.raises(Unauthorized):
        await of_host(MemoryTicketUses()).redeem(Tickets(b"x" * 32, 30.0, MemoryTicketUses(), Wall()).issue(DRIVER))


async def test_a_ticket_is_no_token() -> None:
    with pytest.raises(Unauthorized):
        Tokens(KEY).verify(of_host(MemoryTicketUses()).issue(DRIVER))


async def test_old_uses_are_forgotten() -> None:
    wall = Wall()
    uses = MemoryTicketUses(wall)
    assert await uses.first("a", 30.0)
    assert not await uses.first("a", 30.0)
    wall.now += 31.0
    assert await uses.first("a", 30.0)


@pytest.mark.slow
@pytest.mark.parametrize("fixture", ["redis_url", "redis_cluster_url"])
async def test_of_many_who_use_a_ticket_at_once_one_is_let_in(fixture: str, request: pytest.FixtureRequest) -> None:
    client = connect(RedisSettings(url=request.getfixturevalue(fixture)))
    hosts = [of_host(RedisTicketUses(client)) for _ in range(8)]
    ticket = hosts[0].issue(DRIVER)
    outcomes = await asyncio.gather(*(host.redeem(ticket) for host in hosts), return_exceptions=True)
    assert [each for each in outcomes if not isinstance(each, Unauthorized)] == [DRIVER]
    await client.aclose()


async def test_without_redis_a_ticket_lets_nobody_in_and_may_be_tried_again() -> None:
    client = connect(RedisSettings(url="redis://127.0.0.1:1", retries=1))
    tickets = of_host(RedisTicketUses(client))
    ticket = tickets.issue(DRIVER)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await tickets.redeem(ticket)
    await client.aclose()
