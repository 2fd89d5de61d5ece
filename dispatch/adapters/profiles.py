"""Profiles from the offers table: what a driver did with the last offers, beside the rating from another room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from core.clock import Clock
from core.geo import FloatArray
from dispatch.adapters.tables import offers
from dispatch.model import ProfileRows
from dispatch.ports import Ratings
from runtime.settings import DispatchSettings
from runtime.sql import Database, among

_ANSWERED = ("accepted", "declined", "expired")  # an offer that ended otherwise was not the driver's doing
_IN_CHUNK = 500


class SqlProfiles:
    """The Profiles port. Acceptance is remembered for `profile_cache_s` and `profile_cache_max` drivers."""

    def __init__(self, database: Database, ratings: Ratings, clock: Clock, settings: DispatchSettings) -> None:
        self._database = database
        self._ratings = ratings
        self._clock = clock
        self._settings = settings
        self._known: dict[str, tuple[float, float]] = {}  # driver: acceptance, read at; the oldest reading first

    async def of(self, driver_ids: Sequence[str]) -> ProfileRows:
        """Rating and acceptance in the order of the ids, nan where unknown."""
        now = self._clock.now()
        fresh = {
            driver_id: known[0]
            for driver_id in driver_ids
            if (known := self._known.get(driver_id)) and now - known[1] < self._settings.profile_cache_s
        }
        missing = [driver_id for driver_id in dict.fromkeys(driver_ids) if driver_id not in fresh]
        if missing:
            read = await self._read(missing)
            self._remember(read, now)
            fresh |= read
        acceptance: FloatArray = np.array([fresh[driver_id] for driver_id in driver_ids], dtype=np.float64)
        return ProfileRows(await self._ratings.of(driver_ids), acceptance)

    async def _read(self, driver_ids: Sequence[str]) -> dict[str, float]:
        found = dict.fromkeys(driver_ids, float("nan"))
        async with self._database.reading() as connection:
            for start in range(0, len(driver_ids), _IN_CHUNK):
                rows = await connection.execute(self._query(driver_ids[start : start + _IN_CHUNK]))
                found.update({row.driver_id: int(row.accepted) / int(row.answered) for row in rows})
        return found

    def _query(self, driver_ids: Sequence[str]) -> sa.Select[tuple[str, int, int]]:
        latest = sa.func.row_number().over(partition_by=offers.c.driver_id, order_by=offers.c.made_at.desc())
        answered = (
            sa.select(offers.c.driver_id, offers.c.status, latest.label("place"))
            .where(among(offers.c.driver_id, driver_ids, self._database.kind), offers.c.status.in_(_ANSWERED))
            .subquery()
        )
        accepted = sa.func.sum(sa.case((answered.c.status == "accepted", 1), else_=0))
        return (
            sa.select(answered.c.driver_id, accepted.label("accepted"), sa.func.count().label("answered"))
            .where(answered.c.place <= self._settings.acceptance_window)
            .group_by(answered.c.driver_id)
        )

    def _remember(self, read: dict[str, float], now: float) -> None:
        for driver_id, acceptance in read.items():
            self._known.pop(driver_id, None)
            self._known[driver_id] = (acceptance, now)
        while len(self._known) > self._settings.profile_cache_max:
            del self._known[next(iter(self._known))]
