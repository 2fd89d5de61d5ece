"""Rooms keep their truths whether they share a database or each has its own; `town` is run both ways."""

from __future__ import annotations

import pytest

from accounts.model import NewRider
from core.errors import Conflict, NotFound
from core.money import Money
from payments.adapters.sql import SqlTransactions as QuoteTransactions
from payments.model import Quote
from tests.app.town import Town
from tests.dispatch.world import AIRPORT, CENTRE
from trips.model import By


async def test_stars_reach_the_account_they_are_about_by_events_and_count_once(town: Town) -> None:
    rider = await town.people.create(NewRider("Ada", "+46701234500"))
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        await town.ask(rider.rider_id)
        await app.say("accept", offer_id=(await app.hear("offer"))["offer_id"])
        await town.until(lambda: town.live.driver(driver_id).trip_id is not None)
    trip = await town.live_trips.active_of("driver", driver_id)
    assert trip is not None
    await town.trips.arrive(driver_id, trip.trip_id)
    await town.trips.board(driver_id, trip.trip_id, trip.start_code)
    await town.trips.complete(driver_id, trip.trip_id)
    await town.trips.rate(trip.trip_id, By("rider", rider.rider_id), 4)
    await town.trips.rate(trip.trip_id, By("driver", driver_id), 5)
    for _ in range(2):  # events come at least once
        await town.relay()
    driver = await town.accounts.get(driver_id)
    assert (driver.rating, driver.ratings) == (4.0, 1)
    assert (await town.people.get(rider.rider_id)).rating == 5.0


async def test_a_trip_keeps_its_driver_and_its_quote_from_their_own_databases(town: Town) -> None:
    driver_id = await town.hire("Bo")
    quote = Quote(
        quote_id="quo_1",
        rider_id="rdr_1",
        pickup=CENTRE,
        dropoff=AIRPORT,
        distance_m=20_000.0,
        duration_s=1_500.0,
        fare=Money(31_000, "SEK"),
        surge=1.0,
        expires_at=50.0,
    )
    async with QuoteTransactions(town.databases.payments)() as uow:
        await uow.quotes.add(quote)
    papers = await town.papers(driver_id, "quo_1")
    assert papers.card.driver.name == "Bo"
    assert papers.quote is not None
    assert papers.quote.fare == Money(31_000, "SEK")
    assert (await town.papers(driver_id, "quo_gone")).quote is None


async def test_who_is_unknown_or_not_approved_gets_no_trip(town: Town) -> None:
    with pytest.raises(NotFound):
        await town.papers("drv_none", None)
    driver_id = await town.hire()
    await town.suspend(driver_id)
    with pytest.raises(Conflict) as refused:
        await town.papers(driver_id, None)
    assert refused.value.code == "not_approved"
