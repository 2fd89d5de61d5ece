"""What callers send, checked: types are strict, numbers finite and in range, unknown fields refused."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from core.errors import FieldError, InvalidInput
from core.events import Mode
from core.geo import LatLng
from web.edge import edge_of
from web.ports import MAX_SEATS, Page, VehicleClass

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Phone = Annotated[str, StringConstraints(pattern=r"^\+?[0-9][0-9 ()\-]{3,30}$"), Field(examples=["+46701234567"])]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]{1,64}@[^@\s]{1,190}$"), Field(examples=["ada@example.org"])]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class Ask(BaseModel):
    """Base of every body: strict, closed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Point(Ask):
    """A place in WGS84 degrees."""

    lat: Annotated[float, Field(ge=-90, le=90)]
    lng: Annotated[float, Field(ge=-180, le=180)]

    def place(self) -> LatLng:
        """The same as the rooms write it."""
        return LatLng(self.lat, self.lng)


class MatrixAsk(Ask):
    """Places whose ways to each other are wanted."""

    sources: Annotated[list[Point], Field(min_length=1)]
    targets: Annotated[list[Point], Field(min_length=1)]


class SessionAsk(Ask):
    """Sign in: a one-time code goes to the phone."""

    phone: Phone
    role: Literal["rider", "driver"]


class VerifyAsk(Ask):
    """The code that came to the phone."""

    phone: Phone
    code: Annotated[str, StringConstraints(min_length=4, max_length=12)]


class NewRider(Ask):
    """A rider signs up."""

    name: Name
    phone: Phone
    email: Email | None = None


class RiderChange(Ask):
    """What to change; `class` by operators only. A phone is who someone is, and stays."""

    model_config = ConfigDict(serialize_by_alias=True)

    name: Name | None = None
    email: Email | None = None
    rider_class: Literal["standard", "premium"] | None = Field(default=None, alias="class")


class Vehicle(Ask):
    """A cab."""

    model_config = ConfigDict(serialize_by_alias=True)

    plate: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20)]
    vehicle_class: Annotated[
        str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$"), Field(alias="class", examples=["standard"])
    ] = "standard"
    seats: Annotated[int, Field(ge=1, le=60)] = 4


class NewDriver(Ask):
    """A driver signs up; created by operators they are approved at once."""

    name: Name
    phone: Phone
    vehicle: Vehicle


class DriverChange(Ask):
    """What to change; the status and the car by operators only."""

    name: Name | None = None
    vehicle: Vehicle | None = None
    status: Literal["pending", "approved", "suspended"] | None = None


class QuoteAsk(Ask):
    """Where from, where to; operators name the rider the quote is for."""

    pickup: Point
    dropoff: Point
    rider_id: Id | None = None


class RideRequestAsk(Ask):
    """A ride for a rider; `mode` from operators only. Cabs of another class or with fewer seats do not come."""

    rider_id: Id
    pickup: Point
    dropoff: Point
    quote_id: Id | None = None
    mode: Mode | None = None
    vehicle_class: VehicleClass | None = None
    seats: Annotated[int, Field(ge=1, le=MAX_SEATS)] | None = None


class CancelAsk(Ask):
    """Why, in the caller's words."""

    reason: Annotated[str, StringConstraints(max_length=200)] = ""


class RateAsk(Ask):
    """How it was, 1 to 5."""

    stars: Annotated[int, Field(ge=1, le=5)]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


Lat = Annotated[float, Query(ge=-90, le=90), AfterValidator(_finite)]
Lng = Annotated[float, Query(ge=-180, le=180), AfterValidator(_finite)]
Cursor = Annotated[str | None, Query(max_length=300)]
PageLimit = Annotated[int | None, Query(ge=1, description="items; the default and the largest are settings")]


async def page(request: Request, limit: PageLimit = None, cursor: Cursor = None) -> Page:
    """One page of a list, from the query. Raises InvalidInput for more than `history_page_max`."""
    trips = edge_of(request).settings.trips
    if limit is not None and limit > trips.history_page_max:
        raise _bad("limit", f"must be {trips.history_page_max} at most")
    return Page(trips.history_page if limit is None else limit, cursor)


def place_of(text: str, field: str) -> LatLng:
    """A place written as `lat,lng`. Raises InvalidInput that names the field."""
    lat, lng = _numbers(text, field, 2, "lat,lng")
    return LatLng.checked(lat, lng, field)


def box_of(text: str) -> tuple[float, float, float, float]:
    """A box written as `west,south,east,north`, as south, west, north, east. Raises InvalidInput."""
    west, south, east, north = _numbers(text, "bbox", 4, "west,south,east,north")
    low, high = LatLng.checked(south, west, "bbox"), LatLng.checked(north, east, "bbox")
    if low.lat >= high.lat or low.lng >= high.lng:
        raise _bad("bbox", "must be west,south,east,north with west < east and south < north")
    return low.lat, low.lng, high.lat, high.lng


def _numbers(text: str, field: str, count: int, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise _bad(field, f"must be {form}")
    return numbers


def _bad(field: str, detail: str) -> InvalidInput:
    return InvalidInput(f"{field} {detail}", errors=(FieldError(field, detail),))


def changes_of(ask: BaseModel) -> dict[str, Any]:
    """The fields that were sent. Raises InvalidInput when there are none."""
    changes = ask.model_dump(by_alias=True, exclude_unset=True)
    if not changes:
        raise InvalidInput("nothing to change was sent")
    return changes
