"""The quote desk on SQLite."""

from __future__ import annotations

import pytest

from core.errors import InvalidInput, NotFound
from core.geo import LatLng
from core.ids import Ids
from core.money import Money
from payments.adapters.sql import SqlQuoteReader, SqlTransactions
from payments.model import RoadLeg
from payments.quotes import QuoteDesk, QuotePorts
from runtime.clocks import ManualClock
from runtime.settings import FareSettings
from runtime.sql import Database

HAGA, LINNE, SEA = LatLng(57.6989, 11.9573), LatLng(57.6965, 11.9520), LatLng(57.5, 11.2)


async def road(pickup: LatLng, dropoff: LatLng) -> RoadLeg:
    if SEA in (pickup, dropoff):
        raise InvalidInput("pickup is not on a road", code="not_on_road")
    return RoadLeg(10_000.0, 1_200.0)


async def nobody_near(_pickup: LatLng) -> float | None:
    return None


def no_surge(_pickup: LatLng) -> float:
    return 1.0


async def cab_near(_pickup: LatLng) -> float | None:
    return 95.0


@pytest.fixture
def desk(database: Database, ids: Ids, clock: ManualClock) -> QuoteDesk:
    ports = QuotePorts(SqlTransactions(database), SqlQuoteReader(database), road, cab_near, no_surge)
    return QuoteDesk(ports, ids, clock, FareSettings())


async def test_quote_promises_the_tariff_on_the_road_distance(desk: QuoteDesk, clock: ManualClock) -> None:
    answer = await desk.quote("rdr_1", HAGA, LINNE)
    assert answer.quote.fare == Money(26_000, "SEK")
    assert (answer.quote.distance_m, answer.quote.duration_s, answer.pickup_eta_s) == (10_000.0, 1_200.0, 95.0)
    assert answer.quote.expires_at == clock.now() + 300
    assert await desk.get(answer.quote.quote_id, "rdr_1") == answer.quote


async def test_no_cab_near_is_no_reason_not_to_quote(database: Database, ids: Ids, clock: ManualClock) -> None:
    ports = QuotePorts(SqlTransactions(database), SqlQuoteReader(database), road, nobody_near, no_surge)
    assert (await QuoteDesk(ports, ids, clock, FareSettings()).quote("rdr_1", HAGA, LINNE)).pickup_eta_s is None


async def test_a_surge_floor_raises_the_quote(database: Database, ids: Ids, clock: ManualClock) -> None:
    def floor(pickup: LatLng) -> float:
        return 1.5 if pickup == HAGA else 1.0

    ports = QuotePorts(SqlTransactions(database), SqlQuoteReader(database), road, cab_near, floor)
    desk = QuoteDesk(ports, ids, clock, FareSettings())
    dear, plain = (await desk.quote("rdr_1", HAGA, LINNE)).quote, (await desk.quote("rdr_1", LINNE, HAGA)).quote
    assert (dear.surge, dear.fare) == (1.5, Money(39_000, "SEK"))
    assert (plain.surge, plain.fare) == (1.0, Money(26_000, "SEK"))


async def test_place_off_the_road_is_refused(desk: QuoteDesk) -> None:
    with pytest.raises(InvalidInput) as refused:
        await desk.quote("rdr_1", SEA, LINNE)
    assert refused.value.code == "not_on_road"


async def test_someone_elses_quote_looks_unknown(desk: QuoteDesk) -> None:
    quote = (await desk.quote("rdr_1", HAGA, LINNE)).quote
    for quote_id, rider_id in ((quote.quote_id, "rdr_2"), ("quo_none", "rdr_1")):
        with pytest.raises(NotFound):
            await desk.get(quote_id, rider_id)


async def test_quote_expires_but_its_terms_stay_readable_for_the_trip(
    desk: QuoteDesk, clock: ManualClock, database: Database
) -> None:
    quote = (await desk.quote("rdr_1", HAGA, LINNE)).quote
    await clock.advance(300)
    with pytest.raises(InvalidInput) as refused:
        await desk.get(quote.quote_id, "rdr_1")
    assert refused.value.code == "quote_expired"
    assert await SqlQuoteReader(database).get(quote.quote_id) == quote


async def test_long_expired_quotes_are_forgotten(desk: QuoteDesk, clock: ManualClock) -> None:
    old = (await desk.quote("rdr_1", HAGA, LINNE)).quote
    await clock.advance(86_400 + 301)
    fresh = (await desk.quote("rdr_1", HAGA, LINNE)).quote
    assert await desk.purge() == 1
    with pytest.raises(NotFound):
        await desk.get(old.quote_id, "rdr_1")
    assert await desk.get(fresh.quote_id, "rdr_1") == fresh
