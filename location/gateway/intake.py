"""Pings as they come in at the gateway: from the lane in batches, from the library one message at a time."""

from __future__ import annotations

import numpy as np

from core.clock import Clock
from location.gateway.acks import Acks, ConnectionOf
from location.gateway.codes import TRY_LATER
from location.gateway.connection import Connection
from location.gateway.greeting import Greeter
from location.live import LiveDrivers
from location.messages import Position
from location.pings import PingPath
from location.table import HINT, NO_ROOM, PingRows


class Intake:
    """Uses pings, and tells their drivers what has to be told."""

    def __init__(
        self, path: PingPath, acks: Acks, greeter: Greeter, clock: Clock, live: LiveDrivers, connection_of: ConnectionOf
    ) -> None:
        self._path = path
        self._acks = acks
        self._greeter = greeter
        self._clock = clock
        self._live = live
        self._connection_of = connection_of

    def batch(self, pings: PingRows, owed: np.ndarray) -> None:
        """A turn of the lane."""
        now = self._clock.now()
        self._path.use(pings, now)
        if len(owed):
            self._acks.owe_many(owed.tolist())
        told = (pings["fate"] == NO_ROOM) | (pings["after"] & HINT != 0)
        for at in np.flatnonzero(told).tolist():
            connection = self._connection_of(self._live.at(int(pings["slot"][at])).id)
            if connection is None:
                continue
            if pings["fate"][at] == NO_ROOM:
                connection.close(TRY_LATER, "pings of trips cannot be kept now")
            elif not connection.driver.told_skew:
                connection.hint_skew(now - int(pings["ts"][at]) / 1000.0)

    def message(self, connection: Connection, pings: list[Position], *, fresh: bool) -> None:
        """Pings of one message; `fresh`: where the driver is now, not what the app has buffered."""
        if not connection.welcomed:
            self._greeter.hold(connection, pings)
            return
        driver, now = connection.driver, self._clock.now()
        if not self._path.take_batch(driver, pings, now):
            connection.close(TRY_LATER, "pings of trips cannot be kept now")
        elif pings:
            self._acks.owe(connection)
            if fresh and not driver.placed and not driver.told_skew:
                connection.hint_skew(now - pings[-1].ts / 1000.0)
