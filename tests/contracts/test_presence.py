"""What every Presence keeps, in memory and on every kind of Redis."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import Unavailable
from runtime.presence import Arrival, Arrived, Departure, Host, MemoryPresence, Presence, Subject
from runtime.redis import connect
from runtime.redis_presence import RedisPresence
from runtime.redis_settings import RedisSettings
from tests.contracts.conftest import RedisOf

KINDS = ["memory", "embedded", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("redis", "cluster"))]
A, B, C = Host("host-a", "127.0.0.1:1"), Host("host-b", "127.0.0.1:2"), Host("host-c", "[::1]:3")
DRIVER, RIDER = Subject("driver", "drv_1"), Subject("rider", "rdr_1")
LONG_S = 60.0
_example = itertools.count()


@pytest.fixture(params=KINDS)
async def presence(request: pytest.FixtureRequest, redis_of: RedisOf) -> Presence:
    if request.param == "memory":
        return MemoryPresence(time.monotonic)
    return RedisPresence(await redis_of(request.param), keep_s=60.0)


@pytest.fixture
async def alive(presence: Presence) -> Presence:
    for host in (A, B, C):
        await presence.beat(host, LONG_S)
    return presence


async def come(presence: Presence, host: Host, subject: Subject = DRIVER, epoch: int = 0) -> Arrived:
    return (await presence.arrive(host.id, [Arrival(subject, epoch)]))[0]


async def go(presence: Presence, host: Host, epoch: int, subject: Subject = DRIVER) -> bool:
    return (await presence.leave(host.id, [Departure(subject, epoch)]))[0]


async def where(presence: Presence, subject: Subject = DRIVER) -> list[Host]:
    return sorted((await presence.hosts_of([subject]))[0])


async def test_a_driver_is_where_they_came_last(alive: Presence) -> None:
    assert await where(alive) == []
    first = await come(alive, A)
    assert (first.previous, await where(alive)) == ("", [A])
    second = await come(alive, B)
    assert (second.previous, await where(alive)) == (A.id, [B])
    assert second.epoch > first.epoch > 0


async def test_who_comes_back_to_the_same_host_has_a_newer_epoch(alive: Presence) -> None:
    first, second = await come(alive, A), await come(alive, A)
    assert second.epoch > first.epoch
    assert second.previous == ""
    assert await where(alive) == [A]


async def test_a_host_that_asks_twice_still_hears_where_the_driver_was(alive: Presence) -> None:
    await come(alive, A)
    await come(alive, B)
    assert (await come(alive, B)).previous == A.id, "the first answer may have been lost"


async def test_an_older_host_cannot_take_a_driver_away_from_a_newer_one(alive: Presence) -> None:
    older, newer = await come(alive, A), await come(alive, B)
    assert not await go(alive, A, older.epoch)
    assert await where(alive) == [B]
    assert await go(alive, B, newer.epoch)
    assert not await go(alive, B, newer.epoch)
    assert await where(alive) == []


async def test_an_older_connection_of_the_same_host_does_not_take_out_the_newer_one(alive: Presence) -> None:
    older = await come(alive, A)
    await come(alive, A)
    assert not await go(alive, A, older.epoch)
    assert await where(alive) == [A]


async def test_who_left_was_nowhere_before(alive: Presence) -> None:
    first = await come(alive, A)
    await go(alive, A, first.epoch)
    second = await come(alive, B)
    assert second.previous == ""
    assert second.epoch > first.epoch


async def test_saying_it_again_changes_nothing_and_an_older_host_is_told_so(alive: Presence) -> None:
    older, newer = await come(alive, A), await come(alive, B)
    assert (await come(alive, B, epoch=newer.epoch)).epoch == newer.epoch
    assert (await come(alive, A, epoch=older.epoch)).epoch == 0
    assert await where(alive) == [B]


@pytest.mark.parametrize("older_first", [True, False])
async def test_after_everything_was_lost_the_newest_connection_wins_in_whatever_order_it_is_told(
    presence: Presence, older_first: bool
) -> None:
    older, newer = (A, 1_000), (B, 2_000)
    for host, epoch in (older, newer) if older_first else (newer, older):
        await presence.beat(host, LONG_S)
        await come(presence, host, epoch=epoch)
    assert await where(presence) == [B]
    assert (await come(presence, A, epoch=1_000)).epoch == 0
    assert (await come(presence, C)).epoch > 2_000


async def test_a_rider_hangs_on_several_hosts(alive: Presence) -> None:
    first, second = await come(alive, A, RIDER), await come(alive, B, RIDER)
    assert (first.previous, second.previous) == ("", "")
    assert await where(alive, RIDER) == [A, B]
    assert await go(alive, A, first.epoch, RIDER)
    assert await where(alive, RIDER) == [B]
    assert (await come(alive, B, RIDER, second.epoch)).epoch == second.epoch
    assert not await go(alive, B, first.epoch, RIDER)
    assert await where(alive, RIDER) == [B]


async def test_many_come_and_go_at_once(alive: Presence) -> None:
    drivers = [Subject("driver", f"drv_{n:04}") for n in range(1_500)]
    arrived = await alive.arrive(A.id, [Arrival(each, 0) for each in drivers])
    assert len({each.epoch for each in arrived if each.epoch}) > 0
    assert await alive.hosts_of(drivers) == [[A]] * 1_500
    leaving = [Departure(driver, came.epoch) for driver, came in zip(drivers, arrived, strict=True)]
    assert await alive.leave(A.id, leaving[:700]) == [True] * 700
    assert await alive.hosts_of(drivers) == [[]] * 700 + [[A]] * 800
    assert await alive.arrive(A.id, []) == []
    assert await alive.leave(A.id, []) == []
    assert await alive.hosts_of([]) == []


async def test_who_hangs_on_a_host_is_listed_in_pages(alive: Presence) -> None:
    subjects = [Subject("driver", f"drv_{n}") for n in range(5)] + [RIDER]
    await alive.arrive(A.id, [Arrival(each, 0) for each in subjects])
    first = await alive.subjects_of(A.id, limit=4)
    assert first + await alive.subjects_of(A.id, first[-1], limit=4) == subjects
    assert await alive.subjects_of(B.id) == []


async def test_hosts_give_signs_of_life(presence: Presence) -> None:
    assert await presence.hosts() == []
    assert not await presence.beat(A, LONG_S), "nobody knew it before"
    assert await presence.beat(A, LONG_S)
    await presence.beat(C, LONG_S)
    assert sorted(await presence.hosts()) == [A, C]
    await presence.retire(A.id)
    assert await presence.hosts() == [C]
    assert not await presence.beat(A, LONG_S)


async def _expired(presence: Presence, host: Host) -> None:
    await presence.beat(host, 0.05)
    async with asyncio.timeout(10):
        while host in await presence.hosts():
            await asyncio.sleep(0.01)


async def test_a_dead_host_counts_no_more_at_once_and_its_drivers_may_go_elsewhere(alive: Presence) -> None:
    await come(alive, A)
    await come(alive, A, RIDER)
    await come(alive, B, RIDER)
    await _expired(alive, A)
    assert await where(alive) == []
    assert await where(alive, RIDER) == [B]
    await come(alive, B)
    assert await where(alive) == [B]


async def test_any_host_reclaims_what_a_dead_one_has_left(alive: Presence) -> None:
    others = Subject("driver", "drv_2")
    await alive.arrive(A.id, [Arrival(each, 0) for each in (DRIVER, RIDER, others)])
    await come(alive, B, others)
    await _expired(alive, A)
    assert await alive.reclaim() == 2, "one of the three had gone on to a living host"
    assert await alive.subjects_of(A.id) == []
    assert await where(alive, others) == [B]
    assert await alive.reclaim() == 0


async def test_a_host_that_was_thought_dead_says_everything_again(alive: Presence) -> None:
    came = await come(alive, A)
    await _expired(alive, A)
    await alive.reclaim()
    assert not await alive.beat(A, LONG_S)
    assert (await come(alive, A, epoch=came.epoch)).epoch == came.epoch
    assert await where(alive) == [A]
    assert await alive.subjects_of(A.id) == [DRIVER]


moves = st.lists(st.tuples(st.sampled_from([A, B, C]), st.sampled_from(["come", "go", "again"])), max_size=25)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=moves)
async def test_whatever_hosts_say_in_whatever_order_the_newest_connection_is_where_the_driver_is(
    presence: Presence, moves: list[tuple[Host, str]]
) -> None:
    for host in (A, B, C):
        await presence.beat(host, LONG_S)
    driver = Subject("driver", f"drv_{next(_example)}")  # the store lives on between examples
    epochs: dict[Host, int] = {}
    newest: Host | None = None
    for host, what in moves:
        if what == "come":
            epochs[host] = (await come(presence, host, driver)).epoch
            assert epochs[host] == max(epochs.values())
            newest = host
        elif what == "go" and host in epochs:
            assert await go(presence, host, epochs[host], driver) == (host == newest)
            newest = None if host == newest else newest
            del epochs[host]
        elif what == "again" and host in epochs and newest is not None:
            assert bool((await come(presence, host, driver, epochs[host])).epoch) == (host == newest)
    assert await where(presence, driver) == ([newest] if newest else [])


async def test_without_redis_every_call_is_unavailable() -> None:
    client = connect(RedisSettings(url="redis://127.0.0.1:1", retries=1))
    away: Presence = RedisPresence(client, 60.0)
    calls: list[Callable[[], object]] = [
        lambda: come(away, A),
        lambda: go(away, A, 1),
        lambda: where(away),
        lambda: away.subjects_of(A.id),
        lambda: away.beat(A, 1.0),
        away.hosts,
        away.reclaim,
        lambda: away.retire(A.id),
    ]
    for call in calls:
        with pytest.raises(Unavailable):
            await call()  # type: ignore[misc]
    await client.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["redis", "cluster"])
async def test_what_no_host_tells_anew_is_forgotten(kind: str, redis_of: RedisOf) -> None:
    client = await redis_of(kind)
    presence = RedisPresence(client, keep_s=0.1)
    await presence.beat(A, LONG_S)
    await come(presence, A)
    await come(presence, A, RIDER)
    async with asyncio.timeout(10):
        while any(await presence.hosts_of([DRIVER, RIDER])):
            await asyncio.sleep(0.01)
