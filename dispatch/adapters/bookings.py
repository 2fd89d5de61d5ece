"""New ride requests in SQL: each with its event and the answer to its ask, and many in one commit.

Bookings that come while a commit is under way share the next one: one insert per table, one wait for the disk. Each has
its own outcome. What stands against a booking is found before the insert, so that it takes nobody else along; should
another process be faster in between, each booking of the batch is made in a transaction of its own.
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
from runtime.gather import Gather
from runtime.idempotency import answer_row, answers, unique_answer
from runtime.sql import Database, Transaction, event_row, outbox, padded, unique

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
        riders = columns.open_rider.in_(padded([booking.request.rider_id for booking in bookings]))
        ids = columns.request_id.in_(padded([booking.request.request_id for booking in bookings]))
        async with self._database.reading() as connection:
            query = sa.select(columns.open_rider, columns.request_id).where(riders | ids)
            rows = (await connection.execute(query)).all()
        busy, taken = {row.open_rider for row in rows}, {row.request_id for row in rows}
        outcomes: list[HexcabError | None] = []
        for request in (booking.request for booking in bookings):
            outcome = _taken() if request.request_id in taken else _busy() if request.rider_id in busy else None
            outcomes.append(outcome)
            if outcome is None:
                busy.add(request.rider_id)
                taken.add(request.request_id)
        return outcomes

    async def _insert(self, bookings: Sequence[Booking]) -> None:
        """Store all of them. Raises Conflict as `book` does, for whichever comes first."""
        in_order = sorted(bookings, key=lambda booking: booking.request.rider_id)  # no two commits wait for each other
        if self._database.kind == "postgresql":
            await self._insert_in_one(in_order)
        else:
            await self._database.repeated(lambda tx: _insert_each(tx, in_order))

    async def _insert_in_one(self, bookings: Sequence[Booking]) -> None:
        events = [event_row(booking.event) for booking in bookings]
        values = tuple(msgspec.json.encode(rows).decode() for rows in (_requests(bookings), _answers(bookings), events))
        once = {"event_id": _taken()}  # it is made of the request's id
        with _unique_request(), unique_answer(), unique(outbox, once):
            async with self._database.committing() as connection:
                await connection.exec_driver_sql(_IN_ONE, values)
        self._database.committed()


async def _insert_each(tx: Transaction, bookings: Sequence[Booking]) -> None:
    with _unique_request():
        await tx.connection.execute(sa.insert(ride_requests), _requests(bookings))
    if first := _answers(bookings):
        with unique_answer():
            await tx.connection.execute(sa.insert(answers), first)
    tx.publish(*(booking.event for booking in bookings))


def _requests(bookings: Sequence[Booking]) -> list[dict[str, Any]]:
    return [request_row(each.request) | {"open_rider": each.request.rider_id} for each in bookings]


def _answers(bookings: Sequence[Booking]) -> list[dict[str, Any]]:
    return [answer_row(each.answer, each.request.created_at) for each in bookings if each.answer is not None]


def _unique_request() -> AbstractContextManager[None]:
    return unique(ride_requests, {"open_rider": _busy(), "request_id": _taken()})


def _busy() -> Conflict:
    return Conflict("the rider has an open request or an active trip", code="rider_busy")


def _taken() -> Conflict:
    return Conflict("there is a ride request of this id", code="request_exists")
