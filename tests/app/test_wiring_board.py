"""The board counts what happened once, and keeps nothing of what is over."""

from __future__ import annotations

import msgspec
import pytest

from app.wiring.board import IDLE, RIDING, TO_PICKUP, Board
from core.events import CabFound, NoCabFound, NoCabReason, search_ended_id
from core.geo import LatLng
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


async def test_searches_are_counted_once_though_their_events_come_again() -> None:
    seen = Board()
    events: list[CabFound | NoCabFound] = [found(), not_found("req_2", "no_driver"), not_found("req_3", "cancelled")]
    for event in [*events, *events]:
        await seen.search_ended(event)
    assert (seen.assigned, seen.unserved) == (1, 1)


async def test_the_wait_is_from_the_request_to_the_arrival() -> None:
    seen = Board()
    await seen.search_ended(found(waited_s=20.0))
    seen.note(TRIP)
    seen.note(arrive(TRIP, 250.0))
    seen.note(arrive(TRIP, 250.0))
    assert seen.pickup_wait_s == 170.0
    assert not seen._matched_s


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_search_that_is_heard_of_after_its_trip_ended_leaves_nothing_behind(is_known: bool) -> None:
    seen = Board()
    if is_known:
        seen.note(TRIP)
    seen.note(cancel(TRIP, "rider", "", 110.0))
    await seen.search_ended(found())
    assert (seen.assigned, seen.cancelled, seen.active) == (1, 1, 0)
    assert not seen._matched_s


async def test_a_driver_who_turns_out_to_be_without_the_trip_leaves_nothing_behind() -> None:
    seen = Board()
    await seen.search_ended(found())
    seen.note(TRIP)
    seen.no_trip("drv_1", "trip_2")
    assert seen.active == 1
    seen.no_trip("drv_1", "trip_1")
    assert (seen.active, seen._matched_s) == (0, {})


def test_trips_are_shown_while_they_last_and_counted_once_at_their_end() -> None:
    seen = Board()
    steps = [TRIP, arrived := arrive(TRIP, 150.0), riding := board(arrived, "1234", 5, 160.0)]
    assert seen.status("drv_1") == IDLE
    assert [(seen.note(trip), seen.status("drv_1")) for trip in steps] == [
        (True, TO_PICKUP),
        (True, TO_PICKUP),
        (True, RIDING),
    ]
    assert [seen.note(trip) for trip in steps] == [False, False, True]
    assert seen.status("drv_1") == RIDING
    done = complete(riding, 900.0)
    assert [seen.note(done), seen.note(done)] == [True, True]
    assert [seen.note(trip) for trip in steps] == [False, False, False]
    assert (seen.status("drv_1"), seen.active, seen.completed, seen.cancelled) == (IDLE, 0, 1, 0)


def test_an_earlier_trip_of_a_driver_does_not_hide_the_present_one() -> None:
    seen = Board()
    later = msgspec.structs.replace(TRIP, trip_id="trip_2", request_id="req_2", assigned_at=900.0)
    assert seen.note(later)
    assert not seen.note(arrive(TRIP, 150.0))
    assert seen.note(cancel(TRIP, "ops", "", 160.0))
    assert (seen.active, seen.status("drv_1")) == (1, TO_PICKUP)
