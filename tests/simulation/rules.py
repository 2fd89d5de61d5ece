"""The truths that a history and the facts at rest are judged by. Each rule is a pure function in a check_* file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.simulation import check_bookings, check_events, check_offers, check_pings, check_trips
from tests.simulation.facts import Facts
from tests.simulation.history import Record
from tests.simulation.violation import Violation

Rule = Callable[[Sequence[Record], Facts], list[Violation]]

RULES: tuple[Rule, ...] = (
    check_bookings.a_request_has_one_winner,
    check_bookings.an_acknowledged_booking_ends,
    check_bookings.its_rider_is_told_the_end,
    check_bookings.a_key_makes_one_request,
    check_bookings.a_rider_has_one_ride_at_a_time,
    check_offers.an_accepted_offer_makes_one_trip,
    check_offers.a_refused_accept_makes_none,
    check_offers.every_offer_ends,
    check_trips.a_driver_has_one_trip_at_a_time,
    check_trips.told_steps_stand,
    check_trips.trips_are_told_to_their_people_alone,
    check_trips.a_completed_trip_is_priced_once,
    check_trips.history_lists_every_trip_once,
    check_pings.acked_pings_of_a_trip_are_in_its_trail,
    check_events.a_search_ends_in_one_event,
    check_events.events_tell_what_is_true,
    check_events.events_on_the_bus_are_those_that_were_committed,
)


def judge(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """Everything that every rule finds."""
    return [violation for rule in RULES for violation in rule(records, facts)]
