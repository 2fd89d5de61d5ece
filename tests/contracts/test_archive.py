"""What every trip archive promises, run on each adapter."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.events import Party
from core.geo import LatLng
from core.ids import Ids
from core.money import Money
from runtime.cassandra import Cassandra
from runtime.clocks import ManualClock
from runtime.sql import Database
from tests.servers.engines import cassandra_session, cassandra_settings
from trips.adapters.cassandra import TABLES, CassandraTripArchive
from trips.adapters.memory import MemoryTripArchive
from trips.adapters.sqlite_archive import SqliteTripArchive, trips_by_driver
from trips.model import QuoteTerms, Trip, TripDriver, TripStep, TripVehicle
from trips.ports import TripArchive


@pytest.fixture
async def resting(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'archive.db'}")
    yield database
    await database.close()


@contextlib.asynccontextmanager
async def in_cassandra(request: pytest.FixtureRequest) -> AsyncIterator[Cassandra]:
    address, keyspace = request.getfixturevalue("cassandra_address"), request.getfixturevalue("keyspace")
    async with cassandra_session(cassandra_settings(address, keyspace), TABLES) as cassandra:
        yield cassandra


@pytest.fixture(params=["memory", "sqlite", pytest.param("cassandra", marks=pytest.mark.slow)])
async def archive(request: pytest.FixtureRequest, resting: Database) -> AsyncIterator[TripArchive]:
    if request.param == "memory":
        yield MemoryTripArchive()
    elif request.param == "sqlite":
        archive = SqliteTripArchive(resting)
        await archive.prepare()
        await archive.prepare()  # again is harmless
        yield archive
    else:
        async with in_cassandra(request) as cassandra:
            yield CassandraTripArchive(cassandra)


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "row",
    [
        ("trips_by_trip", "trip_id = 'trip_0001'"),
        ("trips_by_rider", "person_id = 'rdr_1' AND span = 'trip_000' AND trip_id = 'trip_0001'"),
        ("trips_by_driver", "person_id = 'drv_1' AND span = 'trip_000' AND trip_id = 'trip_0001'"),
    ],
)
async def test_in_cassandra_a_trip_missing_from_one_table_is_not_verified(
    request: pytest.FixtureRequest, row: tuple[str, str]
) -> None:
    async with in_cassandra(request) as cassandra:
        archive = CassandraTripArchive(cassandra)
        await archive.put([trip(1), trip(2)])
        assert await archive.verified([trip(1), trip(2)]) == [trip(1), trip(2)]
        await cassandra.rows(f"DELETE FROM KEYSPACE.{row[0]} WHERE {row[1]}", ())
        assert await archive.verified([trip(1), trip(2)]) == [trip(2)]


@pytest.mark.slow
@pytest.mark.parametrize("party", ["rider", "driver"])
async def test_in_cassandra_a_trip_that_no_list_would_find_is_not_verified(
    request: pytest.FixtureRequest, party: str
) -> None:
    async with in_cassandra(request) as cassandra:
        archive = CassandraTripArchive(cassandra)
        await archive.put([trip(1)])
        who = {"rider": "rdr_1", "driver": "drv_1"}[party]
        await cassandra.rows(f"DELETE FROM KEYSPACE.trip_spans WHERE party = '{party}' AND person_id = '{who}'", ())
        assert await archive.verified([trip(1)]) == []


@pytest.mark.parametrize(("party", "subject"), [("rider", "rdr_1"), ("driver", "drv_1")])
async def test_a_list_goes_on_over_years(archive: TripArchive, party: Party, subject: str) -> None:
    clock = ManualClock()
    ids = Ids(clock, random.Random(3))
    trips = []
    for n in range(40):
        clock._now += 45 * 86_400  # five years
        trips.insert(0, trip(n, trip_id=ids.new("trip")))
    await archive.put(random.Random(5).sample(trips, 40))
    found: list[Trip] = []
    while page := await archive.list_of(party, subject, found[-1].trip_id if found else None, 3):
        found += page
    assert found == trips
    assert await archive.list_of(party, subject, None, 40) == trips
    assert await archive.list_of(party, subject, "a", 40) == []
    assert await archive.list_of(party, subject, "z", 1) == trips[:1]
