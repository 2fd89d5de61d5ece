"""Truths of offers and their drivers' answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from tests.simulation.facts import Facts
from tests.simulation.history import Record, pairs
from tests.simulation.violation import Violation


def an_accepted_offer_makes_one_trip(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """An accept that was answered with a trip has that trip for good, of this driver and request."""
    found = []
    for pair in pairs(list(records), "accept"):
        if pair.outcome != "ok":
            continue
        offer_id, request_id, trip_id = pair.asked.told["offer_id"], pair.asked.told["request_id"], pair.told["trip_id"]
        trip, request = facts.trips.get(trip_id), facts.requests.get(request_id)
        if trip is None:
            problem = f"its trip {trip_id} is lost"
        elif (trip["driver_id"], trip["request_id"]) != (pair.asked.who, request_id):
            problem = f"its trip {trip_id} is of {trip['driver_id']} and {trip['request_id']}"
        elif request is None or request["trip_id"] != trip_id:
            problem = f"its request has {None if request is None else request['trip_id']} and not {trip_id}"
        else:
            continue
        found.append(Violation("an_accepted_offer_makes_one_trip", offer_id, problem))
    trips_of = Counter(trip["request_id"] for trip in facts.trips.values())
    return found + [
        Violation("an_accepted_offer_makes_one_trip", request_id, f"it has {count} trips")
        for request_id, count in trips_of.items()
        if count > 1
    ]


def a_refused_accept_makes_none(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """A driver whose every accept for a request was refused has no trip for it."""
    outcomes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for pair in pairs(list(records), "accept"):
        outcomes[pair.asked.who, pair.asked.told["request_id"]].add(pair.outcome)
    drivers = {(trip["driver_id"], trip["request_id"]): trip_id for trip_id, trip in facts.trips.items()}
    return [
        Violation("a_refused_accept_makes_none", drivers[whose], f"{whose[0]} was refused {whose[1]} and has its trip")
        for whose, ends in outcomes.items()
        if ends == {"fail"} and whose in drivers
    ]


def every_offer_ends(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """An offer that was made or shown is accepted or ended, once; who is shown one has it by an event."""
    made: dict[str, str] = {}
    ended: Counter[str] = Counter()
    for event in facts.events:
        if event["type"] == "OffersMade":
            made.update(zip(event["offer_ids"], event["driver_ids"], strict=True))
        elif event["type"] in ("OfferEnded", "OfferAccepted"):
            ended[event["offer_id"]] += 1
    found = [
        Violation("every_offer_ends", offer_id, f"it ended {ended[offer_id]} times")
        for offer_id in made
        if ended[offer_id] != 1
    ]
    for record in records:
        if record.what == "offer" and made.get(record.told["offer_id"]) != record.who:
            offer_id = record.told["offer_id"]
            found.append(
                Violation("every_offer_ends", offer_id, f"{record.who} was shown it, it is of {made.get(offer_id)}")
            )
    return found
