"""Leases: one owner at a time, by the database's time."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from runtime.lease import Lease, leases
from runtime.sql import Database


@pytest.fixture
def first(database: Database) -> Lease:
    return Lease(database, "work", "first")


@pytest.fixture
def second(database: Database) -> Lease:
    return Lease(database, "work", "second")


async def expire(database: Database) -> None:
    """As if the owner had been silent for long enough."""
    async with database.transaction() as tx:
        await tx.connection.execute(sa.update(leases).values(expires_at=leases.c.expires_at - 1_000))


async def stands(lease: Lease) -> bool:
    async with lease.database.reading() as connection:
        return bool((await connection.execute(sa.select(lease.stands()))).scalar_one())


async def test_one_owner_at_a_time(first: Lease, second: Lease) -> None:
    assert not first.held
    assert await first.take()
    assert first.held
    assert await stands(first)
    assert not await second.take()
    assert not second.held
    assert not await stands(second)


async def test_of_many_who_ask_at_once_one_gets_it(database: Database) -> None:
    many = [Lease(database, "work", f"owner {number}") for number in range(20)]
    assert sum(await asyncio.gather(*(lease.take() for lease in many))) == 1
    assert sum([await stands(lease) for lease in many]) == 1


async def test_a_silent_owner_is_followed_and_its_number_stands_no_more(
    database: Database, first: Lease, second: Lease
) -> None:
    await first.take()
    await expire(database)
    assert await second.take()
    assert await stands(second)
    assert not await stands(first)
    assert not await first.renew()
    assert not first.held
    assert not await first.take()


async def test_a_renewed_lease_is_not_taken(database: Database, first: Lease, second: Lease) -> None:
    await first.take()
    await expire(database)
    assert await first.renew()  # nobody had come meanwhile
    assert not await second.take()


async def test_who_starts_again_under_its_name_takes_its_lease_back_with_a_new_number(
    database: Database, first: Lease
) -> None:
    await first.take()
    again = Lease(database, "work", "first")
    assert await again.take()
    assert await stands(again)
    assert not await stands(first)


async def test_a_released_lease_is_free_at_once(first: Lease, second: Lease) -> None:
    await first.take()
    await first.release()
    assert await second.take()
    await first.release()  # no longer its own: nothing happens
    assert await stands(second)


async def test_leases_of_other_names_are_others(database: Database, first: Lease) -> None:
    await first.take()
    assert await Lease(database, "other work", "second").take()


async def test_an_owner_that_heard_nothing_for_too_long_does_not_count_on_it(database: Database) -> None:
    database.settings = type(database.settings)(lease_s=0.01)
    lease = Lease(database, "work", "first")
    await lease.take()
    async with asyncio.timeout(10):
        while lease.held:
            await asyncio.sleep(0.005)
