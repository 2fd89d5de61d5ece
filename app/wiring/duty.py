"""Duty: which trip keeps a driver of this host busy, whoever brings the news and however late."""

from __future__ import annotations

from location.supply import Supply
from trips.model import Trip

_RECENT_TRIPS = 50_000  # whose latest step is remembered, so that older news is known as such


class Duty:
    """The one place that makes drivers busy and free.

    News may come late and twice: whoever reads a trip and then has to wait holds a trip that may have gone on since,
    and other hosts tell of trips as well. Drivers whom this host has never met are left alone: their state is read when
    they connect.
    """

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._latest: dict[str, tuple[bool, int]] = {}  # by trip, the oldest first: whether it has ended, its steps

    def note(self, trip: Trip) -> bool:
        """Take over what a trip says of its driver; repeating is harmless. False when later news was noted before."""
        news = (not trip.active, len(trip.steps))
        if news < self._latest.get(trip.trip_id, news):
            return False
        self._remember(trip.trip_id, news)
        driver = self._supply.live.get(trip.driver_id)
        if driver is None:
            return True
        if not trip.active:
            self.no_trip(trip.driver_id, trip.trip_id)
        elif driver.trip_id is not None and driver.trip_id > trip.trip_id:  # ids sort by time
            return False
        else:
            self._supply.set_busy(trip.driver_id, trip.trip_id)
        return True

    def no_trip(self, driver_id: str, trip_id: str) -> None:
        """The driver is not on this trip any more."""
        if self.trip_of(driver_id) == trip_id:
            self._supply.set_free(driver_id)

    def trip_of(self, driver_id: str) -> str | None:
        """The trip that keeps the driver busy."""
        driver = self._supply.live.get(driver_id)
        return None if driver is None else driver.trip_id

    def _remember(self, trip_id: str, news: tuple[bool, int]) -> None:
        self._latest.pop(trip_id, None)
        self._latest[trip_id] = news
        if len(self._latest) > _RECENT_TRIPS:
            del self._latest[next(iter(self._latest))]
