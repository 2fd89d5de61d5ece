"""What the edge needs of the maps room; as web/ports.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.geo import LatLng
from maps.segmenttable import SegmentTable
from web.ports import Body


@dataclass(frozen=True, slots=True)
class TravelTime:
    """One way along the roads; inf where there is none."""

    seconds: float
    metres: float


class CityMap(Protocol):
    """The city's roads."""

    @property
    def name(self) -> str: ...

    @property
    def centre(self) -> LatLng: ...

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """South, west, north, east in degrees."""
        ...

    async def eta(self, origin: LatLng, to: LatLng) -> TravelTime:
        """Raises InvalidInput (not_on_road)."""
        ...

    async def matrix(self, sources: Sequence[LatLng], targets: Sequence[LatLng]) -> Body:
        """Every way from n sources to m targets; a Body as MatrixAnswer."""
        ...

    async def route(self, origin: LatLng, to: LatLng, *, manoeuvres: bool) -> Body:
        """The way itself; a Body as RouteAnswer.

        Raises InvalidInput (not_on_road, no_route); with manoeuvres also no_tiles, and Unavailable.
        """
        ...

    async def isochrone(self, start: LatLng, minutes: float) -> Body:
        """What a car reaches in time; a Body as IsochroneAnswer.

        Raises InvalidInput (not_on_road, no_route, no_tiles), Unavailable.
        """
        ...

    def roads(self) -> Body:
        """All streets as GeoJSON: (Multi)LineStrings with the property `class`. Slow: called once, in a thread."""
        ...


class Roads(Protocol):
    """What is known of the roads; a Body as RoadConditions."""

    async def conditions(self, state: Literal["congested", "good", "poor"] | None) -> Body:
        """The streets in this state, or in any."""
        ...


class Drawn(Protocol):
    """What operators draw, zones or closures, as GeoJSON; a Body as ZoneCollection or ClosureCollection."""

    def shown(self) -> Body:
        """All of them."""
        ...

    async def put(self, geojson: Any) -> Body:
        """Add or replace some; returns those. Raises InvalidInput naming feature and reason, Conflict for too many."""
        ...

    async def remove(self, zone_id: str) -> None:
        """Take one out. Raises NotFound; Conflict for the area around the roads."""
        ...


class Segments(Protocol):
    """The managed segments. What changes them is told the new version on return, other processes a moment later."""

    @property
    def newest(self) -> SegmentTable:
        """The newest table."""
        ...

    def neighbours(self, segment: int) -> Sequence[int]:
        """The segments that share a border with a segment of the newest table."""
        ...

    async def split(self, segment: int) -> Sequence[int]:
        """Put its children, pinned, in its place; returns them. Raises NotFound, Conflict, TooMany."""
        ...

    async def merge(self, segment: int) -> Sequence[int]:
        """Put its parent, pinned, in the place of all that is within the parent. Raises NotFound, Conflict, TooMany."""
        ...

    async def pin(self, segment: int) -> Sequence[int]:
        """From now on only operators cut this segment. Raises NotFound, Conflict, TooMany."""
        ...

    async def unpin(self, segment: int) -> Sequence[int]:
        """From now on the load may cut this segment. Raises NotFound, Conflict, TooMany."""
        ...
