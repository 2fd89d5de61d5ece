"""Which drivers hang on this host, and on which connection: one per driver, the newest. And the roll of one host."""

from __future__ import annotations

from collections.abc import Iterator

from core.clock import Clock
from location.ports import RollListener


class HostPresence[Connection]:
    """Driver id -> connection. A new connection of a driver takes the place of the old one."""

    def __init__(self) -> None:
        self._connections: dict[str, Connection] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections.values()))

    def get(self, driver_id: str) -> Connection | None:
        """The driver's connection, or None."""
        return self._connections.get(driver_id)

    def arrive(self, driver_id: str, connection: Connection) -> Connection | None:
        """Note a connection; returns the one that it replaces."""
        replaced = self._connections.get(driver_id)
        self._connections[driver_id] = connection
        return replaced

    def leave(self, driver_id: str, connection: Connection) -> bool:
        """Forget a connection; False when another has taken its place already."""
        if self._connections.get(driver_id) is not connection:
            return False
        del self._connections[driver_id]
        return True


class OneHost:
    """The Roll where no other host is: epochs follow engine time, which never goes back, over restarts either."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._listener: RollListener

    def listen(self, listener: RollListener) -> None:
        """Tell this one."""
        self._listener = listener

    def join(self, driver_id: str) -> None:
        """Every connection is the newest one."""
        self._last = max(self._last + 1, int(self._clock.now() * 1e6))
        self._listener.owns(driver_id, self._last)

    async def known(self, driver_id: str) -> None:
        """Nobody else has to find the driver."""

    def leave(self, driver_id: str) -> None:
        """Who leaves is gone."""
        self._listener.gone(driver_id)
