"""Cumulative acks: one per connection and second at most, and never for a trip's ping that is not durable."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import numpy as np

from core.clock import Clock
from core.geo import IntArray
from location.gateway.acking import MAX_ACK, send_acks, write_ack
from location.gateway.connection import Connection
from location.gateway.counts import Traffic
from location.live import LiveDrivers
from location.messages import Ack
from runtime.settings import LocationSettings

ConnectionOf = Callable[[str], Connection | None]


class Acks:
    """Who is owed an ack, in the order in which they fall due. `SLOT.owed` says whose slot is on the list."""

    def __init__(
        self,
        clock: Clock,
        settings: LocationSettings,
        live: LiveDrivers,
        traffic: Traffic,
        connection_of: ConnectionOf,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._live = live
        self._traffic = traffic
        self._out = np.zeros(MAX_ACK, dtype=np.uint8)
        self._connection_of = connection_of
        self._owed: deque[tuple[float, list[int]]] = deque()
        self._wall = asyncio.get_running_loop().time()  # of the last tick: close enough, and free
        self._engine = clock.now()
        self._after_s = settings.ack_every_s - settings.tick_s

    def prepare(self) -> None:
        """Compile what the first ack would wait for; some seconds, the first time on a machine."""
        self._send_at_once(np.zeros(0, dtype=np.int64))

    def owe(self, connection: Connection) -> None:
        """A ping of this connection was processed; called for every ping outside of the lane."""
        slot = connection.driver.slot
        if not self._live.rows["owed"][slot]:
            self._live.rows["owed"][slot] = 1
            self.owe_many([slot])

    def owe_many(self, slots: list[int]) -> None:
        """Pings of these slots were processed, and their rows say already that they are owed an ack."""
        self._owed.append((self._wall + self._after_s, slots))

    def tick(self) -> None:
        """Send what is due. Where engine time runs faster than the wall, so do the acks."""
        wall, engine = asyncio.get_running_loop().time(), self._clock.now()
        speed = max(1.0, (engine - self._engine) / max(wall - self._wall, 1e-3))
        self._wall, self._engine = wall, engine
        self._after_s = self._settings.ack_every_s / speed - self._settings.tick_s
        while self._owed and self._owed[0][0] <= wall:
            slots = np.array(self._owed.popleft()[1], dtype=np.int64)
            rows = self._live.rows
            rows["owed"][slots] = 0
            plain = (rows["fd"][slots] >= 0) & (rows["undurable"][slots] == 0) & (rows["congested"][slots] == 0)
            self._send_at_once(slots[plain])
            for slot in slots[~plain].tolist():
                connection = self._connection_of(self._live.at(slot).id)
                if connection is not None:
                    self._send(connection)

    def durable(self, connection: Connection) -> None:
        """Pings of the connection's driver became durable: send an ack that has waited for them."""
        if connection.ack_late:
            self.send(connection)

    def send(self, connection: Connection) -> None:
        """Acknowledge as far as it is safe, now."""
        self._live.rows["owed"][connection.driver.slot] = 0
        self._send(connection)

    def _send_at_once(self, slots: IntArray) -> None:
        """To sockets that the lane reads, with nothing before it that waits to be written."""
        short = np.zeros(len(slots), dtype=np.int64)
        self._traffic.bytes_out += int(send_acks(slots, self._live.rows, self._out, short)) - 2 * len(slots)
        self._traffic.frames_out += len(slots)
        for at in np.flatnonzero(short).tolist():
            driver = self._live.at(int(slots[at]))
            connection = self._connection_of(driver.id)
            if connection is not None:
                frame = self._out[: write_ack(self._out, driver.seq, connection.binary)].tobytes()
                connection.transport.underlying_transport.write(frame[-int(short[at]) :])
                connection.written()

    def _send(self, connection: Connection) -> None:
        driver = connection.driver
        connection.ack_late = driver.undurable > 0
        seq = driver.safe_seq
        if seq > connection.acked_seq or not connection.ack_late:
            connection.acked_seq = seq
            connection.send(Ack(seq))
