"""The trip archive in Cassandra: whole trips, one table per query.

By trip; by rider and by driver, newest first, in one partition per person and span of time. A span is what the ids of
its trips begin with. Ids sort by time, so their beginnings do: eight characters of `trip_01k2...` are spans of 2^35
milliseconds, some thirteen months, in which a driver with 27 trips a day fills 11 MB. As the span is cut from the id,
spans and ids can never disagree about what is newer. `trip_spans` lists the spans that a person has trips in, so that
a list reads these alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from core.events import Party
from runtime.cassandra import Cassandra, Table, Write
from trips.adapters.bodies import decode, encode
from trips.model import Trip

_SPAN_CHARS = 8
_COMPACT = "compaction = {'class': 'UnifiedCompactionStrategy'}"


def _by_person(name: str) -> Table:
    return Table(
        name,
        "person_id text, span text, trip_id text, body blob, PRIMARY KEY ((person_id, span), trip_id)",
        f"CLUSTERING ORDER BY (trip_id DESC) AND {_COMPACT}",
    )


TABLES = (
    Table("trips_by_trip", "trip_id text PRIMARY KEY, body blob", _COMPACT),
    _by_person("trips_by_rider"),
    _by_person("trips_by_driver"),
    Table(
        "trip_spans",
        "party text, person_id text, span text, PRIMARY KEY ((party, person_id), span)",
        f"CLUSTERING ORDER BY (span DESC) AND {_COMPACT}",
    ),
)

_PARTIES = ("rider", "driver")
_KEY = "person_id = ? AND span = ?"
_PUT_TRIP = "INSERT INTO KEYSPACE.trips_by_trip (trip_id, body) VALUES (?, ?)"
_PUT = {
    who: f"INSERT INTO KEYSPACE.trips_by_{who} (person_id, span, trip_id, body) VALUES (?, ?, ?, ?)" for who in _PARTIES
}
_PUT_SPAN = "INSERT INTO KEYSPACE.trip_spans (party, person_id, span) VALUES (?, ?, ?)"
_GET_TRIP = "SELECT body FROM KEYSPACE.trips_by_trip WHERE trip_id = ?"
_GET = {who: f"SELECT body FROM KEYSPACE.trips_by_{who} WHERE {_KEY} AND trip_id = ?" for who in _PARTIES}
_GET_SPAN = "SELECT span FROM KEYSPACE.trip_spans WHERE party = ? AND person_id = ? AND span = ?"
_SPANS = "SELECT span FROM KEYSPACE.trip_spans WHERE party = ? AND person_id = ?"
_SPANS_UP_TO = f"{_SPANS} AND span <= ?"
_LIST = {who: f"SELECT body FROM KEYSPACE.trips_by_{who} WHERE {_KEY} LIMIT ?" for who in _PARTIES}
_LIST_BELOW = {
    who: f"SELECT body FROM KEYSPACE.trips_by_{who} WHERE {_KEY} AND trip_id < ? LIMIT ?" for who in _PARTIES
}


class CassandraTripArchive:
    """The TripArchive port. What is written and read back at a quorum is there while any quorum is."""

    def __init__(self, cassandra: Cassandra) -> None:
        self._cassandra = cassandra

    async def put(self, trips: Sequence[Trip]) -> None:
        """Write these trips into all tables. Raises Unavailable: some may be written then."""
        await self._cassandra.write([write for trip in trips for write in _rows(trip)])

    async def verified(self, trips: Sequence[Trip]) -> list[Trip]:
        """Those that every table gives back as they are, under a span that lists will find."""
        whole = await asyncio.gather(*(self._is_whole(trip) for trip in trips))
        return [trip for trip, there in zip(trips, whole, strict=True) if there]

    async def get(self, trip_id: str) -> Trip | None:
        """The trip, or None."""
        rows = await self._cassandra.rows(_GET_TRIP, (trip_id,))
        return decode(rows[0][0]) if rows else None

    async def list_of(self, party: Party, subject: str, before: str | None, limit: int) -> list[Trip]:
        """At most `limit` trips of a rider or driver with ids below `before`, newest first."""
        ask = self._cassandra.rows
        if before is None:
            spans = await ask(_SPANS, (party, subject))
        else:
            spans = await ask(_SPANS_UP_TO, (party, subject, _span(before)))
        bodies: list[bytes] = []
        for (span,) in spans:
            left = limit - len(bodies)
            if left <= 0:
                break
            if before is None:
                rows = await ask(_LIST[party], (subject, span, left))
            else:
                rows = await ask(_LIST_BELOW[party], (subject, span, before, left))
            bodies += [body for (body,) in rows]
        return [decode(body) for body in bodies]

    async def _is_whole(self, trip: Trip) -> bool:
        body, span, ask = encode(trip), _span(trip.trip_id), self._cassandra.rows
        people = (("rider", trip.rider_id), ("driver", trip.driver_id))
        found = await asyncio.gather(
            ask(_GET_TRIP, (trip.trip_id,)), *(ask(_GET[party], (who, span, trip.trip_id)) for party, who in people)
        )
        listed = await asyncio.gather(*(ask(_GET_SPAN, (party, who, span)) for party, who in people))
        return all(rows == [(body,)] for rows in found) and all(listed)


def _rows(trip: Trip) -> list[Write]:
    body, span = encode(trip), _span(trip.trip_id)
    rows = [Write(_PUT_TRIP, (trip.trip_id, body))]
    for party, who in (("rider", trip.rider_id), ("driver", trip.driver_id)):
        rows.append(Write(_PUT[party], (who, span, trip.trip_id, body)))
        rows.append(Write(_PUT_SPAN, (party, who, span)))
    return rows


def _span(trip_id: str) -> str:
    return trip_id[:_SPAN_CHARS]
