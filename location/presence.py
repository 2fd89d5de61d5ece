"""Which drivers hang on this host, and on which connection: one per driver, the newest."""

from __future__ import annotations

from collections.abc import Iterator


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
