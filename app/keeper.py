"""The keeper of the embedded Redis."""

from __future__ import annotations

import logging

from runtime.valkey import LocalValkey

_log = logging.getLogger("hexcab.watch")


class RedisKeeper:
    """Starts the embedded Redis again when it has died; the watch over Redis finds out what it has lost."""

    def __init__(self, valkey: LocalValkey) -> None:
        self._valkey = valkey

    async def look(self) -> None:
        """Does nothing while the server runs. Raises Unavailable when it does not start."""
        if self._valkey.running:
            return
        _log.error("the embedded Redis has died and is started again")
        await self._valkey.start()
        _log.info("the embedded Redis runs again")
