"""The words that rider and driver exchange at the kerb: no message of the engine carries the start code to a driver."""

from __future__ import annotations

import asyncio


class StartCodes:
    """Riders tell their start code here, drivers ask for it."""

    def __init__(self) -> None:
        self._codes: dict[str, asyncio.Future[str]] = {}

    def tell(self, trip_id: str, code: str) -> None:
        """The rider is ready to say the code."""
        told = self._code(trip_id)
        if not told.done():
            told.set_result(code)

    async def ask(self, trip_id: str) -> str:
        """Wait until the rider says it; "" when the rider has gone."""
        return await asyncio.shield(self._code(trip_id))

    def forget(self, trip_id: str) -> None:
        """The trip is over."""
        told = self._codes.pop(trip_id, None)
        if told is not None and not told.done():
            told.set_result("")

    def _code(self, trip_id: str) -> asyncio.Future[str]:
        if trip_id not in self._codes:
            self._codes[trip_id] = asyncio.get_running_loop().create_future()
        return self._codes[trip_id]
