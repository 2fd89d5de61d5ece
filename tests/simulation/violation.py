"""A broken truth, and the words that the rules share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.simulation.history import Body, Record

ENDED = frozenset({"no_driver", "cancelled", "expired"})  # requests without a trip
OVER = ENDED | {"assigned"}
ACTIVE = frozenset({"assigned", "arrived", "riding"})
ENDINGS = ("complete", "cancel_trip")  # calls that may end a trip; nothing else does
TRIP_ENDS = ("TripCompleted", "TripCancelled")  # events
FAR = float("inf")
Spans = dict[str, list[tuple[float, float, str]]]  # by person: begin, end, of what


class Violation(NamedTuple):
    """Which truth, of whom or what, and what was seen instead."""

    rule: str
    about: str
    detail: str


def told_trips(records: Sequence[Record]) -> Iterator[tuple[Record, Body]]:
    """Every time when a client was shown a trip, and the trip."""
    for record in records:
        if record.type in ("ok", "news") and "driver_id" in record.told and "trip_id" in record.told:
            yield record, record.told


def first_seen(records: Sequence[Record]) -> dict[str, float]:
    """When a client was first told of a request or a trip, by id."""
    found: dict[str, float] = {}
    for record in records:
        if record.type in ("ok", "news"):
            for name in ("request_id", "trip_id"):
                if record.told.get(name) is not None:
                    found.setdefault(record.told[name], record.at)
    return found


def endings(records: Sequence[Record]) -> set[int]:
    """The calls that may have ended a trip: those that were not refused."""
    asked = {record.call for record in records if record.type == "invoke" and record.what in ENDINGS}
    return asked - {record.call for record in records if record.type == "fail"}


def first_endings(records: Sequence[Record]) -> dict[str, float]:
    """When somebody first asked for a trip to end and may have been heard, by trip: until then it had not ended."""
    may_end = endings(records)
    found: dict[str, float] = {}
    for record in records:
        if record.type == "invoke" and record.call in may_end:
            found.setdefault(record.told["trip_id"], record.at)
    return found


def overlaps(rule: str, spans: Mapping[str, list[tuple[float, float, str]]]) -> list[Violation]:
    """Violations for people of whom two spans overlap."""
    found = []
    for who, times in spans.items():
        latest_end, latest = -FAR, ""
        for began, ended, what in sorted(times):
            if latest_end > began:
                found.append(Violation(rule, who, f"{latest} ends {latest_end - began:.3f} s after {what} begins"))
            if ended > latest_end:
                latest_end, latest = ended, what
    return found
