"""The truth of a trip's trail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tests.simulation.facts import Facts, Spot
from tests.simulation.history import Record
from tests.simulation.violation import Violation, endings

_SAME_DEG = 1e-6


def acked_pings_of_a_trip_are_in_its_trail(records: Sequence[Record], facts: Facts) -> list[Violation]:
    """Each ping sent by a driver who was told of the trip, and acked before anybody asked for the trip to end.

    Those acked later may have come when the trip was over. The clients keep to the limits of a used ping.
    """
    may_end, ending = endings(records), set[str]()
    trails: dict[str, dict[int, Spot]] = {}
    missing: dict[str, list[int]] = defaultdict(list)
    waiting: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.type == "invoke" and record.call in may_end:
            ending.add(record.told["trip_id"])
        elif record.what == "ping":
            waiting[record.who].append(record)
        elif record.what == "ack":
            acked = [ping for ping in waiting[record.who] if ping.told["seq"] <= record.told["seq"]]
            waiting[record.who] = [ping for ping in waiting[record.who] if ping.told["seq"] > record.told["seq"]]
            for ping in acked:
                trip_id = ping.told["trip_id"]
                if trip_id not in trails:
                    trails[trip_id] = {spot.ts: spot for spot in facts.trails.get(trip_id, [])}
                if trip_id not in ending and not _is_in(trails[trip_id], ping):
                    missing[trip_id].append(ping.told["seq"])
    return [
        Violation("acked_pings_of_a_trip_are_in_its_trail", trip_id, f"acked and not there: seq {numbers[:20]}")
        for trip_id, numbers in missing.items()
    ]


def _is_in(trail: dict[int, Spot], ping: Record) -> bool:
    spot = trail.get(ping.told["ts"])
    if spot is None:
        return False
    lat: float = ping.told["lat"]
    lng: float = ping.told["lng"]
    return abs(spot.lat - lat) < _SAME_DEG and abs(spot.lng - lng) < _SAME_DEG
