"""What the payments room needs from outside, in its own words."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from core.geo import LatLng
from payments.model import Quote, RoadLeg


class RoadTravel(Protocol):
    """The road network."""

    async def __call__(self, pickup: LatLng, dropoff: LatLng, /) -> RoadLeg:
        """The fastest way. Raises InvalidInput when a point is not on a road or no road leads there."""
        ...


class PickupEta(Protocol):
    """The nearest cab."""

    async def __call__(self, pickup: LatLng, /) -> float | None:
        """Seconds until the nearest free cab could be there; None when there is none."""
        ...


class SurgeFloor(Protocol):
    """The zones in which a pickup costs more."""

    def __call__(self, pickup: LatLng, /) -> float:
        """The least surge of a pickup at a place; 1.0 where there is none."""
        ...


class QuoteStore(Protocol):
    """Quotes, inside one transaction."""

    async def add(self, quote: Quote) -> None: ...

    async def purge(self, before: float) -> int:
        """Delete quotes that expired before this moment; how many."""
        ...


class QuoteReader(Protocol):
    """Quotes, for reading."""

    async def get(self, quote_id: str) -> Quote | None: ...


class UnitOfWork(Protocol):
    """One transaction."""

    @property
    def quotes(self) -> QuoteStore: ...


class Transactions(Protocol):
    """Begins a unit of work: commits when the block ends, rolls back when it raises."""

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]: ...
