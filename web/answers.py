"""What callers get, as OpenAPI shows it. Fields are promised; rooms may add more, which pass through."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RequestStatus = Literal["searching", "offered", "assigned", "no_driver", "cancelled", "expired"]
TripStatus = Literal["assigned", "arrived", "riding", "completed", "cancelled"]


class Answer(BaseModel):
    """Base of every answer: what a room adds is kept."""

    model_config = ConfigDict(extra="allow")


class Place(BaseModel):
    """A place in WGS84 degrees."""

    lat: float
    lng: float


class MoneyAnswer(BaseModel):
    """An amount in minor units (cents, öre) of an ISO 4217 currency."""

    amount_minor: int
    currency: str


class TokenAnswer(BaseModel):
    """A bearer token and whose it is."""

    access_token: str
    token_type: Literal["bearer"]
    expires_in: int = Field(description="seconds")
    scope: Literal["rider", "driver"]
    id: str


class CodeSent(BaseModel):
    """A code is on its way, if the number is one of ours."""

    expires_in: int = Field(description="seconds")


class TicketAnswer(BaseModel):
    """Good once, as ?ticket= of a socket's URL."""

    ticket: str
    expires_in: int = Field(description="seconds")
    scope: Literal["rider", "driver", "ops", "view"]


class RiderAnswer(Answer):
    """A rider."""

    rider_id: str
    name: str
    phone: str
    email: str | None = None
    rider_class: Literal["standard", "premium"] = Field(alias="class")


class VehicleAnswer(Answer):
    """A cab."""

    plate: str
    vehicle_class: str = Field(alias="class")
    seats: int


class DriverAnswer(Answer):
    """A driver."""

    driver_id: str
    name: str
    phone: str
    vehicle: VehicleAnswer
    status: Literal["pending", "approved", "suspended"]
    rating: float | None = None


class CabAnswer(Answer):
    """A cab nearby: road travel time to the asked place, and how old its position is."""

    driver_id: str
    lat: float
    lng: float
    heading: float | None
    eta_s: float | None
    age_s: float


class CabList(BaseModel):
    """Cabs nearby, nearest first."""

    items: list[CabAnswer]


class QuoteAnswer(Answer):
    """A promised price."""

    quote_id: str
    distance_m: float
    duration_s: float
    pickup_eta_s: float | None
    fare: MoneyAnswer
    surge: float
    expires_at: str


class RideRequestAnswer(Answer):
    """A ride request."""

    request_id: str
    rider_id: str
    status: RequestStatus
    trip_id: str | None
    pickup: Place
    dropoff: Place
    vehicle_class: str | None = Field(None, description="that was asked for; None: any")
    seats: int | None = Field(None, description="that were asked for, at least; None: any number")


class TripEvent(Answer):
    """One step of a trip."""

    type: str
    at: str


class TripAnswer(Answer):
    """A trip; `start_code` is shown to its rider alone."""

    trip_id: str
    request_id: str
    rider_id: str
    driver_id: str
    status: TripStatus
    start_code: str | None = None
    driver: dict[str, Any] | None
    vehicle: dict[str, Any] | None
    fare: MoneyAnswer | None
    events: list[TripEvent]


class TripList(BaseModel):
    """Trips, newest first."""

    items: list[TripAnswer]
    next_cursor: str | None


class TrackPoint(Answer):
    """One stored position."""

    at: str
    lat: float
    lng: float


class TrackAnswer(Answer):
    """The stored positions of a driver; `removed_before` is where retention has taken away what was not on a trip."""

    driver_id: str
    items: list[TrackPoint]
    removed_before: str | None


class Limits(BaseModel):
    """What clients meet, in seconds, metres per second and bytes."""

    ping_interval_s: float
    min_ping_gap_s: float
    driver_stale_s: float
    max_ping_future_s: float
    max_ping_speed_mps: float
    max_buffered_pings: int
    max_frame_bytes: int
    max_body_bytes: int
    offer_s: float
    request_s: float
    quote_s: float
    ticket_s: float


class HostAnswer(BaseModel):
    """A place where the service is reached."""

    name: str
    api_url: str
    gateway_url: str
    distance_m: float | None = Field(description="from the place that was asked about")


class ConfigAnswer(BaseModel):
    """What an app needs before it signs in."""

    city: str
    centre: Place
    bounds: list[float] = Field(description="south, west, north, east")
    gateway_url: str = Field(description="of the first of the hosts")
    hosts: list[HostAnswer] = Field(description="those that answer, the nearest first")
    currency: str
    open_console: bool
    engine_time: str
    limits: Limits


class Health(BaseModel):
    """The process lives."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """Every store answers, or which one does not."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, str]
