"""Billing: one fare for each completed trip, whatever is delivered twice, late or in pieces."""

from __future__ import annotations

import asyncio
import io
import json
import logging

import pytest

from core.errors import Unavailable
from core.events import FareFixed, TripCompleted
from core.money import Money
from runtime.settings import TripSettings
from runtime.telemetry import log_to, trip_id
from tests.trips.world import QUOTE, World
from trips.billing import Billing, BillingPorts
from trips.model import By, Trip
from trips.ports import Driven

OPS = By("ops", "ops_1")


async def completed(world: World) -> TripCompleted:
    event = (await world.published())[-1]
    assert isinstance(event, TripCompleted)
    return event


async def test_completed_trip_gets_its_distance_and_its_fare(world: World) -> None:
    trip = await world.ride(quote_id="quo_1")
    await world.billing.handle(await completed(world))
    priced = await world.desk.get(trip.trip_id, OPS)
    assert (priced.fare, priced.distance_m, priced.distance_grade) == (Money(21_000, "SEK"), 8_200.0, "matched")
    ask = world.tariff.asks[0]
    assert (ask.quote, ask.driven, ask.duration_s) == (QUOTE, Driven(8_200.0, "matched"), 600.0)
    event = (await world.published())[-1]
    assert isinstance(event, FareFixed)
    assert (event.fare, event.distance_m) == (Money(21_000, "SEK"), 8_200.0)
    assert world.audience.told[-1] == (trip.trip_id, "priced")


async def test_event_delivered_twice_or_at_once_prices_once(world: World) -> None:
    await world.ride()
    event = await completed(world)
    await asyncio.gather(world.billing.handle(event), world.billing.handle(event))
    await world.billing.handle(event)
    assert sum(isinstance(each, FareFixed) for each in await world.published()) == 1
    assert [told for _, told in world.audience.told].count("priced") == 1


async def test_event_of_an_archived_trip_changes_nothing(world: World) -> None:
    trip = await world.ride()
    event = await completed(world)
    await world.billing.handle(event)
    await world.archiver.run_once()
    await world.billing.handle(event)
    assert world.trail.asked == 1
    assert (await world.desk.get(trip.trip_id, OPS)).fare == Money(21_000, "SEK")


async def test_trail_that_cannot_be_had_leaves_the_trip_for_a_later_try(world: World) -> None:
    await world.ride()
    event = await completed(world)
    world.trail.error = Unavailable("the trail store is away")
    with pytest.raises(Unavailable):
        await world.billing.handle(event)
    assert await world.billing.catch_up() == 0
    world.trail.error = None
    assert await world.billing.catch_up() == 1
    assert await world.billing.catch_up() == 0


async def test_catching_up_tries_every_trip_once_and_passes_over_those_that_fail(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    trips = [await world.ride(n, rider=f"rdr_{n}", driver=f"drv_{n}") for n in range(11)]
    bad: dict[str, Exception] = {trip.trip_id: Unavailable("the trail store is away") for trip in trips[:5]}
    bad[trips[5].trip_id] = ValueError("a fault of ours")
    asked: list[str] = []

    async def distance(trip: Trip, /) -> Driven:
        asked.append(trip.trip_id)
        if trip.trip_id in bad:
            raise bad[trip.trip_id]
        return Driven(8_200.0, "matched")

    ports = BillingPorts(world.transactions, world.live, distance, world.tariff, world.audience)
    billing = Billing(ports, world.clock, TripSettings(archive_batch=4))
    assert await billing.catch_up() == 5
    assert asked == [trip.trip_id for trip in trips]
    assert [trip.trip_id for trip in await world.live.unpriced(50)] == list(bad)
    bad.clear()
    assert await billing.catch_up() == 6
    assert "a trip cannot be priced" in caplog.text


async def test_lines_of_the_log_carry_the_trip(world: World) -> None:
    stream = io.StringIO()
    handler = log_to(stream, "info")
    try:
        trip = await world.ride()
        world.trail.error = Unavailable("the trail store is away")
        await world.billing.catch_up()
    finally:
        logging.getLogger().removeHandler(handler)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["trip_id"] for line in lines if line["logger"] == "hexcab.billing"] == [trip.trip_id]
    assert trip_id.get() is None


async def test_matching_that_hangs_is_given_up(world: World) -> None:
    async def forever(_trip: Trip, /) -> Driven:
        await asyncio.Event().wait()
        raise AssertionError

    ports = BillingPorts(world.transactions, world.live, forever, world.tariff, world.audience)
    billing = Billing(ports, world.clock, TripSettings(distance_timeout_s=0.01))
    await world.ride()
    with pytest.raises(Unavailable) as given_up:
        await billing.handle(await completed(world))
    assert given_up.value.code == "distance_timeout"


async def test_other_events_are_none_of_its_business(world: World) -> None:
    await world.open()
    await world.billing.handle((await world.published())[0])
    assert world.trail.asked == 0
