"""What the learner of traffic needs: the trails of cars on trips, and the rides that have ended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from location.ports import TrailLog
from maps.ports import FinishedRide
from maps.trails import DrivenTrail
from trips.model import Trip
from trips.ports import LiveTrips


class TripsDriven:
    """maps' Driving: reads the log of pings for every trip under way, each ping once.

    On the way to the pickup and to the drop-off a car drives; what lies between, it waits.
    """

    def __init__(self, trips: LiveTrips, trails: TrailLog) -> None:
        self._trips = trips
        self._trails = trails
        self._read_until: dict[str, int] = {}  # by trip, the `ts` of the last ping that was read

    async def __call__(self, now: float, most: int) -> tuple[Sequence[DrivenTrail], Sequence[FinishedRide]]:
        active = {trip.trip_id: trip for trip in await self._trips.active()}
        over = [await self._trips.get(trip_id) for trip_id in self._read_until if trip_id not in active]
        ended = [trip for trip in over if trip is not None and trip.status == "completed"]
        trails, read_until = list[DrivenTrail](), dict[str, int]()
        for trip in [*ended, *active.values()]:
            since = self._read_until.get(trip.trip_id, int(trip.assigned_at * 1000))
            if len(trails) < most:
                found, since = await self._read(trip, since, int(now * 1000))
                trails += found
            if trip.active:
                read_until[trip.trip_id] = since
        self._read_until = read_until
        return trails[:most], [ride for trip in ended if (ride := _ride(trip)) is not None]

    async def _read(self, trip: Trip, since_ms: int, until_ms: int) -> tuple[list[DrivenTrail], int]:
        """Its driving since then, and when its last ping was."""
        trail = await self._trails.track(trip.driver_id, since_ms, until_ms)
        mine = np.array([trip_id == trip.trip_id for trip_id in trail.trip_ids], dtype=np.bool_)
        at_s = trail.ts / 1000
        arrived, started = trip.arrived_at or np.inf, trip.started_at or np.inf
        parts = [mine & (at_s <= arrived), mine & (at_s >= started) & (at_s <= (trip.completed_at or np.inf))]
        found = [DrivenTrail(trail.lat[part], trail.lng[part], at_s[part]) for part in parts if part.sum() > 1]
        return found, int(trail.ts[mine].max()) if mine.any() else since_ms


def _ride(trip: Trip) -> FinishedRide | None:
    if trip.started_at is None or trip.completed_at is None:
        return None
    return FinishedRide(trip.pickup, trip.dropoff, trip.completed_at - trip.started_at, trip.completed_at)
