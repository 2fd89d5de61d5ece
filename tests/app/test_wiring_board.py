"""The board counts what happened once, and keeps nothing of what is over."""

from __future__ import annotations

from typing import cast

import pytest
from msgspec import structs

from app.wiring.board import IDLE, RIDING, TO_PICKUP, Board
from core.events import AnyEvent, CabFound, NoCabFound, NoCabReason, search_ended_id
from core.geo import LatLng
from trips.announce import announcement
from trips.model import Trip, TripDriver, TripStep, TripVehicle, arrive, board, cancel, complete

TRIP = Trip(
    trip_id="trip_1",
    request_id="req_1",
    rider_id="rdr_1",
    driver_id="drv_1",
    status="assigned",
    start_code="1234",
    pickup=LatLng(57.7, 11.97),
    dropoff=LatLng(57.69, 11.95),
    mode="best",
    segment="881f25a5b7fffff",
    driver=TripDriver("Bo", None),
    vehicle=TripVehicle("ABC123", "standard", 4),
    assigned_at=100.0,
    steps=(TripStep("assigned", 100.0),),
)


def found(trip: Trip = TRIP, waited_s: float = 20.0) -> CabFound:
    return CabFound(
        id=search_ended_id(trip.request_id),
        at=100.0,
        request_id=trip.request_id,
        rider_id=trip.rider_id,
        driver_id=trip.driver_id,
        trip_id=trip.trip_id,
        segment=trip.segment,
        supply_seen=1,
        mode="best",
        waited_s=waited_s,
    )


def not_found(request_id: str, reason: NoCabReason) -> NoCabFound:
    return NoCabFound(
        id=search_ended_id(request_id),
        at=100.0,
        request_id=request_id,
        rider_id="rdr_1",
        segment="881f25a5b7fffff",
        supply_seen=0,
        mode="best",
        reason=reason,
        waited_s=120.0,
    )


def told(*trips: Trip) -> list[AnyEvent]:
    """The events of these steps."""
    return cast(list[AnyEvent], [announcement(trip) for trip in trips])


async def heard(board: Board, *events: AnyEvent) -> Board:
    for event in events:
        await board.heard(event)
    return board


ARRIVED = arrive(TRIP, 250.0)
RIDE = board(ARRIVED, "1234", 5, 260.0)
DONE = complete(RIDE, 900.0)


async def test_searches_are_counted_once_though_their_events_come_again() -> None:
    events: list[AnyEvent] = [found(), not_found("req_2", "no_driver"), not_found("req_3", "cancelled")]
    seen = await heard(Board(), *events, *events)
    assert (seen.assigned, seen.unserved) == (1, 1)


async def test_the_wait_is_from_the_request_to_the_arrival() -> None:
    seen = await heard(Board(), found(waited_s=20.0), *told(TRIP, ARRIVED, ARRIVED))
    assert seen.pickup_wait_s == 170.0
    assert not seen._matched_s


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_search_that_is_heard_of_after_its_trip_ended_leaves_nothing_behind(is_known: bool) -> None:
    seen = await heard(Board(), *told(*([TRIP] if is_known else []), cancel(TRIP, "rider", "", 110.0)), found())
    assert (seen.assigned, seen.cancelled, seen.active) == (1, 1, 0)
    assert not seen._matched_s


async def test_trips_are_shown_while_they_last_and_counted_once_at_their_end() -> None:
    seen = Board()
    shown = [seen.status("drv_1")]
    for step in (TRIP, ARRIVED, RIDE):
        await heard(seen, *told(step))
        shown.append(seen.status("drv_1"))
    assert shown == [IDLE, TO_PICKUP, TO_PICKUP, RIDING]
    await heard(seen, *told(TRIP, ARRIVED, RIDE))
    assert seen.status("drv_1") == RIDING
    await heard(seen, *told(DONE, DONE, TRIP, ARRIVED, RIDE))
    assert (seen.status("drv_1"), seen.active, seen.completed, seen.cancelled) == (IDLE, 0, 1, 0)


async def test_a_host_that_starts_shows_the_trips_under_way_and_hears_of_their_ends() -> None:
    seen = Board()
    seen.begin([RIDE])
    await heard(seen, *told(TRIP, ARRIVED))  # delivered again after a restart
    assert (seen.active, seen.status("drv_1")) == (1, RIDING)
    await heard(seen, *told(DONE))
    assert (seen.active, seen.completed) == (0, 1)


async def test_an_earlier_trip_of_a_driver_does_not_hide_the_present_one() -> None:
    later = structs.replace(TRIP, trip_id="trip_2", request_id="req_2", assigned_at=900.0)
    seen = await heard(Board(), *told(later, ARRIVED, cancel(TRIP, "ops", "", 160.0)))
    assert (seen.active, seen.status("drv_1")) == (1, TO_PICKUP)
