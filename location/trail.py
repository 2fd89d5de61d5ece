"""The way of pings to the durable log: gathered for a tick, appended at once, and only then acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from core.errors import HexcabError
from location.live import Driver, LiveDrivers
from location.messages import Position
from location.model import TrailPoint
from location.ports import TrailLog
from runtime.settings import LocationSettings

_log = logging.getLogger(__name__)


class TrailWriter:
    """A bounded queue in front of the trail log. Pings of a trip are never dropped: ask `full` first.

    While the log is away the queue grows to its bound. Beyond it idle pings are lost and counted, and pings of trips
    are not taken: the apps keep them. `durable` is told of each driver whose trip pings became durable.
    """

    def __init__(
        self,
        log: TrailLog,
        live: LiveDrivers,
        settings: LocationSettings,
        durable: Callable[[Driver], None] = lambda _driver: None,
    ) -> None:
        self._log = log
        self._live = live
        self._settings = settings
        self._durable = durable
        self._appending = asyncio.Lock()
        self._waiting: list[TrailPoint] = []
        self._urgent = False
        self._idle_since_tick = 0
        self._ticks_away = 0  # since the log failed last
        self._failing = False
        self.appended = 0
        self.idle_dropped = 0
        self.refused = 0  # pings of trips that were not taken; their drivers keep them

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """True when a ping of a trip cannot be taken."""
        return len(self._waiting) >= self._settings.trail_queue

    @property
    def room(self) -> int:
        """How many pings can still be taken."""
        return self._settings.trail_queue - len(self._waiting)

    def add(self, driver: Driver, ping: Position, before: int) -> None:
        """Queue a used ping; `before` is the highest number met before it."""
        trip_id = driver.trip_id
        if trip_id is not None:
            if not driver.undurable:
                driver.durable_seq = before
            driver.undurable += 1
            of_trips = self._live.undurable
            of_trips[trip_id] = of_trips.get(trip_id, 0) + 1
            self._urgent = True
        elif not self._settings.keep_idle_pings:
            return
        elif self.full:
            self.idle_dropped += 1
            return
        self._waiting.append(TrailPoint(driver.id, trip_id, driver.online, ping))

    @property
    def away(self) -> bool:
        """True while the log does not take what it is given."""
        return self._failing

    def due(self) -> bool:
        """True when pings of a trip wait, or other pings have waited long enough; call once per tick.

        A log that is away is tried again after `trail_retry_s`.
        """
        if self._failing:
            self._ticks_away += 1
            return self._ticks_away * self._settings.tick_s >= self._settings.trail_retry_s
        if self._urgent:
            return True
        if not self._waiting:
            return False
        self._idle_since_tick += 1
        return self._idle_since_tick * self._settings.tick_s >= self._settings.idle_trail_s

    async def flush(self) -> int:
        """Append what waits, batch by batch; returns how many.

        What the log does not take stays queued, in order, and unacknowledged.
        """
        async with self._appending:
            return await self._flush()

    async def make_durable(self, driver: Driver) -> None:
        """Append the driver's pings of trips before the next tick does, or give up after `complete_wait_s`.

        They stay queued where the log is away or slow: the trip ends all the same, and its price waits for them.
        """
        if not driver.undurable or self._failing:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.complete_wait_s), self._appending:
                if driver.undurable and not self._failing:  # still, after whoever was appending
                    await self._flush()

    async def _flush(self) -> int:
        count = 0
        self._urgent = False
        self._idle_since_tick = 0
        while self._waiting:
            size = self._settings.trail_batch
            batch, self._waiting = self._waiting[:size], self._waiting[size:]
            try:
                await self._log.append(batch)
            except BaseException as error:
                self._waiting = batch + self._waiting
                self._urgent = True
                if not isinstance(error, HexcabError):
                    raise
                self._note_away(error)
                return count
            self._note_back()
            count += len(batch)
            self.appended += len(batch)
            self._settle(batch)
        return count

    def _note_away(self, error: HexcabError) -> None:
        if not self._failing:
            _log.error("the trail log is away; pings of trips stay unacknowledged", extra={"detail": error.detail})
        self._failing = True
        self._ticks_away = 0

    def _note_back(self) -> None:
        if self._failing:
            _log.warning(
                "the trail log is back",
                extra={"waiting": len(self._waiting), "lost": self.idle_dropped, "refused": self.refused},
            )
        self._failing = False

    def _settle(self, batch: list[TrailPoint]) -> None:
        drivers = {}
        of_trips = self._live.undurable
        for point in batch:
            if point.trip_id is not None:
                if left := of_trips[point.trip_id] - 1:
                    of_trips[point.trip_id] = left
                else:
                    del of_trips[point.trip_id]
                driver = self._live.driver(point.driver_id)
                driver.undurable -= 1
                driver.durable_seq = max(driver.durable_seq, point.ping.seq)
                drivers[point.driver_id] = driver
        for driver in drivers.values():
            self._durable(driver)
