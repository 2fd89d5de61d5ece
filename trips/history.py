"""History: live and archived trips as one list, newest first, whatever the archiver moves meanwhile.

Live trips are read before archived ones. The archiver writes before it deletes, so a trip on the move is seen at least
once in that order, and seen twice it is told apart by its id. Pages are cut by trip id, which sorts by time and never
changes: neither moves nor new trips can shift a page.

While the archive is away nobody can say which trips a page would lack, so a list is refused rather than shown with
gaps. A live trip is found without the archive.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable

import msgspec

from core.errors import FieldError, InvalidInput, NotFound, Unavailable
from core.events import Party
from runtime.settings import TripSettings
from trips.model import By, Trip
from trips.ports import LiveTrips, TripArchive

_CURSOR_MAX = 200


class TripPage(msgspec.Struct, frozen=True):
    """Some trips, newest first, and where the next page begins; None on the last page."""

    items: tuple[Trip, ...]
    next_cursor: str | None


class History:
    """Finds trips wherever they rest."""

    def __init__(self, live: LiveTrips, archive: TripArchive, settings: TripSettings) -> None:
        self._live = live
        self._archive = archive
        self._settings = settings

    async def trip(self, trip_id: str, by: By) -> Trip:
        """One trip. Raises NotFound when it does not exist or does not concern the asker.

        Raises Unavailable archive_unavailable when only the archive could tell, and it is away.
        """
        trip = await self._live.get(trip_id) or await _rested(self._archive.get(trip_id))
        if trip is None or not trip.concerns(by):
            raise NotFound(f"no trip {trip_id}")
        return trip

    async def of_rider(self, rider_id: str, cursor: str | None = None, limit: int | None = None) -> TripPage:
        """A rider's trips. Raises InvalidInput bad_cursor or bad_limit, Unavailable archive_unavailable."""
        return await self._page("rider", rider_id, cursor, limit)

    async def of_driver(self, driver_id: str, cursor: str | None = None, limit: int | None = None) -> TripPage:
        """A driver's trips. Raises InvalidInput bad_cursor or bad_limit, Unavailable archive_unavailable."""
        return await self._page("driver", driver_id, cursor, limit)

    async def _page(self, party: Party, subject: str, cursor: str | None, limit: int | None) -> TripPage:
        size = self._size(limit)
        before = None if cursor is None else _trip_id_of(cursor)
        live = await self._live.list_of(party, subject, before, size + 1)
        archived = await _rested(self._archive.list_of(party, subject, before, size + 1))
        found = {trip.trip_id: trip for trip in (*archived, *live)}
        newest = sorted(found.values(), key=lambda trip: trip.trip_id, reverse=True)
        items = tuple(newest[:size])
        return TripPage(items, _cursor_of(items[-1].trip_id) if len(newest) > size else None)

    def _size(self, limit: int | None) -> int:
        if limit is None:
            return self._settings.history_page
        if not 1 <= limit <= self._settings.history_page_max:
            error = FieldError("limit", f"must be from 1 to {self._settings.history_page_max}, got {limit}")
            raise InvalidInput(f"limit {error.detail}", code="bad_limit", errors=(error,))
        return limit


async def _rested[T](asked: Awaitable[T]) -> T:
    """What the archive answers."""
    try:
        return await asked
    except Unavailable as error:
        detail, again_s = "earlier trips cannot be read now; come again", error.retry_after_s
        raise Unavailable(detail, code="archive_unavailable", retry_after_s=again_s) from error


def _cursor_of(trip_id: str) -> str:
    return base64.urlsafe_b64encode(trip_id.encode()).decode().rstrip("=")


def _trip_id_of(cursor: str) -> str:
    try:
        if not cursor or len(cursor) > _CURSOR_MAX:
            raise ValueError("length")
        trip_id = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        if not trip_id.isprintable():
            raise ValueError("not an id")
    except (binascii.Error, ValueError) as error:
        wrong = FieldError("cursor", "is not one that a list gave out")
        raise InvalidInput(f"cursor {wrong.detail}", code="bad_cursor", errors=(wrong,)) from error
    return trip_id
