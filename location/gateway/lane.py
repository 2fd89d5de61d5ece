"""The fast lane: sockets whose drivers do nothing but send pings are read here, all that have something at once.

The WebSocket library makes the handshake, answers, and reads whatever is no plain ping: it is handed those bytes as if
they had come to it. Where the system has no epoll, or TLS ends here, it reads everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import select
from typing import Protocol

import numpy as np

from location.gateway import reading
from location.gateway.connection import Connection
from location.gateway.lending import feed, lend, take_back
from location.live import LiveDrivers
from location.table import PING, PingRows

_PINGS = 8_192  # of one turn
_SPILL_BYTES = 1 << 20
_TURNS = 8  # before the loop does something else
# epoll's events are packed on this processor alone: events, then the two words of the data
_EVENT_WORDS = 3 if platform.machine() in ("x86_64", "AMD64") else 4


class Judged(Protocol):
    """Who takes the pings of a turn."""

    def __call__(self, pings: PingRows, owed: np.ndarray, /) -> None:
        """Rows (n,) of PING in the order in which they came, and the slots (m,) whose ack is owed from now on."""
        ...


class Lane:
    """The sockets that are read here, by file descriptor. Make it inside the running event loop."""

    def __init__(self, live: LiveDrivers, take: Judged) -> None:
        self._live = live
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._members: dict[int, Connection] = {}
        self._slot_of = np.zeros(1_024, dtype=np.int64)
        self._ready = np.zeros((reading.MAX_EVENTS, _EVENT_WORDS), dtype=np.uint32)
        self._raw = np.zeros(reading.READ_BYTES + 16, dtype=np.uint8)
        self._work = np.zeros(reading.MAX_PAYLOAD + 16, dtype=np.uint8)
        self._ints = np.zeros(2, dtype=np.int64)
        self._floats = np.zeros(7)
        self._word = np.zeros(1, dtype=np.uint64)
        self._pings = np.zeros(_PINGS, dtype=PING)
        self._owed = np.zeros(reading.MAX_EVENTS, dtype=np.int64)
        self._left = np.zeros((reading.MAX_EVENTS, 2), dtype=np.int64)
        self._spill = np.zeros(_SPILL_BYTES, dtype=np.uint8)
        self._tallies = np.zeros(7, dtype=np.int64)
        self._poll = select.epoll() if hasattr(select, "epoll") else None

    @property
    def frames(self) -> int:
        """How many frames were read."""
        return int(self._tallies[reading.FRAMES])

    @property
    def bytes(self) -> int:
        """How many bytes their payloads had."""
        return int(self._tallies[reading.BYTES])

    def open(self) -> None:
        """Begin to read; the first time on a machine this compiles for some seconds."""
        if self._poll is not None:
            self._read()
            self._loop.add_reader(self._poll.fileno(), self._turn)

    def close(self) -> None:
        """Give every socket back and end."""
        for connection in list(self._members.values()):
            self.leave(connection)
        if self._poll is not None:
            self._loop.remove_reader(self._poll.fileno())
            self._poll.close()
            self._poll = None

    def join(self, connection: Connection) -> None:
        """The library holds nothing of this connection that is not read: read here from now on."""
        row = connection.driver.slot
        connection.driver.frames_left = connection.frames_left
        if connection.lane_fd >= 0:
            self._live.rows["detour"][row] = 0
            return
        if self._poll is None or (fd := lend(connection.transport)) < 0:
            return
        connection.lane_fd = fd
        connection.written()
        if fd >= len(self._slot_of):
            self._slot_of = np.concatenate([self._slot_of, np.zeros(fd + 1, dtype=np.int64)])
        self._slot_of[fd] = row
        self._members[fd] = connection
        rows = self._live.rows
        rows["detour"][row], rows["binary"][row], rows["fd"][row] = 0, connection.binary, fd
        self._poll.register(fd, select.EPOLLIN | select.EPOLLET)

    def leave(self, connection: Connection) -> None:
        """The library reads this connection again; does nothing for one that is not read here."""
        fd = connection.lane_fd
        if fd < 0:
            return
        del self._members[fd]
        self._live.rows["fd"][connection.driver.slot] = -1
        if self._poll is not None:
            with contextlib.suppress(OSError):  # closed already
                self._poll.unregister(fd)
        connection.lane_fd = -1
        take_back(connection.transport)

    def _turn(self) -> None:
        for _ in range(_TURNS):
            if self._read() < reading.MAX_EVENTS:
                return

    def _read(self) -> int:
        if self._poll is None:
            return 0
        tallies = self._tallies
        reading.drain(
            self._poll.fileno(), self._ready, self._slot_of, self._live.rows, self._raw, self._work, self._ints,
            self._floats, self._word, self._word.view(np.float64), self._pings, self._owed, self._left, self._spill,
            tallies,
        )  # fmt: skip
        _, _, ready, pings, owed, left, _ = tallies.tolist()
        if pings:
            self._take(self._pings[:pings], self._owed[:owed])
        start = 0
        for fd, size in self._left[:left].tolist():
            connection = self._members.get(fd)
            if connection is None:
                pass  # closed by what others sent in this turn
            elif size == reading.ENDED:
                self.leave(connection)  # the library finds out how
            else:
                self._poll.modify(fd, select.EPOLLIN | select.EPOLLET)  # tells of what has come meanwhile, too
                feed(connection.transport, self._spill[start : start + max(size, 0)].tobytes())
            start += max(size, 0)
        return int(ready)
