"""Engine time. Everything that waits or dates anything takes a Clock, so tests and the demo can turn it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Engine time: seconds since the Unix epoch, which may run faster than the wall."""

    def now(self) -> float:
        """Seconds since the epoch, UTC; never goes backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for so many engine seconds."""
        ...


def rfc3339(at: float) -> str:
    """Epoch seconds as RFC 3339 in UTC with milliseconds: 2026-01-31T08:00:00.000Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
