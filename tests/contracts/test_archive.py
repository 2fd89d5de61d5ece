"""What every trip archive promises, run on each adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.events import Party
from core.geo import LatLng
from core.money import Money
from runtime.sql import Database
from trips.adapters.memory import MemoryTripArchive
from trips.adapters.sqlite_archive import SqliteTripArchive, trips_by_driver
from trips.model import QuoteTerms, Trip, TripDriver, TripStep, TripVehicle
from trips.ports import TripArchive


@pytest.fixture
async def resting(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'archive.db'}")
    yield database
    await database.close()


@pytest.fixture(params=["memory", "sqlite"])
async def archive(request: pytest.FixtureRequest, resting: Database) -> TripArchive:
    if request.param == "memory":
        return MemoryTripArchive()
    archive = SqliteTripArchive(resting)
    await archive.prepare()
    await archive.prepare()  # again is harmless
    return archive


def trip(n: int, rider: str = "rdr_1", driver: str = "drv_1", **changes: Any) -> Trip:
    made = Trip(
        trip_id=f"trip_{n:04d}",
        request_id=f"req_{n}",
        rider_id=rider,
        driver_id=driver,
        status="completed",
        start_code="0042",
        pickup=LatLng(57.69891234567, 11.95731234567),
        dropoff=LatLng(-33.1, -70.2),
        mode="broadcast",
        segment="881f25a5b7fffff",
        driver=TripDriver("Åsa Öberg", 4.87),
        vehicle=TripVehicle("ABC123", "premium", 4),
        assigned_at=1_790_000_000.123456,
        steps=(TripStep("assigned", 1_790_000_000.123456), TripStep("cancelled", 1_790_000_001.5, "rider: späť")),
        quote=QuoteTerms("quo_1", Money(20_000, "SEK"), 8_000.1, 900.7, 1.25),
        distance_m=8_123.456789,
        distance_grade="matched",
        fare=Money(21_000, "SEK"),
    )
    return msgspec.structs.replace(made, **changes)


async def test_trip_comes_back_exactly_as_it_was_put(archive: TripArchive) -> None:
    await archive.put([trip(1)])
    assert await archive.get("trip_0001") == trip(1)
    assert await archive.list_of("rider", "rdr_1", None, 10) == [trip(1)]
    assert await archive.list_of("driver", "drv_1", None, 10) == [trip(1)]


async def test_unknown_trip_and_unknown_people_have_nothing(archive: TripArchive) -> None:
    assert await archive.get("trip_none") is None
    assert await archive.list_of("rider", "rdr_none", None, 10) == []
    assert await archive.verified([]) == []
    await archive.put([])


async def test_putting_again_doubles_nothing_and_the_last_write_stands(archive: TripArchive) -> None:
    await archive.put([trip(1), trip(2)])
    later = trip(1, distance_m=9_000.0)
    await archive.put([later])
    assert await archive.list_of("rider", "rdr_1", None, 10) == [trip(2), later]
    assert await archive.get("trip_0001") == later


@pytest.mark.parametrize(("party", "subject"), [("rider", "rdr_1"), ("driver", "drv_1")])
async def test_lists_are_newest_first_below_the_cursor(archive: TripArchive, party: Party, subject: str) -> None:
    await archive.put([trip(n) for n in (3, 1, 5, 2, 4)])
    await archive.put([trip(9, "rdr_2", "drv_2")])
    listed = await archive.list_of(party, subject, None, 3)
    assert [each.trip_id for each in listed] == ["trip_0005", "trip_0004", "trip_0003"]
    listed = await archive.list_of(party, subject, "trip_0003", 3)
    assert [each.trip_id for each in listed] == ["trip_0002", "trip_0001"]


async def test_rider_and_driver_with_the_same_id_do_not_mix(archive: TripArchive) -> None:
    await archive.put([trip(1, rider="same", driver="drv_1"), trip(2, rider="rdr_1", driver="same")])
    assert await archive.list_of("rider", "same", None, 10) == [trip(1, rider="same", driver="drv_1")]


async def test_only_what_reads_back_equal_is_verified(archive: TripArchive) -> None:
    await archive.put([trip(1), trip(2)])
    changed = trip(2, fare=Money(1, "SEK"))
    assert await archive.verified([trip(1), changed, trip(3)]) == [trip(1)]


async def test_trip_missing_from_one_table_is_not_verified(resting: Database) -> None:
    archive = SqliteTripArchive(resting)
    await archive.prepare()
    await archive.put([trip(1), trip(2)])
    async with resting.transaction() as tx:
        await tx.connection.execute(trips_by_driver.delete().where(trips_by_driver.c.trip_id == "trip_0001"))
    assert await archive.verified([trip(1), trip(2)]) == [trip(2)]
