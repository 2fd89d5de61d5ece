"""Cumulative acks: one per connection and second at most, and never for a trip's ping that is not durable."""

from __future__ import annotations

import asyncio
from collections import deque

from core.clock import Clock
from location.gateway.connection import Connection
from location.messages import Ack
from runtime.settings import LocationSettings


class Acks:
    """Who is owed an ack, in the order in which they fall due."""

    def __init__(self, clock: Clock, settings: LocationSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._owed: deque[tuple[float, Connection]] = deque()
        self._wall = asyncio.get_running_loop().time()  # of the last tick: close enough, and free
        self._engine = clock.now()
        self._after_s = settings.ack_every_s - settings.tick_s

    def owe(self, connection: Connection) -> None:
        """A ping of this connection was processed; called for every ping."""
        if not connection.awaits_ack:
            connection.awaits_ack = True
            self._owed.append((self._wall + self._after_s, connection))

    def tick(self) -> None:
        """Send what is due. Where engine time runs faster than the wall, so do the acks."""
        wall, engine = asyncio.get_running_loop().time(), self._clock.now()
        speed = max(1.0, (engine - self._engine) / max(wall - self._wall, 1e-3))
        self._wall, self._engine = wall, engine
        self._after_s = self._settings.ack_every_s / speed - self._settings.tick_s
        while self._owed and self._owed[0][0] <= wall:
            self.send(self._owed.popleft()[1])

    def durable(self, connection: Connection) -> None:
        """Pings of the connection's driver became durable: send an ack that has waited for them."""
        if connection.ack_late:
            self.send(connection)

    def send(self, connection: Connection) -> None:
        """Acknowledge as far as it is safe, now."""
        connection.awaits_ack = False
        driver = connection.driver
        connection.ack_late = driver.undurable > 0
        seq = driver.safe_seq
        if seq > connection.acked_seq or not connection.ack_late:
            connection.acked_seq = seq
            connection.send(Ack(seq))
