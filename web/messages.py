"""The rider's and the operator's WebSocket messages, and the schema of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from core.errors import FieldError, InvalidInput
from core.events import Mode
from core.geo import LatLng
from web.frames import LAYOUT
from web.ports import MAX_SEATS, Body, VehicleClass

Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Id = Annotated[str, Meta(min_length=1, max_length=128)]


class Point(msgspec.Struct, frozen=True):
    """A place in WGS84 degrees."""

    lat: Latitude
    lng: Longitude

    def place(self) -> LatLng:
        """The same as the rooms write it."""
        return LatLng(self.lat, self.lng)


class _Said(msgspec.Struct, frozen=True, tag_field="type"):
    """Base of a rider's messages."""


class Watch(_Said, frozen=True, tag="watch"):
    """Show me the cabs around this place."""

    lat: Latitude
    lng: Longitude


class Book(_Said, frozen=True, tag="book"):
    """As POST /ride-requests; with an `idempotency_key` it may be sent again."""

    pickup: Point
    dropoff: Point
    rider_id: Id | None = None
    quote_id: Id | None = None
    mode: Mode | None = None
    vehicle_class: VehicleClass | None = None
    seats: Annotated[int, Meta(ge=1, le=MAX_SEATS)] | None = None
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class Cancel(_Said, frozen=True, tag="cancel"):
    """Call my ride request off."""

    request_id: Id


FromRider = Watch | Book | Cancel


class _Heard(msgspec.Struct, tag_field="type", kw_only=True):
    """Base of what riders and operators hear; more fields may come with any message."""


class Welcome(_Heard, tag="welcome"):
    """The state after every (re)connection. `request` is the latest: open, on its trip, or ended without one lately."""

    rider_id: str
    request: dict[str, Any] | None
    trip: dict[str, Any] | None


class Cab(msgspec.Struct):
    """A cab nearby."""

    driver_id: str
    lat: Latitude
    lng: Longitude
    heading: float | None
    eta_s: float | None
    age_s: float


class Cabs(_Heard, tag="cabs"):
    """The cabs around the watched place, nearest by road first."""

    items: list[Cab]


class Request(_Heard, tag="request"):
    """A ride request has changed; fields as GET /ride-requests/{id}."""

    request_id: str
    rider_id: str
    status: Literal["searching", "offered", "assigned", "no_driver", "cancelled", "expired"]
    trip_id: str | None


class DriverPosition(msgspec.Struct):
    """Where the driver was last seen, heading in degrees."""

    lat: Latitude
    lng: Longitude
    heading: float
    age_s: float


class Trip(_Heard, tag="trip"):
    """The rider's trip; fields as GET /trips/{id}. `eta_s` is to the pickup, when riding to the dropoff."""

    trip_id: str
    request_id: str
    driver_id: str
    status: Literal["assigned", "arrived", "riding", "completed", "cancelled"]
    driver_position: DriverPosition | None = None
    eta_s: float | None = None


class PickupPoint(msgspec.Struct):
    """A place where riders are picked up."""

    lat: Latitude
    lng: Longitude
    name: str


class Error(_Heard, tag="error"):
    """A message that could not be followed; `about` is its type where that is known."""

    code: str
    detail: str
    about: str | None = None
    zone_id: str | None = None  # with no_pickup: the zone that the pickup lies in
    pickup_points: list[PickupPoint] | None = None  # with no_pickup: where to be picked up instead, nearest first


ToRider = Welcome | Cabs | Request | Trip | Error


class Field(msgspec.Struct):
    """One field of a row of the binary frame."""

    name: str
    type: Literal["uint16", "uint8"]
    offset: int


class Hello(_Heard, tag="hello"):
    """First on an operator's socket: how to read the binary frames."""

    city: str
    bounds: Annotated[list[float], Meta(min_length=4, max_length=4, description="south, west, north, east in degrees")]
    box: Annotated[
        list[float], Meta(min_length=4, max_length=4, description="west, south, east, north, EPSG:3857 metres")
    ]
    steps: Annotated[int, Meta(description="x and y run from 0 at the west and south edge of the box to this")]
    row_bytes: int
    layout: list[Field]
    statuses: Annotated[list[str], Meta(description="meaning of the status byte")]
    every_s: float


class Kpis(_Heard, tag="kpis"):
    """The city in figures, with every frame."""

    at: str
    drivers_online: int
    open_requests: int
    active_trips: int
    completed_trips: int
    pickup_wait_s: Annotated[float | None, Meta(description="mean from request to pickup of the recent trips")]


class Segments(_Heard, tag="segments"):
    """Drivers open to work and open ride requests by segment (H3 cell); segments without any are left out."""

    supply: dict[str, int]
    demand: dict[str, int]


ToOps = Hello | Kpis | Segments | Error


class Codec(NamedTuple):
    """One encoding of the messages."""

    subprotocol: str
    binary: bool
    read: Callable[[bytes], FromRider]
    encode: Callable[[Any], bytes]

    def decode(self, payload: bytes) -> FromRider:
        """A rider's message. Raises InvalidInput that names the wrong field."""
        try:
            return self.read(payload)
        except msgspec.ValidationError as error:
            problem, _, path = str(error).partition(" - at `$")
            field = path.rstrip("`").lstrip(".")
            if field == "type":
                raise InvalidInput("the type is not known", code="unknown_type") from error
            detail = f"{field}: {problem}"[:200] if field else problem[:200]
            errors = (FieldError(field, problem[:200]),) if field else ()
            raise InvalidInput(detail, errors=errors) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(f"not a message: {error}"[:200], code="malformed") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):  # a number straight from an array
        return value.item()
    raise NotImplementedError(f"a message cannot hold a {type(value).__name__}")


_json = msgspec.json.Encoder(enc_hook=_plain)
_msgpack = msgspec.msgpack.Encoder(enc_hook=_plain)
JSON = Codec("hexcab.v1.json", False, msgspec.json.Decoder(FromRider).decode, _json.encode)
MSGPACK = Codec("hexcab.v1.msgpack", True, msgspec.msgpack.Decoder(FromRider).decode, _msgpack.encode)
CODECS = {codec.subprotocol: codec for codec in (JSON, MSGPACK)}


def schemas() -> Body:
    """JSON Schema of the rider's and the operator's messages, each direction an anyOf over shared `$defs`."""
    sides = {"rider_to_server": FromRider, "server_to_rider": ToRider, "server_to_ops": ToOps}
    found, definitions = msgspec.json.schema_components(list(sides.values()), ref_template="#/$defs/{name}")
    return {**dict(zip(sides, found, strict=True)), "$defs": definitions}


def all_schemas(driver: Body) -> Body:
    """The document of /v1/messages.json: every socket's messages, and the layout of the operators' binary frame.

    Definitions of the drivers' messages get a prefix, since both sides have a Trip and an Error of their own.
    """
    own = schemas()
    prefixed = _renamed({key: value for key, value in driver.items() if key not in ("$schema", "$defs")})
    definitions = {f"driver.{name}": _renamed(value) for name, value in driver.get("$defs", {}).items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "WebSocket messages of hexcab",
        **{key: value for key, value in own.items() if key != "$defs"},
        **prefixed,
        "ops_binary_frame": LAYOUT,
        "$defs": {**own["$defs"], **definitions},
    }


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner) for inner in value]
    if isinstance(value, str) and value.startswith("#/$defs/"):
        return "#/$defs/driver." + value.removeprefix("#/$defs/")
    return value
