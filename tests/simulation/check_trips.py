"""Truths of trips, their people, their price and their place in the history."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from tests.simulation.facts import Facts
from tests.simulation.history import Record
from tests.simulation.violation import (
    ACTIVE,
    FAR,
    TRIP_ENDS,
    Spans,
    Violation,
    first_endings,
    first_seen,
    overlaps,
    told_trips,
)

_TIME_OF = {
    "assigned": "assigned_at",
    "arrived": "arrived_at",
    "riding": "started_at",
    "completed": "completed_at",
    "cancelled": "cancelled_at",
}


def a_driver_has_one_trip_at_a_time(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """By the order of the commits, and from the first news of a trip to the first call that may end it."""
    rule = "a_driver_has_one_trip_at_a_time"
    found, trip_of = [], dict[str, str]()
    for event in facts.events:
        if event["type"] == "TripAssigned":
            driver_id, trip_id = event["driver_id"], event["trip_id"]
            if (other := trip_of.get(driver_id)) is not None:
                found.append(Violation(rule, driver_id, f"{trip_id} was assigned before {other} had ended"))
            trip_of[driver_id] = trip_id
        elif event["type"] in TRIP_ENDS and trip_of.get(event["driver_id"]) == event["trip_id"]:
            del trip_of[event["driver_id"]]
    by_clients: Spans = defaultdict(list)
    seen, ending = first_seen(records), first_endings(records)
    for trip_id, trip in facts.trips.items():
        if trip_id in seen:
            by_clients[trip["driver_id"]].append((seen[trip_id], ending.get(trip_id, FAR), trip_id))
    return found + overlaps(rule, by_clients)


def told_steps_stand(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """A status that anybody was told is a step that the trip has taken; at rest the trip is over, and in one way."""
    told: dict[str, set[str]] = defaultdict(set)
    for _, trip in told_trips(records):
        told[trip["trip_id"]].add(trip["status"])
    found = []
    for trip_id, statuses in told.items():
        final = facts.trips.get(trip_id)
        taken = set() if final is None else {status for status, at in _TIME_OF.items() if final[at] is not None}
        if lost := statuses - taken:
            found.append(Violation("told_steps_stand", trip_id, f"told {sorted(lost)}, taken {sorted(taken)}"))
    for trip_id, final in facts.trips.items():
        if final["status"] in ACTIVE:
            found.append(Violation("told_steps_stand", trip_id, f"nobody is under way and it is {final['status']}"))
        elif final["completed_at"] is not None and final["cancelled_at"] is not None:
            found.append(Violation("told_steps_stand", trip_id, "it is both completed and cancelled"))
    return found


def trips_are_told_to_their_people_alone(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """Nobody but its rider and its driver is shown a trip."""
    found = {
        Violation("trips_are_told_to_their_people_alone", trip["trip_id"], f"{record.who} was shown it")
        for record, trip in told_trips(records)
        if (final := facts.trips.get(trip["trip_id"])) is not None
        and record.who not in (final["rider_id"], final["driver_id"])
    }
    return sorted(found)


def a_completed_trip_is_priced_once(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """It has a fare, by one step and one event, and nobody was ever told another; no other trip has one."""
    told: dict[str, set[int]] = defaultdict(set)
    for _, trip in told_trips(records):
        if trip.get("fare") is not None:
            told[trip["trip_id"]].add(trip["fare"]["amount_minor"])
    fixed = Counter(event["trip_id"] for event in facts.events if event["type"] == "FareFixed")
    found = []
    for trip_id, trip in facts.trips.items():
        fares = told[trip_id] | ({trip["fare"]["amount_minor"]} if trip["fare"] else set())
        steps = sum(step["type"] == "fare_fixed" for step in trip["events"])
        wanted = 1 if trip["status"] == "completed" else 0
        if not (len(fares) == steps == fixed[trip_id] == wanted):
            problem = f"{trip['status']}: fares {sorted(fares)}, {steps} steps, {fixed[trip_id]} events"
            found.append(Violation("a_completed_trip_is_priced_once", trip_id, problem))
    return found


def history_lists_every_trip_once(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """The pages of its rider and of its driver have each trip, archived or not, exactly once."""
    people: dict[str, dict[str, set[str]]] = {"rider_id": defaultdict(set), "driver_id": defaultdict(set)}
    for trip_id, trip in facts.trips.items():
        for role, rides_of in people.items():
            rides_of[trip[role]].add(trip_id)
    found = []
    for rides_of in people.values():
        for who, rides in rides_of.items():
            listed = facts.rides_of.get(who, [])
            if len(listed) != len(set(listed)):
                doubled = sorted(trip_id for trip_id, times in Counter(listed).items() if times > 1)
                found.append(Violation("history_lists_every_trip_once", who, f"{doubled} are listed again"))
            if missing := rides - set(listed):
                found.append(Violation("history_lists_every_trip_once", who, f"{sorted(missing)} are not listed"))
    lost = {trip["trip_id"] for _, trip in told_trips(records)} - facts.trips.keys()
    return found + [
        Violation("history_lists_every_trip_once", each, "it was told and is lost") for each in sorted(lost)
    ]
