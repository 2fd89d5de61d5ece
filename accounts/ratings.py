"""Ratings: stars that the trips room tells of are counted for the account they are about, each once."""

from __future__ import annotations

from accounts.ports import DriverWork, RiderWork, Stars, Transactions
from core.errors import Conflict
from core.events import AnyEvent, TripRated


class RatingDesk:
    """Subscribe `handle` to TripRated as the group "ratings"."""

    def __init__(self, riders: Transactions[RiderWork], drivers: Transactions[DriverWork]) -> None:
        self._riders = riders
        self._drivers = drivers

    async def handle(self, event: AnyEvent) -> None:
        """Count the stars; told again, nothing happens. Raises Unavailable to be called again later."""
        if not isinstance(event, TripRated):
            return
        rating = Stars(event.id, event.about_id, event.stars, event.at)
        try:
            if event.about == "rider":
                async with self._riders() as work:
                    await work.riders.rated(rating)
            else:
                async with self._drivers() as other:
                    await other.drivers.rated(rating)
        except Conflict as error:
            if error.code != "already_counted":
                raise
