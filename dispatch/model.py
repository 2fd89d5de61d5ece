"""What dispatch talks about: requests, offers, and the supply as it saw it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from core.events import Mode, RideRequested
from core.geo import FloatArray, IntArray, LatLng
from core.money import Money
from runtime.answers import FirstAnswer
from runtime.batch_settings import BatchSettings
from runtime.settings import DispatchSettings

RequestStatus = Literal["searching", "offered", "assigned", "no_driver", "cancelled", "expired"]
OfferStatus = Literal["open", "accepted", "declined", "expired", "accepted_elsewhere", "cancelled", "undelivered"]
RiderClass = Literal["standard", "premium"]
DriverIds = npt.NDArray[Any]  # opaque ids of one sortable kind: text in the engine, numbers in a simulation

OPEN_REQUEST: tuple[RequestStatus, ...] = ("searching", "offered")
NEVER_AGAIN = float("inf")

_BATCH = BatchSettings()

ONLINE = 1  # the flag bits of a supply row
BUSY = 2


class RequestRide(msgspec.Struct, frozen=True, kw_only=True):
    """A rider's ask. Whoever passes it has checked that the rider is who they say, and whether `by_ops` holds."""

    rider_id: str
    pickup: LatLng
    dropoff: LatLng
    rider_class: RiderClass = "standard"
    quote_id: str | None = None
    mode: Mode | None = None
    by_ops: bool = False
    vehicle_class: str | None = None
    seats: int | None = None
    request_id: str | None = None  # chosen by the caller, so that asking again gives the same request
    answer: Callable[[RideRequest], FirstAnswer] | None = None  # what to keep with the request, for its key


class RideRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A ride request; times are engine time in epoch seconds."""

    request_id: str
    rider_id: str
    pickup: LatLng
    dropoff: LatLng
    rider_class: RiderClass
    mode: Mode
    status: RequestStatus
    segment: str
    fare: Money
    created_at: float
    expires_at: float
    quote_id: str | None = None
    vehicle_class: str | None = None
    seats: int | None = None
    trip_id: str | None = None
    ended_at: float | None = None
    supply_seen: int = 0
    counts: str = "{}"  # what the last recorded decision saw, as compact JSON

    @property
    def is_open(self) -> bool:
        """Whether the search still goes on."""
        return self.status in OPEN_REQUEST

    def came_of(self, ask: RequestRide) -> bool:
        """Whether this is what the ask asks for. Where it leaves the mode open, the cab finder's choice stands."""
        asked = (ask.rider_id, ask.pickup, ask.dropoff, ask.quote_id, ask.vehicle_class, ask.seats)
        made = (self.rider_id, self.pickup, self.dropoff, self.quote_id, self.vehicle_class, self.seats)
        return asked == made and ask.mode in (None, self.mode)


@dataclass(frozen=True, slots=True)
class Booking:
    """A new request and what leaves or is kept with its commit."""

    request: RideRequest
    event: RideRequested
    answer: FirstAnswer | None = None  # to the ask, where it came with a key


class OpenSearch(NamedTuple):
    """An open request, as far as is needed to find out who serves it."""

    request_id: str
    segment: str
    status: RequestStatus


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One driver, one request, one deadline."""

    offer_id: str
    request_id: str
    driver_id: str
    mode: Mode
    status: OfferStatus
    made_at: float
    expires_at: float
    pickup_eta_s: float
    pickup_distance_m: float
    score: float
    why: str
    ended_at: float | None = None
    reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the driver may still accept; past the deadline it is open only until somebody notices."""
        return self.status == "open"


class Quoted(msgspec.Struct, frozen=True, kw_only=True):
    """A price promised to the rider for one trip."""

    pickup: LatLng
    dropoff: LatLng
    fare: Money


class NewTrip(msgspec.Struct, frozen=True, kw_only=True):
    """What the trips room needs to open a trip."""

    request_id: str
    offer_id: str
    rider_id: str
    driver_id: str
    pickup: LatLng
    dropoff: LatLng
    mode: Mode
    segment: str  # of the pickup
    quote_id: str | None
    fare: Money  # as shown in the offer
    pickup_eta_s: float
    assigned_at: float


class Accepted(msgspec.Struct, frozen=True):
    """The trip that a driver's accept led to."""

    request_id: str
    trip_id: str


@dataclass(frozen=True, slots=True)
class SupplyRows:
    """Drivers of some segments as the supply index knows them, one row each, all arrays of shape (n,)."""

    driver: DriverIds
    lat: FloatArray
    lng: FloatArray
    seen_at: FloatArray  # last ping, epoch seconds
    idle_since: FloatArray  # end of the last trip, or when the driver came online
    flags: IntArray  # bits ONLINE and BUSY
    vehicle_class: DriverIds  # text; empty where unknown
    seats: IntArray

    def __len__(self) -> int:
        return len(self.driver)

    def take(self, index: IntArray) -> SupplyRows:
        """The rows at these places, in this order."""
        return SupplyRows(*(getattr(self, name)[index] for name in SupplyRows.__slots__))

    @staticmethod
    def join(parts: Sequence[SupplyRows]) -> SupplyRows:
        """All rows of several answers, in order; none for none."""
        if not parts:
            no, none = np.zeros(0), np.zeros(0, dtype=np.int64)
            return SupplyRows(np.zeros(0, dtype="U1"), no, no, no, no, none, np.zeros(0, dtype="U1"), none)
        return SupplyRows(*(np.concatenate([getattr(part, name) for part in parts]) for name in SupplyRows.__slots__))


@dataclass(frozen=True, slots=True)
class PickupTravel:
    """Road travel from each driver to the pickup, arrays of shape (n,); inf where there is no way."""

    seconds: FloatArray
    metres: FloatArray

    def take(self, index: IntArray) -> PickupTravel:
        """The rows at these places, in this order."""
        return dataclasses.replace(self, seconds=self.seconds[index], metres=self.metres[index])


@dataclass(frozen=True, slots=True)
class ProfileRows:
    """What is known of each driver, arrays of shape (n,); nan where nothing is known."""

    rating: FloatArray  # 1..5
    acceptance: FloatArray  # share of the last answered offers that were accepted, 0..1

    def take(self, index: IntArray) -> ProfileRows:
        """The rows at these places, in this order."""
        return ProfileRows(*(getattr(self, name)[index] for name in ProfileRows.__slots__))


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request asks of the supply at one moment.

    `tried` holds the drivers who were asked before: one is asked again only when both `now` and the driver's last ping
    are past the time given (NEVER_AGAIN: not at all). `elsewhere` holds drivers with an open offer. `free` is how many
    drivers may be offered the request now; `taken` are those whom another search chose since the shortlist was made.
    `line` has the place of each driver who waits in line for pickups there, the first is 1.
    """

    now: float
    mode: Mode
    vehicle_class: str | None = None
    seats: int | None = None
    tried: Mapping[Any, float] = field(default_factory=dict)
    elsewhere: AbstractSet[Any] = frozenset()
    free: int = 1
    taken: AbstractSet[Any] = frozenset()
    line: Mapping[Any, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Weights:
    """What a feature is worth in seconds of pickup time."""

    seconds_per_idle_minute: float = 2.0
    idle_cap_min: float = 30.0
    seconds_per_rating_point: float = 20.0
    seconds_per_acceptance: float = 30.0
    unknown_rating: float = 4.7
    unknown_acceptance: float = 0.8


@dataclass(frozen=True, slots=True)
class Policy:
    """The city's rules of decision."""

    weights: Weights = Weights()
    fresh_s: float = 30.0
    max_pickup_eta_s: float = 1_200.0
    broadcast_drivers: int = 3
    wave_s: float = 6.0
    parallel_offers: int = 6
    enough_candidates: int = 16
    near_m: float = 1_000.0
    max_pickup_m: float = 15_000.0
    batch_standard: bool = False
    batch_above_open: int = 200
    left_s: float = 1_500.0  # what leaving a new request for the next window costs, in seconds of pickup time
    left_per_waited_s: float = 5.0

    @staticmethod
    def of(settings: DispatchSettings, fresh_s: float, batch: BatchSettings = _BATCH) -> Policy:
        """The rules as the settings have them; `fresh_s` is the location room's limit."""
        weights = Weights(
            seconds_per_idle_minute=settings.seconds_per_idle_minute,
            idle_cap_min=settings.idle_cap_min,
            seconds_per_rating_point=settings.seconds_per_rating_point,
            seconds_per_acceptance=settings.seconds_per_acceptance,
            unknown_rating=settings.unknown_rating,
            unknown_acceptance=settings.unknown_acceptance,
        )
        return Policy(
            weights,
            fresh_s,
            max_pickup_eta_s=settings.max_pickup_eta_s,
            broadcast_drivers=settings.broadcast_drivers,
            wave_s=settings.wave_s,
            parallel_offers=settings.parallel_offers,
            enough_candidates=settings.enough_candidates,
            near_m=settings.near_m,
            max_pickup_m=settings.max_pickup_m,
            batch_standard=batch.standard,
            batch_above_open=batch.above_open,
            left_s=batch.left_s,
            left_per_waited_s=batch.left_per_waited_s,
        )
