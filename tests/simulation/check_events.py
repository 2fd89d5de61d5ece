"""Truths of what the engine has published."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from tests.simulation.facts import Facts
from tests.simulation.history import Record
from tests.simulation.violation import Violation

_EVENT_OF = {
    "assigned_at": "TripAssigned",
    "arrived_at": "TripArrived",
    "started_at": "TripStarted",
    "completed_at": "TripCompleted",
    "cancelled_at": "TripCancelled",
    "fare": "FareFixed",
}


def a_search_ends_in_one_event(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """Each request has exactly one CabFound, with its trip, or one NoCabFound, with its status."""
    ends: dict[str, list[str]] = defaultdict(list)
    for event in facts.events:
        if event["type"] == "CabFound":
            ends[event["request_id"]].append(f"CabFound {event['trip_id']}")
        elif event["type"] == "NoCabFound":
            ends[event["request_id"]].append(f"NoCabFound {event['reason']}")
    found = []
    for request_id, request in facts.requests.items():
        status = request["status"]
        true = f"CabFound {request['trip_id']}" if status == "assigned" else f"NoCabFound {status}"
        if ends[request_id] != [true]:
            found.append(
                Violation("a_search_ends_in_one_event", request_id, f"{true} is true, said is {ends[request_id]}")
            )
    return found


def events_on_the_bus_are_those_that_were_committed(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """Each published event has been delivered, at least once, and nothing else has."""
    if facts.delivered is None:
        return []
    committed = {event["id"] for event in facts.events}
    published = {event["id"] for event in facts.events if event["state"] == "published"}
    rule = "events_on_the_bus_are_those_that_were_committed"
    lost = [Violation(rule, each, "it is published and was never delivered") for each in published - facts.delivered]
    return lost + [Violation(rule, each, "it was delivered and not committed") for each in facts.delivered - committed]


def events_tell_what_is_true(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """Each event has its own id and is published; every step of a trip and every request has one, and no other."""
    found = [
        Violation("events_tell_what_is_true", event_id, f"{count} events have this id")
        for event_id, count in Counter(event["id"] for event in facts.events).items()
        if count > 1
    ]
    found += [
        Violation("events_tell_what_is_true", event["id"], f"at rest it is {event['state']}")
        for event in facts.events
        if event["state"] != "published"
    ]
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for event in facts.events:
        if event["type"] in _EVENT_OF.values():
            said[event["trip_id"]][event["type"]] += 1
    for trip_id in facts.trips.keys() | said.keys():
        trip = facts.trips.get(trip_id, {})
        true = Counter(event for column, event in _EVENT_OF.items() if trip.get(column) is not None)
        if said[trip_id] != true:
            problem = f"true is {sorted(true.elements())}, said is {sorted(said[trip_id].elements())}"
            found.append(Violation("events_tell_what_is_true", trip_id, problem))
    asked = Counter(event["request_id"] for event in facts.events if event["type"] == "RideRequested")
    for request_id in asked.keys() | facts.requests.keys():
        if asked[request_id] != 1 or request_id not in facts.requests:
            there = "there" if request_id in facts.requests else "not there"
            problem = f"{asked[request_id]} events say that it was asked for, and it is {there}"
            found.append(Violation("events_tell_what_is_true", request_id, problem))
    return found
