"""Truths of ride requests and their riders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tests.simulation.facts import Facts
from tests.simulation.history import Record, pairs
from tests.simulation.violation import (
    ENDED,
    FAR,
    OVER,
    TRIP_ENDS,
    Spans,
    Violation,
    first_endings,
    first_seen,
    overlaps,
    told_trips,
)


def a_request_has_one_winner(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """Whoever speaks of the trip of a request, now or ever, means the same trip of the same driver."""
    winners: dict[str, set[tuple[str, str]]] = defaultdict(set)
    told = [trip for _, trip in told_trips(records)]
    found = [event for event in facts.events if event["type"] in ("CabFound", "TripAssigned", "OfferAccepted")]
    for trip in (*told, *facts.trips.values(), *found):
        winners[trip["request_id"]].add((trip["trip_id"], trip["driver_id"]))
    return [
        Violation("a_request_has_one_winner", request_id, f"it has {sorted(trips)}")
        for request_id, trips in winners.items()
        if len(trips) > 1
    ]


def an_acknowledged_booking_ends(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """It is known, it is its rider's, and its search is over: matched with a trip, or ended without one."""
    found = []
    for request_id, rider_id in _acknowledged(records).items():
        request = facts.requests.get(request_id)
        if request is None:
            problem = "it was acknowledged and is lost"
        elif request["rider_id"] != rider_id:
            problem = f"it was acknowledged to {rider_id} and is of {request['rider_id']}"
        elif request["status"] == "assigned":
            trip = facts.trips.get(request["trip_id"] or "")
            if trip is not None and trip["request_id"] == request_id:
                continue
            problem = f"it is assigned and its trip {request['trip_id']} is {'missing' if trip is None else 'another'}"
        elif request["status"] in ENDED and request["trip_id"] is None:
            continue
        else:
            problem = f"it never ended: {request['status']}, trip {request['trip_id']}"
        found.append(Violation("an_acknowledged_booking_ends", request_id, problem))
    return found


def its_rider_is_told_the_end(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """The rider of an acknowledged request heard how it ended, and never that it ended in another way."""
    heard: dict[str, set[str]] = defaultdict(set)
    for record in records:
        told = record.told
        if record.type in ("ok", "news") and told.get("rider_id") == record.who and "request_id" in told:
            heard[told["request_id"]].add("assigned" if "driver_id" in told else told["status"])
    found = []
    for request_id in _acknowledged(records):
        if request_id not in facts.requests:
            continue  # an_acknowledged_booking_ends says so
        status, endings = facts.requests[request_id]["status"], heard[request_id] & OVER
        if endings != {status}:
            problem = f"it is {status}, its rider heard {sorted(endings) or 'nothing'}"
            found.append(Violation("its_rider_is_told_the_end", request_id, problem))
    return found


def a_key_makes_one_request(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """However often a key is used, and whatever is answered, at most one request comes of it, and none of a refusal."""
    of_key: dict[tuple[str, str], set[str]] = defaultdict(set)
    may_have: dict[str, set[str]] = defaultdict(set)  # rider: keys that may have made a request
    for pair in pairs(list(records), "book"):
        rider_id, key = pair.asked.who, pair.asked.told["key"]
        if pair.outcome == "ok":
            of_key[rider_id, key].add(pair.told["request_id"])
        if pair.outcome != "fail":
            may_have[rider_id].add(key)
    found = [
        Violation("a_key_makes_one_request", key, f"{rider_id} got {sorted(requests)} for it")
        for (rider_id, key), requests in of_key.items()
        if len(requests) > 1
    ]
    keys_of: dict[str, set[str]] = defaultdict(set)
    for (_, key), requests in of_key.items():
        for request_id in requests:
            keys_of[request_id].add(key)
    found += [
        Violation("a_key_makes_one_request", request_id, f"it answers {sorted(keys)}")
        for request_id, keys in keys_of.items()
        if len(keys) > 1
    ]
    made: dict[str, set[str]] = defaultdict(set)
    for event in facts.events:
        if event["type"] == "RideRequested":
            made[event["rider_id"]].add(event["request_id"])
    return found + [
        Violation("a_key_makes_one_request", rider_id, f"{len(requests)} requests of {len(may_have[rider_id])} keys")
        for rider_id, requests in made.items()
        if len(requests) > len(may_have[rider_id])
    ]


def a_rider_has_one_ride_at_a_time(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """By the order of the commits from the ask to the end of the ride, and by what clients saw of those with a trip.

    A ride with a trip is certainly under way from its first answer to the first call that may end the trip.
    """
    rule = "a_rider_has_one_ride_at_a_time"
    found, rider_of, ride_of = [], dict[str, str](), dict[str, str]()
    for event in facts.events:
        if event["type"] == "RideRequested":
            rider_id, request_id = event["rider_id"], event["request_id"]
            rider_of[request_id] = rider_id
            if (other := ride_of.get(rider_id)) is not None:
                found.append(Violation(rule, rider_id, f"{request_id} was asked for before {other} had ended"))
            ride_of[rider_id] = request_id
        elif event["type"] in ("NoCabFound", *TRIP_ENDS):
            rider_id = rider_of.get(event["request_id"], "")
            if ride_of.get(rider_id) == event["request_id"]:
                del ride_of[rider_id]
    by_clients: Spans = defaultdict(list)
    answered, ending = first_seen(records), first_endings(records)
    for request_id, request in facts.requests.items():
        if request["trip_id"] is not None and request_id in answered:
            until = ending.get(request["trip_id"], FAR)
            by_clients[request["rider_id"]].append((answered[request_id], until, request_id))
    return found + overlaps(rule, by_clients)


def _acknowledged(records: Sequence[Record]) -> dict[str, str]:
    """Requests by id, and the rider to whom each was acknowledged first."""
    found: dict[str, str] = {}
    for record in records:
        if record.what == "book" and record.type == "ok":
            found.setdefault(record.told["request_id"], record.who)
    return found
