"""Supply: who is open to work, by segment. A tick tells the store what changed in the live table, and nothing else."""

from __future__ import annotations

import logging

from core.clock import Clock
from core.errors import HexcabError
from location.live import LiveDrivers
from location.ports import PositionStream, SupplyStore

_log = logging.getLogger(__name__)

_AT_ONCE = 10_000  # drivers told in one tick; the others follow in the next


class Supply:
    """The live table and the store that other processes look drivers up in; `stream` hears of positions besides."""

    def __init__(
        self,
        live: LiveDrivers,
        store: SupplyStore,
        clock: Clock,
        *,
        fresh_s: float,
        stream: PositionStream | None = None,
    ) -> None:
        self.live = live
        self._store = store
        self._clock = clock
        self._fresh_s = live.fresh_s = fresh_s  # one limit: what expires must not be placed by the next old ping
        self._stream = stream
        self._failing = False
        self._lost: list[str] = []

    def set_busy(self, driver_id: str, trip_id: str) -> None:
        """The driver has a trip: not offered other work, and pings are kept with the trip."""
        self.live.set_busy(driver_id, trip_id)

    def set_free(self, driver_id: str) -> None:
        """The driver's trip has ended."""
        self.live.set_free(driver_id, self._clock.now())

    def set_online(self, driver_id: str, online: bool) -> None:
        """The driver is open or closed for work."""
        self.live.set_online(driver_id, online, self._clock.now())

    def set_vehicle(self, driver_id: str, vehicle: str, seats: int) -> None:
        """The class of the driver's vehicle and its seats. Raises InvalidInput when the name is too long."""
        self.live.set_vehicle(driver_id, vehicle, seats)

    async def flush(self) -> int:
        """Tell the store what changed; returns how many drivers. What it does not take is told again next time."""
        changes = self.live.take_changes(self._clock.now(), _AT_ONCE)
        if not changes:
            return 0
        if self._stream is not None:
            self._stream.offer(changes)
        try:
            self._lost += self.live.superseded(await self._store.apply(changes))
        except BaseException as error:
            self.live.retry(changes)
            if not isinstance(error, HexcabError):
                raise
            self._failed(error)
            return 0
        self._failing = False
        return len(changes)

    def take_lost(self) -> list[str]:
        """Drivers of whom the store has said, since the last call, that another host has a newer connection."""
        lost, self._lost = self._lost, []
        return lost

    async def expire(self) -> int:
        """Take out who has been silent for longer than the freshness limit; returns how many."""
        try:
            gone = await self._store.expire(self._clock.now() - self._fresh_s)
        except HexcabError as error:
            self._failed(error)
            return 0
        self.live.went_stale(gone)
        return len(gone)

    def _failed(self, error: HexcabError) -> None:
        if not self._failing:  # once per outage, not ten times a second
            _log.warning("the supply store is away; changes wait", extra={"detail": error.detail})
        self._failing = True
