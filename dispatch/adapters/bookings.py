"""New ride requests in SQL: each with its event and the answer to its ask, and many in one commit.

Bookings that come while a commit is under way share the next one: one insert per table, one wait for the disk. Each has
its own outcome. What would violate a uniqueness is found before the insert, so that it takes nobody else along; should
another process be faster in between, each booking of the batch is made in a transaction of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import sqlalchemy as sa

from core.errors import Conflict, HexcabError
from dispatch.adapters.tables import request_row, ride_requests
from dispatch.model import Booking
from runtime.gather import Gather
from runtime.idempotency import insert_answers
from runtime.sql import Database, Transaction, padded, unique


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
        try:
            return await self._database.repeated(lambda tx: _book_free(tx, bookings))
        except Conflict:  # somebody was faster than our look
            return await asyncio.gather(*(self._alone(booking) for booking in bookings))

    async def _alone(self, booking: Booking) -> HexcabError | None:
        try:
            await self._database.repeated(lambda tx: _insert(tx, [booking]))
        except HexcabError as error:
            return error
        return None


async def _book_free(tx: Transaction, bookings: Sequence[Booking]) -> Sequence[HexcabError | None]:
    """Store those that nothing stands against; for each, what did."""
    columns = ride_requests.c
    riders = columns.open_rider.in_(padded([booking.request.rider_id for booking in bookings]))
    ids = columns.request_id.in_(padded([booking.request.request_id for booking in bookings]))
    rows = (await tx.connection.execute(sa.select(columns.open_rider, columns.request_id).where(riders | ids))).all()
    busy, taken = {row.open_rider for row in rows}, {row.request_id for row in rows}
    outcomes: list[HexcabError | None] = []
    free: list[Booking] = []
    for booking in bookings:
        request = booking.request
        if request.request_id in taken:
            outcomes.append(_taken())
        elif request.rider_id in busy:
            outcomes.append(_busy())
        else:
            outcomes.append(None)
            free.append(booking)
            busy.add(request.rider_id)
            taken.add(request.request_id)
    if free:
        await _insert(tx, free)
    return outcomes


async def _insert(tx: Transaction, bookings: Sequence[Booking]) -> None:
    """Store bookings. Raises Conflict as `book` does, for whichever comes first."""
    in_order = sorted(bookings, key=lambda booking: booking.request.rider_id)  # no two transactions wait for each other
    rows = [request_row(booking.request) | {"open_rider": booking.request.rider_id} for booking in in_order]
    with unique(ride_requests, {"open_rider": _busy(), "request_id": _taken()}):
        await tx.connection.execute(sa.insert(ride_requests), rows)
    if answers := [booking.answer for booking in in_order if booking.answer is not None]:
        await insert_answers(tx.connection, answers, in_order[0].request.created_at)
    tx.publish(*(booking.event for booking in in_order))


def _busy() -> Conflict:
    return Conflict("the rider has an open request or an active trip", code="rider_busy")


def _taken() -> Conflict:
    return Conflict("there is a ride request of this id", code="request_exists")
