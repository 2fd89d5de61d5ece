"""What the maps room needs from outside: where changes that operators make are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from maps.segmenttable import SegmentTable
from maps.zones import Zone


@dataclass(frozen=True, slots=True)
class ZoneChanges:
    """What operators have changed: zones by id, None for one that was removed. `version` counts the commits."""

    version: int
    zones: Mapping[str, Zone | None]


class ZoneStore(Protocol):
    """Changes of zones, for every process. Each call may raise Unavailable."""

    async def version(self) -> int:
        """The version that `load` would give."""
        ...

    async def load(self) -> ZoneChanges:
        """Everything that was changed and not changed back. It may have more than its version says, never less."""
        ...

    async def save(self, changes: Mapping[str, Zone | None], at: float) -> int:
        """Commit changes and tell every process; returns the new version. Writers take turns."""
        ...


class SegmentStore(Protocol):
    """The tables of segments that stand, for every process. Each call may raise Unavailable."""

    async def version(self) -> int:
        """The version of the newest table; 1 where nobody has ever changed it."""
        ...

    async def load(self) -> Sequence[SegmentTable]:
        """The tables that stand, the newest first."""
        ...

    async def save(self, table: SegmentTable, at: float) -> None:
        """Commit the next version at this real time, tell every process, and forget tables that have retired.

        Raises Conflict segments_changed when the version before is not the newest any more, TooMany when too many
        tables stand.
        """
        ...
