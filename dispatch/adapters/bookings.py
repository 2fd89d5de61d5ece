"""New ride requests in SQL: each with its event and the answer to its ask, and many in one commit.

Bookings that come while a commit is under way share the next one: one insert per table, one wait for the disk. Each has
its own outcome. PostgreSQL passes over those that something stands against; elsewhere a look before the insert finds
them. Should another process be faster even so, each booking of the batch is made in a transaction of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import sqlalchemy as sa

from core.errors import Conflict, HexcabError
from dispatch.adapters.tables import request_row, ride_requests
from dispatch.model import Booking
from runtime.answers import KEY_KEPT
from runtime.gather import Gather
from runtime.idempotency import answer_row, answers, unique_answer
from runtime.sql import Database, Transaction, among, event_row, outbox, unique

# PostgreSQL does all of it in one statement, and so in one trip: rows come as JSON, whose names are the columns'
_IN_ONE = """
    WITH requests AS (
        INSERT INTO ride_requests SELECT * FROM json_populate_recordset(NULL::ride_requests, $1::text::json)
    ), answers AS (
        INSERT INTO idempotency_keys SELECT * FROM json_populate_recordset(NULL::idempotency_keys, $2::text::json)
    )
    INSERT INTO outbox (event_id, topic, key, body, at)
    SELECT event_id, topic, key, body, at FROM json_populate_recordset(NULL::outbox, $3::text::json)
"""

# the same for those that nothing stands against; says which. A scalar subquery, as no plan can make a join of it, for
# which it would read all of the table
_FREE_IN_ONE = """
    WITH keys AS (
        SELECT * FROM json_to_recordset($2::text::json)
        AS k (request_id text, scope_key text, body_hash text, status int, body text, at float8)
    ), used AS (
        SELECT request_id FROM keys
        WHERE (SELECT status FROM idempotency_keys WHERE scope_key = keys.scope_key) IS NOT NULL
    ), requests AS (
        INSERT INTO ride_requests
        SELECT * FROM json_populate_recordset(NULL::ride_requests, $1::text::json) AS r
        WHERE r.request_id NOT IN (SELECT request_id FROM used)
        ON CONFLICT DO NOTHING RETURNING request_id
    ), answers AS (
        INSERT INTO idempotency_keys
        SELECT scope_key, body_hash, status, body, at FROM keys WHERE request_id IN (SELECT request_id FROM requests)
    ), events AS (
        INSERT INTO outbox (event_id, topic, key, body, at)
        SELECT event_id, topic, key, body, at FROM json_populate_recordset(NULL::outbox, $3::text::json)
        WHERE key IN (SELECT request_id FROM requests)
    )
    SELECT request_id FROM requests
"""


class SqlBookings:
    """The Store port's `book`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gather = Gather(self._book_all, database.settings.booking_batch, database.settings.waiting)

    async def book(self, booking: Booking) -> None:
        await self._gather(booking)
        if booking.answer is not None:
            booking.answer.kept = True

    async def _book_all(self, bookings: Sequence[Booking]) -> Sequence[HexcabError | None]:
        booked = set(await self._insert_free(bookings)) if self._database.kind == "postgresql" else set()
        left = [n for n in range(len(bookings)) if n not in booked]
        outcomes = dict(zip(left, await self._book_left([bookings[n] for n in left]), strict=True)) if left else {}
        return [outcomes.get(n) for n in range(len(bookings))]

    async def _book_left(self, bookings: Sequence[Booking]) -> Sequence[HexcabError | None]:
        if len(bookings) == 1:
            return [await self._alone(bookings[0])]
        outcomes = await self._against(bookings)
        free = [booking for booking, outcome in zip(bookings, outcomes, strict=True) if outcome is None]
        if not free:
            return outcomes
        try:
            await self._insert(free)
        except Conflict:  # somebody was faster than our look
            made = iter(await asyncio.gather(*(self._alone(booking) for booking in free)))
            return [next(made) if outcome is None else outcome for outcome in outcomes]
        return outcomes

    async def _alone(self, booking: Booking) -> HexcabError | None:
        try:
            await self._insert([booking])
        except HexcabError as error:
            return error
        return None

    async def _against(self, bookings: Sequence[Booking]) -> Sequence[HexcabError | None]:
        """What stands against each booking, as far as can be seen."""
        columns = ride_requests.c
        kind = self._database.kind
        riders = among(columns.open_rider, [booking.request.rider_id for booking in bookings], kind)
        ids = among(columns.request_id, [booking.request.request_id for booking in bookings], kind)
        keys = [booking.answer.scope_key for booking in bookings if booking.answer is not None]
        async with self._database.reading() as connection:
            query = sa.select(columns.open_rider, columns.request_id).where(riders | ids)
            rows = (await connection.execute(query)).all()
            asked = sa.select(answers.c.scope_key).where(among(answers.c.scope_key, keys, kind))
            kept = set((await connection.execute(asked)).scalars()) if keys else set()
        busy, taken = {row.open_rider for row in rows}, {row.request_id for row in rows}
        outcomes: list[HexcabError | None] = []
        for booking in bookings:
            request, key = booking.request, None if booking.answer is None else booking.answer.scope_key
            outcome = _kept() if key in kept else _taken() if request.request_id in taken else None
            if outcome is None and request.rider_id in busy:
                outcome = _busy()
            outcomes.append(outcome)
            if outcome is None:
                busy.add(request.rider_id)
                taken.add(request.request_id)
                kept.update([key] if key else [])
        return outcomes

    async def _insert_free(self, bookings: Sequence[Booking]) -> Sequence[int]:
        """Store those that nothing stands against, if no other process meddles; where they are in the sequence."""
        places = {booking.request.rider_id: n for n, booking in reversed(list(enumerate(bookings)))}
        places = {bookings[n].request.request_id: n for n in places.values()}  # no two of one rider, none of one id
        once = _in_order([bookings[n] for n in places.values()])
        try:
            made = await self._in_one(_FREE_IN_ONE, once)
        except Conflict:
            return []
        return [places[request_id] for request_id in made]

    async def _insert(self, bookings: Sequence[Booking]) -> None:
        """Store all of them. Raises Conflict as `book` does, for whichever comes first."""
        if self._database.kind == "postgresql":
            await self._in_one(_IN_ONE, _in_order(bookings))
        else:
            await self._database.repeated(lambda tx: _insert_each(tx, _in_order(bookings)))

    async def _in_one(self, statement: str, bookings: Sequence[Booking]) -> list[str]:
        """What the statement returns: request ids."""
        rows = (_requests(bookings), _keyed_answers(bookings), [event_row(booking.event) for booking in bookings])
        values = tuple(msgspec.json.encode(each).decode() for each in rows)
        once = {"event_id": _taken()}  # it is made of the request's id
        with _unique_request(), unique_answer(), unique(outbox, once):
            async with self._database.committing() as connection:
                result = await connection.exec_driver_sql(statement, values)
                made = list(result.scalars()) if result.returns_rows else []
        self._database.committed()
        return made


async def _insert_each(tx: Transaction, bookings: Sequence[Booking]) -> None:
    with _unique_request():
        await tx.connection.execute(sa.insert(ride_requests), _requests(bookings))
    if first := _answers(bookings):
        with unique_answer():
            await tx.connection.execute(sa.insert(answers), first)
    tx.publish(*(booking.event for booking in bookings))


def _requests(bookings: Sequence[Booking]) -> list[dict[str, Any]]:
    return [request_row(each.request) | {"open_rider": each.request.rider_id} for each in bookings]


def _in_order(bookings: Sequence[Booking]) -> list[Booking]:
    """So that no two commits wait for each other."""
    return sorted(bookings, key=lambda booking: booking.request.rider_id)


def _keyed_answers(bookings: Sequence[Booking]) -> list[dict[str, Any]]:
    """Rows of answers, each with the id of its request."""
    created = [(each.request, each.answer) for each in bookings if each.answer is not None]
    return [answer_row(answer, request.created_at) | {"request_id": request.request_id} for request, answer in created]


def _answers(bookings: Sequence[Booking]) -> list[dict[str, Any]]:
    return [answer_row(each.answer, each.request.created_at) for each in bookings if each.answer is not None]


def _unique_request() -> AbstractContextManager[None]:
    return unique(ride_requests, {"open_rider": _busy(), "request_id": _taken()})


def _busy() -> Conflict:
    return Conflict("the rider has an open request or an active trip", code="rider_busy")


def _kept() -> Conflict:
    return Conflict("this Idempotency-Key was answered before", code=KEY_KEPT)


def _taken() -> Conflict:
    return Conflict("there is a ride request of this id", code="request_exists")
