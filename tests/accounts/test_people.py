"""Riders and drivers: sign-up, checks, changes, ratings."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.adapters.sql import SqlDriverWork, SqlPeople, SqlRiderWork, SqlTransactions
from accounts.model import Driver, DriverPatch, NewDriver, NewRider, RiderPatch, Vehicle, normal_phone
from accounts.ratings import RatingDesk
from accounts.service import DriverDesk, RiderDesk
from core.errors import Conflict, Forbidden, InvalidInput, NotFound
from core.events import Party, TripRated, trip_rated_id
from runtime.sql import Database

CAR = Vehicle("ABC 123", "standard", 4)


@pytest.mark.parametrize("written", ["+46 70-123 45 67", "0046701234567", "+46(0)701234567", "+46.70.123.45.67"])
def test_phone_is_the_same_however_it_is_written(written: str) -> None:
    assert normal_phone(written) == "+46701234567"


@pytest.mark.parametrize(
    "wrong", ["", "0701234567", "+0701234567", "+46", "+4670123456789012", "+46x0123", None, 46, "+" * 99]
)
def test_phone_without_country_or_sense_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        normal_phone(wrong)
    assert [error.field for error in refused.value.errors] == ["phone"]


@given(st.text())
def test_phone_is_normal_once_and_for_all_or_refused(text: str) -> None:
    try:
        once = normal_phone(text)
    except InvalidInput:
        return
    assert normal_phone(once) == once
    assert once.isascii()


async def test_rider_is_kept_normalised(riders: RiderDesk) -> None:
    made = await riders.create(NewRider("  Ada   Lovelace ", "+46 70 123 45 67", "ada@example.org"))
    assert (made.name, made.phone, made.rider_class, made.rating) == ("Ada Lovelace", "+46701234567", "standard", None)
    assert await riders.get(made.rider_id) == made


async def test_every_wrong_field_is_named_at_once(riders: RiderDesk, drivers: DriverDesk) -> None:
    with pytest.raises(InvalidInput) as refused:
        await riders.create(NewRider(" ", "12", "nobody"))
    assert [error.field for error in refused.value.errors] == ["name", "phone", "email"]
    wrong_car: Any = Vehicle("!", "luxury", 0)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput) as refused:
        await drivers.create(NewDriver("D", "+46701234567", wrong_car), by_ops=True)
    assert [error.field for error in refused.value.errors] == ["vehicle.plate", "vehicle.class", "vehicle.seats"]


async def test_phone_belongs_to_one_rider_and_one_driver(riders: RiderDesk, drivers: DriverDesk) -> None:
    await riders.create(NewRider("Ada", "+46701234567"))
    await drivers.create(NewDriver("Ada", "+46701234567", CAR), by_ops=True)  # she drives as well
    with pytest.raises(Conflict) as refused:
        await riders.create(NewRider("Bo", "0046 701234567"))
    assert refused.value.code == "phone_taken"
    with pytest.raises(Conflict) as refused:
        await drivers.create(NewDriver("Bo", "+46701234567", CAR), by_ops=False)
    assert refused.value.code == "phone_taken"


async def test_ops_approve_at_once_and_others_wait(drivers: DriverDesk) -> None:
    approved = await drivers.create(NewDriver("D", "+46701234567", CAR), by_ops=True)
    pending = await drivers.create(NewDriver("E", "+46701234568", CAR), by_ops=False)
    assert await drivers.approved(approved.driver_id) == approved
    assert approved.vehicle.plate == "ABC123"
    with pytest.raises(Forbidden) as refused:
        await drivers.approved(pending.driver_id)
    assert refused.value.code == "not_approved"


async def test_only_ops_change_class_and_status(riders: RiderDesk, drivers: DriverDesk, watch: Any) -> None:
    rider = await riders.create(NewRider("Ada", "+46701234567"))
    driver = await drivers.create(NewDriver("D", "+46701234568", CAR), by_ops=False)
    with pytest.raises(Forbidden) as refused:
        await riders.change(rider.rider_id, RiderPatch(name="X", rider_class="premium"), by_ops=False)
    assert (refused.value.code, [error.field for error in refused.value.errors]) == ("ops_only", ["class"])
    with pytest.raises(Forbidden):
        await drivers.change(driver.driver_id, DriverPatch(status="approved"), by_ops=False)
    assert (await riders.get(rider.rider_id)).name == "Ada"
    premium = await riders.change(rider.rider_id, RiderPatch(rider_class="premium"), by_ops=True)
    patch = DriverPatch(status="approved", vehicle_class="premium", seats=6)
    changed = await drivers.change(driver.driver_id, patch, by_ops=True)
    assert (await riders.get(rider.rider_id)) == premium
    assert (changed.status, changed.vehicle) == ("approved", Vehicle("ABC123", "premium", 6))
    assert await drivers.get(driver.driver_id) == changed
    assert watch.seen == [changed]


async def test_driver_changes_the_name_and_a_patch_without_change_tells_nobody(drivers: DriverDesk, watch: Any) -> None:
    driver = await drivers.create(NewDriver("D", "+46701234568", CAR), by_ops=True)
    assert (await drivers.change(driver.driver_id, DriverPatch(name="Dora"), by_ops=False)).name == "Dora"
    await drivers.change(driver.driver_id, DriverPatch(name="Dora"), by_ops=False)
    assert len(watch.seen) == 1


async def test_wrong_patch_changes_nothing(drivers: DriverDesk) -> None:
    driver = await drivers.create(NewDriver("D", "+46701234568", CAR), by_ops=True)
    wrong: Any = "retired"
    with pytest.raises(InvalidInput) as refused:
        await drivers.change(driver.driver_id, DriverPatch(name="New", status=wrong, seats=99), by_ops=True)
    assert [error.field for error in refused.value.errors] == ["status", "vehicle.seats"]
    assert await drivers.get(driver.driver_id) == driver


async def test_unknown_people_are_not_found(riders: RiderDesk, drivers: DriverDesk) -> None:
    with pytest.raises(NotFound):
        await riders.get("rdr_none")
    with pytest.raises(NotFound):
        await riders.change("rdr_none", RiderPatch(name="X"), by_ops=True)
    with pytest.raises(NotFound):
        await drivers.get("drv_none")
    with pytest.raises(NotFound):
        await drivers.change("drv_none", DriverPatch(name="X"), by_ops=True)


async def test_ratings_add_up_to_their_mean_and_survive_a_patch(
    database: Database, riders: RiderDesk, drivers: DriverDesk
) -> None:
    rider = await riders.create(NewRider("Ada", "+46701234567"))
    driver = await drivers.create(NewDriver("D", "+46701234568", CAR), by_ops=True)
    ratings = RatingDesk(SqlTransactions(database, SqlRiderWork), SqlTransactions(database, SqlDriverWork))
    for trip, stars in enumerate((5, 4, 4)):
        for _ in range(2):  # events come at least once
            await ratings.handle(a_rating(trip, "driver", driver.driver_id, stars))
            await ratings.handle(a_rating(trip, "rider", rider.rider_id, 3))
    await drivers.change(driver.driver_id, DriverPatch(name="Dora"), by_ops=True)
    rated = await drivers.get(driver.driver_id)
    assert (rated.rating, rated.ratings) == (4.33, 3)
    assert (await riders.get(rider.rider_id)).rating == 3.0


async def test_ratings_that_come_twice_at_once_are_counted_once(database: Database, drivers: DriverDesk) -> None:
    driver = await drivers.create(NewDriver("D", "+46701234568", CAR), by_ops=True)
    ratings = RatingDesk(SqlTransactions(database, SqlRiderWork), SqlTransactions(database, SqlDriverWork))
    told = [a_rating(trip, "driver", driver.driver_id, 4) for trip in range(4)]
    await asyncio.gather(*(ratings.handle(event) for event in told * 3))
    counted = await drivers.get(driver.driver_id)
    assert (counted.ratings, counted.ratings_sum) == (4, 16)


def a_rating(trip: int, about: Party, about_id: str, stars: int) -> TripRated:
    by: Party = "driver" if about == "rider" else "rider"
    return TripRated(
        id=trip_rated_id(f"trip_{trip}", by),
        at=100.0 + trip,
        trip_id=f"trip_{trip}",
        request_id=f"req_{trip}",
        rider_id="r",
        driver_id="d",
        by=by,
        about=about,
        about_id=about_id,
        stars=stars,
    )


async def test_drivers_are_read_in_one_go(database: Database, drivers: DriverDesk) -> None:
    made: list[Driver] = [await drivers.create(NewDriver("D", f"+4670123456{n}", CAR), by_ops=True) for n in range(3)]
    found = await SqlPeople(database, database).drivers([*(driver.driver_id for driver in made[:2]), "drv_none"])
    assert found == {driver.driver_id: driver for driver in made[:2]}
