"""Events outlive the version that wrote them."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from core.events import AnyEvent, Event, RideRequested, TripAssigned


@pytest.mark.parametrize("kind", get_args(AnyEvent), ids=lambda kind: kind.__name__)
def test_every_event_of_a_ride_names_its_region(kind: type[Event]) -> None:
    assert "region" in kind.__struct_fields__


def test_events_of_one_ride_share_a_key() -> None:
    trip = TripAssigned(id="e", at=1.0, trip_id="t", request_id="req_1", region="x", rider_id="r", driver_id="d")
    assert trip.key == "req_1"


def test_an_event_from_before_there_were_regions_is_read() -> None:
    old = (
        b'{"type":"RideRequested","id":"e","at":1.5,"request_id":"req_1","rider_id":"r","pickup":[57.7,11.9],'
        b'"dropoff":[57.6,11.8],"segment":"881f25a5b7fffff","mode":"best"}'
    )
    event = msgspec.json.decode(old, type=AnyEvent)
    assert isinstance(event, RideRequested)
    assert event.region == ""
