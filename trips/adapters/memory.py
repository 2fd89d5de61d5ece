"""An archive in memory: a fake for tests, and the smallest form of what the port asks."""

from __future__ import annotations

from collections.abc import Sequence

from core.events import Party
from trips.model import Trip


class MemoryTripArchive:
    """The TripArchive port; three tables, as any archive has."""

    def __init__(self) -> None:
        self.by_trip: dict[str, Trip] = {}
        self.by_party: dict[tuple[Party, str], dict[str, Trip]] = {}

    async def put(self, trips: Sequence[Trip]) -> None:
        for trip in trips:
            self.by_trip[trip.trip_id] = trip
            self.by_party.setdefault(("rider", trip.rider_id), {})[trip.trip_id] = trip
            self.by_party.setdefault(("driver", trip.driver_id), {})[trip.trip_id] = trip

    async def verified(self, trips: Sequence[Trip]) -> list[Trip]:
        return [
            trip
            for trip in trips
            if self.by_trip.get(trip.trip_id) == trip
            and self.by_party.get(("rider", trip.rider_id), {}).get(trip.trip_id) == trip
            and self.by_party.get(("driver", trip.driver_id), {}).get(trip.trip_id) == trip
        ]

    async def get(self, trip_id: str) -> Trip | None:
        return self.by_trip.get(trip_id)

    async def list_of(self, party: Party, subject: str, before: str | None, limit: int) -> list[Trip]:
        rows = self.by_party.get((party, subject), {})
        newest = sorted((key for key in rows if before is None or key < before), reverse=True)
        return [rows[key] for key in newest[:limit]]
