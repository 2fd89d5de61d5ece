"""History: one list, newest first, one cursor over live and archived trips."""

from __future__ import annotations

import random

import pytest

from core.errors import InvalidInput, NotFound, Unavailable
from core.events import Party
from tests.trips.world import SETTINGS, World
from trips.adapters.memory import MemoryTripArchive
from trips.history import History
from trips.model import By, Trip

OPS = By("ops", "ops_1")


async def test_people_see_their_own_trips_alone(world: World) -> None:
    mine = await world.ride(1, "rdr_1", "drv_1")
    theirs = await world.ride(2, "rdr_2", "drv_1")
    assert (await world.history.of_rider("rdr_1")).items == (mine,)
    assert (await world.history.of_driver("drv_1")).items == (theirs, mine)
    assert (await world.history.of_driver("rdr_1")).items == ()
    with pytest.raises(NotFound):
        await world.history.trip(mine.trip_id, By("rider", "rdr_2"))


@pytest.mark.parametrize("seed", range(5))
async def test_any_mix_of_live_archived_and_both_is_one_list(world: World, seed: int) -> None:
    rng = random.Random(seed)
    trips: list[Trip] = []
    archive = MemoryTripArchive()
    history = History(world.live, archive, SETTINGS)
    for n in range(12):
        trip = await world.open(n)
        trip = await world.desk.cancel(trip.trip_id, OPS)
        trips.insert(0, trip)
        world.clock._now += 1
        rests = rng.choice(["live", "both", "archive"])
        if rests != "live":
            await archive.put([trip])
        if rests == "archive":
            async with world.transactions() as uow:
                await uow.trips.remove_unchanged([trip])
    for size in (1, 5, 12, 13):
        found: list[Trip] = []
        cursor, pages = None, 0
        while pages == 0 or cursor is not None:
            page = await history.of_rider("rdr_1", cursor, size)
            found.extend(page.items)
            cursor, pages = page.next_cursor, pages + 1
        assert found == trips, f"seed {seed}"
        assert pages == -(-12 // size)


async def test_trip_opened_while_paging_does_not_shift_the_pages(world: World) -> None:
    first, second = await world.ride(1), await world.ride(2)
    page = await world.history.of_rider("rdr_1", None, 1)
    await world.ride(3)
    rest = await world.history.of_rider("rdr_1", page.next_cursor, 5)
    assert (page.items, rest.items, rest.next_cursor) == ((second,), (first,), None)


@pytest.mark.parametrize("cursor", ["", "?", "not a cursor", "w6TDtg", "A" * 500, "AAEC"])
async def test_cursor_that_was_not_given_out_is_refused(world: World, cursor: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await world.history.of_rider("rdr_1", cursor)
    assert refused.value.code == "bad_cursor"


@pytest.mark.parametrize("limit", [0, -1, 201])
async def test_limit_out_of_range_is_refused(world: World, limit: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        await world.history.of_rider("rdr_1", None, limit)
    assert [error.field for error in refused.value.errors] == ["limit"]


class Away(MemoryTripArchive):
    async def get(self, trip_id: str) -> Trip | None:
        raise Unavailable("no node can be used", code="store_unavailable", retry_after_s=7.0)

    async def list_of(self, party: Party, subject: str, before: str | None, limit: int) -> list[Trip]:
        raise Unavailable("no node can be used", code="store_unavailable", retry_after_s=7.0)


async def test_while_the_archive_is_away_live_trips_are_found_and_lists_are_refused(world: World) -> None:
    trip = await world.ride(1)
    history = History(world.live, Away(), SETTINGS)
    assert await history.trip(trip.trip_id, OPS) == trip
    for asked in (history.of_rider("rdr_1"), history.of_driver("drv_1"), history.trip("trip_unknown", OPS)):
        with pytest.raises(Unavailable) as refused:
            await asked
        assert (refused.value.code, refused.value.retry_after_s) == ("archive_unavailable", 7.0)
