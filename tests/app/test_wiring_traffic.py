"""What the learner reads of trips: each ping once, driving alone, and the rides that have ended."""

from __future__ import annotations

import asyncio

import pytest

from app.wiring.traffic import TripsDriven
from tests.app.test_wiring_trips import drive_and_complete, riding
from tests.app.town import Town


@pytest.fixture
def driven(town: Town) -> TripsDriven:
    return TripsDriven(town.live_trips, town.trails)


async def durable(town: Town, driver_id: str, least: int) -> None:
    """Until the log has so many pings of the driver."""
    async with asyncio.timeout(30):
        while len(await town.trails.track(driver_id, 0, 2**53)) < least:
            await asyncio.sleep(0.01)


async def test_nobody_on_a_trip_is_nothing_driven(driven: TripsDriven, town: Town) -> None:
    assert await driven(town.clock.now(), 10) == ([], [])


async def test_a_ride_is_read_once_while_it_lasts_and_told_when_it_has_ended(driven: TripsDriven, town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        trip = await riding(town, driver_id, app)
        assert await driven(town.clock.now(), 10) == ([], [])
        items = []
        for seq in range(2, 12):
            town.clock._now += 1
            items.append(town.ping(seq, north_m=100.0 + 10.0 * seq))
        await app.say("pings", items=items)
        await durable(town, driver_id, 11)
        (trail,), rides = await driven(town.clock.now() + 1, 10)
        assert (len(trail.at_s), rides) == (10, [])
        assert await driven(town.clock.now() + 1, 10) == ([], [])
        town.clock._now += 1
        await app.say("ping", **{key: value for key, value in town.ping(12, north_m=220.0).items() if key != "type"})
        await durable(town, driver_id, 12)
        (trail,), _ = await driven(town.clock.now() + 1, 10)
        assert len(trail.at_s) == 2, "the last one that was read begins the next stretch"
        town.clock._now += 600
        await app.say("complete", trip_id=trip.trip_id)
        while (await app.hear("trip"))["status"] != "completed":
            pass
        _, (ride,) = await driven(town.clock.now(), 10)
        assert (ride.pickup, ride.dropoff) == (trip.pickup, trip.dropoff)
        assert ride.took_s == pytest.approx(611, abs=2)
        assert await driven(town.clock.now(), 10) == ([], [])


async def test_no_more_trails_than_asked_for(driven: TripsDriven, town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        trip = await riding(town, driver_id, app)
        await driven(town.clock.now(), 10)
        await drive_and_complete(town, app, trip)
        trails, rides = await driven(town.clock.now(), 0)
        assert (len(trails), len(rides)) == (0, 1)
