"""What the maps room needs from outside: where changes that operators make are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.geo import FloatArray, LatLng
from maps.matching import Traced
from maps.segmenttable import SegmentTable
from maps.trails import DrivenTrail
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


@dataclass(frozen=True, slots=True)
class StoredClosures:
    """Closures by id, as GeoJSON Features. `version` counts the commits."""

    version: int
    features: Mapping[str, dict[str, Any]]


class ClosureStore(Protocol):
    """Streets that operators have closed, for every process. Each call may raise Unavailable."""

    async def version(self) -> int:
        """The version that `load` would give."""
        ...

    async def load(self) -> StoredClosures:
        """All of them. It may have more than its version says, never less."""
        ...

    async def change(self, changes: Mapping[str, dict[str, Any] | None], at: float) -> int:
        """Commit closures, None for those that are over, and tell every process; returns the new version."""
        ...


class TrafficStore(Protocol):
    """Learned travel times of cities, for every process. Each call may raise Unavailable."""

    async def version(self, city: str) -> int:
        """How often times were published."""
        ...

    async def published(self, city: str) -> bytes | None:
        """The newest ones."""
        ...

    async def publish(self, city: str, body: bytes, at: float) -> int:
        """Make these the newest; returns their version."""
        ...

    async def learned(self, city: str) -> Mapping[str, bytes]:
        """What was learned, by parts."""
        ...

    async def keep(self, city: str, parts: Mapping[str, bytes], at: float) -> None:
        """Replace these parts of what was learned."""
        ...


@dataclass(frozen=True, slots=True)
class FinishedRide:
    """A ride that has ended: from where to where, how long it took, and when it ended."""

    pickup: LatLng
    dropoff: LatLng
    took_s: float
    ended_at: float


class Driving(Protocol):
    """What our cars have driven since the last question. It may raise Unavailable, and tells the same later then."""

    async def __call__(self, now: float, most: int, /) -> tuple[Sequence[DrivenTrail], Sequence[FinishedRide]]:
        """Trails of cars on trips, `most` at most, and the rides that have ended."""
        ...


class Tracer(Protocol):
    """Tells which edges a trail followed, None where it fits no road. It may raise Unavailable."""

    async def __call__(self, lat: FloatArray, lng: FloatArray, at_s: FloatArray, /) -> Traced | None: ...


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
