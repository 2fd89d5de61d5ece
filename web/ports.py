"""What the edge needs of the rooms. A `Body` is a JSON object as the outside contract and web/answers.py show it.

Every call may raise core.errors: NotFound for what does not exist, Unavailable when a store is away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from core.events import Mode, Party
from core.geo import FloatArray, LatLng
from runtime.answers import FirstAnswer, StoredAnswer
from runtime.auth import Identity

Body = dict[str, Any]
Role = Literal["rider", "driver"]
VehicleClass = Literal["standard", "premium"]

MAX_SEATS = 16  # that a rider can ask for


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `cursor` is what the page before answered as next_cursor."""

    limit: int
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Listed:
    """The items of a page, and where the next one begins (None at the end)."""

    items: Sequence[Body]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RideAsk:
    """A ride request as it was sent. With a `request_id` the same ask may come again and must give the same request.

    `answer` makes the answer that is kept for the ask's key, in the commit that stores the request.
    """

    rider_id: str
    pickup: LatLng
    dropoff: LatLng
    quote_id: str | None = None
    mode: Mode | None = None
    vehicle_class: VehicleClass | None = None
    seats: int | None = None
    request_id: str | None = None
    by_ops: bool = False
    answer: Callable[[Body], FirstAnswer] | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a driver was last seen; heading in degrees, age in engine seconds."""

    at: LatLng
    heading: float
    age_s: float


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    """Every driver in the supply, one row each: arrays of shape (n,). `status`: 1 idle, 2 to a pickup, 3 riding."""

    driver_ids: Sequence[str]
    lat: FloatArray
    lng: FloatArray
    heading: FloatArray
    status: npt.NDArray[np.uint8]


class Sessions(Protocol):
    """Signing in by a one-time code."""

    async def start(self, phone: str, role: Role) -> None:
        """Send a code; says nothing about whether the number is known. Raises TooMany."""
        ...

    async def verify(self, phone: str, code: str) -> Identity:
        """Who the code belongs to; it is used up. Raises Unauthorized, TooMany."""
        ...


class Accounts(Protocol):
    """Riders and drivers; a Body as RiderAnswer and DriverAnswer."""

    async def create_rider(self, rider: Body) -> Body: ...

    async def rider(self, rider_id: str) -> Body: ...

    async def change_rider(self, rider_id: str, changes: Body, by_ops: bool) -> Body:
        """Raises Forbidden for what operators alone may change."""
        ...

    async def create_driver(self, driver: Body, approved: bool) -> Body: ...

    async def driver(self, driver_id: str) -> Body: ...

    async def change_driver(self, driver_id: str, changes: Body, by_ops: bool) -> Body:
        """Raises Forbidden for what operators alone may change."""
        ...


class Quotes(Protocol):
    """Promised prices."""

    async def quote(self, rider_id: str, pickup: LatLng, dropoff: LatLng) -> Body:
        """A price for this ride, as QuoteAnswer. Raises InvalidInput (not_on_road, no_route)."""
        ...


class Rides(Protocol):
    """Ride requests; a Body as RideRequestAnswer."""

    async def request(self, ask: RideAsk) -> Body:
        """Make a ride request durable and start the search.

        Raises Conflict while the rider has one or is on a trip, and when another ask had the same request_id.
        """
        ...

    async def get(self, request_id: str) -> Body: ...

    async def explain(self, request_id: str) -> Body:
        """What the looks for it saw, as ExplainAnswer."""
        ...

    async def recent_of_rider(self, rider_id: str, within_s: float) -> Body | None:
        """The rider's latest request, if it is open or ended at most so many engine seconds ago."""
        ...

    async def cancel(self, request_id: str, by: Party) -> Body:
        """Cancel an open request; repeating is harmless. Raises Conflict once it has ended otherwise."""
        ...


class Trips(Protocol):
    """Trips, running and archived; a Body as TripAnswer (`start_code` for the rider alone)."""

    async def get(self, trip_id: str, by: Identity) -> Body: ...

    async def active_of_rider(self, rider_id: str) -> Body | None:
        """The rider's running trip, as the rider sees it."""
        ...

    async def cancel(self, trip_id: str, by: Identity, reason: str) -> Body:
        """Repeating is harmless. Raises Conflict wrong_status."""
        ...

    async def rate(self, trip_id: str, by: Identity, stars: int) -> Body:
        """The rated trip. Raises Conflict before completion, Forbidden for operators."""
        ...

    async def trail(self, trip_id: str) -> Body:
        """The route driven: a GeoJSON Feature (LineString) with `distance_m` among its properties."""
        ...

    async def of_rider(self, rider_id: str, page: Page) -> Listed: ...

    async def of_driver(self, driver_id: str, page: Page) -> Listed: ...


class Cabs(Protocol):
    """Drivers open to work, as riders see them."""

    async def near(self, at: LatLng, limit: int) -> Sequence[Body]:
        """The nearest cabs by road, as CabAnswer, nearest first."""
        ...

    async def position(self, driver_id: str) -> Position | None:
        """Where a driver was last seen; None when not in the supply."""
        ...


class Tracks(Protocol):
    """What is stored of a driver's positions."""

    async def track(self, driver_id: str, start: float, end: float) -> Body:
        """Positions with start <= time < end (epoch seconds), as TrackAnswer."""
        ...


class Fleet(Protocol):
    """The whole city at a glance, for operators."""

    async def snapshot(self) -> FleetSnapshot:
        """Every driver in the supply."""
        ...

    async def demand(self) -> Mapping[int, int]:
        """Open ride requests by segment; segments without any are left out."""
        ...

    def surge_at(self, place: LatLng) -> float:
        """The surge of a pickup at a place."""
        ...

    async def kpis(self, shown: FleetSnapshot) -> Body:
        """Figures as the KPI message shows them, beside this snapshot."""
        ...


class IdempotencyStore(Protocol):
    """First answers by key; see runtime.idempotency."""

    async def find(self, scope_key: str, body_hash: str) -> StoredAnswer | None: ...

    async def keep(self, first: FirstAnswer) -> None: ...


class Check(Protocol):
    """One readiness check; raises when its store does not answer."""

    async def __call__(self) -> None: ...
