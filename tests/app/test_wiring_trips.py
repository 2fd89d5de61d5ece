"""Trips' surroundings: the audience takes late and repeated news rightly, and a price waits for the whole trail."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from core.errors import Unavailable
from core.events import TripAssigned, TripCancelled, TripCompleted
from runtime.settings import LocationSettings, Settings
from tests.app.town import SETTINGS, Town
from tests.location.conftest import App
from trips.model import By, Trip, arrive, cancel

PINGS = 300


async def riding(town: Town, driver_id: str, app: App) -> Trip:
    """A trip whose rider has just got in."""
    trip = await town.assigned(driver_id, app)
    await app.say("arrive", trip_id=trip.trip_id)
    await app.say("board", trip_id=trip.trip_id, start_code=trip.start_code)
    while (await app.hear("trip"))["status"] != "riding":
        pass
    return trip


async def drive_and_complete(town: Town, app: App, trip: Trip) -> None:
    """All pings of the ride at once, and the end of the trip right behind them."""
    items = []
    for seq in range(2, 2 + PINGS):
        town.clock._now += 1
        items.append(town.ping(seq, north_m=100.0 + 10.0 * seq))
    await app.say("pings", items=items)
    await app.say("complete", trip_id=trip.trip_id)
    while (await app.hear("trip"))["status"] != "completed":
        pass


async def bill(town: Town, trip: Trip) -> Trip:
    completed = [event for event in await town.events() if isinstance(event, TripCompleted)]
    await town.billing.handle(completed[-1])
    priced = await town.live_trips.get(trip.trip_id)
    assert priced is not None
    return priced


class TestSlowTicks:
    @pytest.fixture
    def settings(self) -> Settings:
        return msgspec.structs.replace(SETTINGS, location=LocationSettings(tick_s=30.0, close_grace_s=0.3))

    async def test_a_completed_trip_is_priced_by_every_ping_sent_before_complete(self, town: Town) -> None:
        driver_id = await town.hire()
        async with town.working(driver_id) as app:
            trip = await riding(town, driver_id, app)
            await drive_and_complete(town, app, trip)
            priced = await bill(town, trip)
        assert town.routes.trails == [PINGS]
        assert (priced.distance_m, priced.distance_grade) == (100.0 * PINGS, "matched")


async def test_a_price_waits_until_the_trail_is_durable(town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        trip = await riding(town, driver_id, app)
        town.trails.away = True
        await drive_and_complete(town, app, trip)  # the ride itself does not wait for the log
        with pytest.raises(Unavailable) as caught:
            await bill(town, trip)
        assert caught.value.code == "trail_incomplete"
        town.trails.away = False
        await town.until(lambda: not town.live.undurable)
        priced = await bill(town, trip)
    assert town.routes.trails == [PINGS]
    assert priced.fare is not None


async def test_pings_of_the_next_trip_do_not_hold_up_the_price_of_the_last(town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        trip = await riding(town, driver_id, app)
        await drive_and_complete(town, app, trip)
        await town.until(lambda: town.live.driver(driver_id).trip_id is None)
        town.trails.away = True
        town.supply.set_busy(driver_id, "trip_next")
        town.clock._now += 1
        await app.say("ping", **town.ping(2 + PINGS, north_m=100.0 + 10.0 * (2 + PINGS)))
        await town.until(lambda: "trip_next" in town.live.undurable)
        assert (await bill(town, trip)).fare is not None
        town.trails.away = False


async def test_late_news_of_a_trip_that_ended_leaves_its_driver_free(town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        trip = await town.assigned(driver_id, app)
        await town.trips.cancel(trip.trip_id, By("rider", trip.rider_id))
        told = len(town.riders.told)
        await town.audience.changed(trip)
        await town.audience.changed(arrive(trip, town.clock.now()))
    assert town.live.driver(driver_id).trip_id is None
    assert len(town.riders.told) == told


async def test_a_trip_that_ends_while_its_assignment_is_read_leaves_its_driver_free(town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        trip = await town.assigned(driver_id, app)
        read = town.live_trips.get

        async def read_and_lag(trip_id: str) -> Trip | None:
            found = await read(trip_id)
            await town.trips.cancel(trip_id, By("ops", "ops"))
            return found

        town.audience._live = cast(Any, SimpleNamespace(get=read_and_lag))
        event = next(event for event in await town.events() if isinstance(event, TripAssigned))
        await town.audience.handle(event)
    assert town.live.driver(driver_id).trip_id is None
    assert [each["status"] for each in town.riders.told if each["type"] == "trip"] == ["assigned", "cancelled"]
    assert trip.active


async def test_a_trip_that_was_archived_before_its_end_was_heard_frees_its_driver_and_is_told(
    town: Town,
) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        trip = await town.assigned(driver_id, app)
        await town.trips_elsewhere.cancel(trip.trip_id, By("ops", "ops"))
        assert (await town.archiver.run_once()).moved == 1
        assert town.live.driver(driver_id).trip_id == trip.trip_id
        await town.relay()
        await town.relay()
        while (await app.hear("trip"))["status"] != "cancelled":
            pass
    assert town.live.driver(driver_id).trip_id is None
    assert [each["status"] for each in town.riders.told if each["type"] == "trip"] == ["assigned", "cancelled"]


async def test_while_the_archive_is_away_the_driver_is_free_and_the_event_comes_again(town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        trip = await town.assigned(driver_id, app)
        await town.trips_elsewhere.cancel(trip.trip_id, By("ops", "ops"))
        await town.archiver.run_once()
        town.rested.away = True
        *_, end = [event for event in await town.events() if isinstance(event, TripCancelled)]
        with pytest.raises(Unavailable):
            await town.audience.handle(end)
        assert town.live.driver(driver_id).trip_id is None
        town.rested.away = False
        await town.audience.handle(end)
        while (await app.hear("trip"))["status"] != "cancelled":
            pass


async def test_an_event_of_a_trip_that_nobody_keeps_is_no_failure(town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        trip = await town.assigned(driver_id, app)
        (assigned,) = [event for event in await town.events() if isinstance(event, TripAssigned)]
        await town.audience.handle(msgspec.structs.replace(assigned, trip_id="trip_unknown"))
        assert town.live.driver(driver_id).trip_id == trip.trip_id


async def test_an_earlier_step_or_trip_is_not_told_after_a_later_one(town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        first = await town.assigned(driver_id, app)
        arrived = arrive(first, town.clock.now())
        await town.audience.changed(arrived)
        assert not town.audience.duty.note(first)
        second = msgspec.structs.replace(first, trip_id="trip_next", assigned_at=first.assigned_at + 60)
        assert town.audience.duty.note(second)
        assert not town.audience.duty.note(arrived)
        assert town.live.driver(driver_id).trip_id == "trip_next"
        assert town.audience.duty.note(cancel(arrived, "ops", "", town.clock.now()))
        assert town.live.driver(driver_id).trip_id == "trip_next"


async def test_a_step_is_told_once_however_often_its_event_comes(town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        await town.assigned(driver_id, app)
        await town.relay()
        await town.relay()
        await town.gateway.drain()
        trips_told = [each for each in town.riders.told if each["type"] == "trip"]
    assert [each["status"] for each in trips_told] == ["assigned"]
