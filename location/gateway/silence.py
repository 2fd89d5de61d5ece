"""Silent connections: probed, and at last closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from location.gateway.codes import POLICY
from location.gateway.connection import Connection
from location.live import LiveDrivers


class Silence:
    """Knows who was heard since the last look; `limit_s` of wall time without any frame is too long."""

    def __init__(self, live: LiveDrivers, connections: Iterable[Connection], limit_s: float) -> None:
        self._live = live
        self._connections = connections
        self._limit_s = limit_s

    async def look(self) -> None:
        """Probe who was silent for a third of the limit, close who was for all of it."""
        wall, limit = asyncio.get_running_loop().time(), self._limit_s
        heard = self._live.rows["heard"].tolist()
        self._live.rows["heard"] = 0
        for connection in self._connections:
            if connection.heard or heard[connection.driver.slot]:
                connection.heard, connection.pinged, connection.heard_at = False, False, wall
            elif wall - connection.heard_at > limit:
                connection.close(POLICY, "silent for too long")
            elif wall - connection.heard_at > limit / 3 and not connection.pinged and not connection.closing:
                connection.probe()
