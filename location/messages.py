"""The driver WebSocket's messages: what a driver's app may say, what it hears, and both encodings of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, NoReturn

import msgspec
from msgspec import Meta

from core.errors import FieldError, InvalidInput

MAX_INTEGER = 2**53  # what every JSON reader holds exactly
MAX_BATCH = 1_000  # of `pings`; the settings may only lower it

Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Id = Annotated[str, Meta(min_length=1, max_length=64)]
Reason = Annotated[str, Meta(max_length=200)]


class Position(msgspec.Struct, frozen=True, gc=False):
    """One position report: `ts` in epoch milliseconds, degrees, `speed` in m/s, `accuracy` in metres."""

    seq: Count
    ts: Count
    lat: Latitude
    lng: Longitude
    heading: Annotated[float, Meta(ge=0, le=360)] | None = None
    speed: Annotated[float, Meta(ge=0, le=1_000)] | None = None
    accuracy: Annotated[float, Meta(ge=0, le=1e7)] | None = None


class Ping(Position, frozen=True, gc=False, tag_field="type", tag="ping"):
    """Where the driver is now."""


class _Said(msgspec.Struct, frozen=True, tag_field="type"):
    """Base of the other messages of a driver."""


class Pings(_Said, frozen=True, tag="pings"):
    """What was buffered while offline, oldest first."""

    items: Annotated[list[Position], Meta(max_length=MAX_BATCH)]


class Status(_Said, frozen=True, tag="status"):
    """The driver goes online (open to work) or offline."""

    online: bool


class Accept(_Said, frozen=True, tag="accept"):
    """Yes to an offer."""

    offer_id: Id


class Decline(_Said, frozen=True, tag="decline"):
    """No to an offer."""

    offer_id: Id
    reason: Reason | None = None


class Arrive(_Said, frozen=True, tag="arrive"):
    """At the pickup."""

    trip_id: Id


class Board(_Said, frozen=True, tag="board"):
    """The rider is on board and has told the start code."""

    trip_id: Id
    start_code: Annotated[str, Meta(min_length=1, max_length=16)]


class Complete(_Said, frozen=True, tag="complete"):
    """The rider was dropped off."""

    trip_id: Id


class Cancel(_Said, frozen=True, tag="cancel"):
    """The driver gives the trip up."""

    trip_id: Id
    reason: Reason = ""


Command = Status | Accept | Decline | Arrive | Board | Complete | Cancel
FromDriver = Ping | Pings | Command


class _Heard(msgspec.Struct, tag_field="type", omit_defaults=True):
    """Base of what a driver's app hears."""


class Welcome(_Heard, tag="welcome"):
    """The state after every (re)connection; the client goes on with `last_seq` + 1."""

    driver_id: str
    last_seq: int
    ping_interval_s: float
    trip: dict[str, Any] | None
    offers: list[dict[str, Any]]


class Ack(_Heard, tag="ack"):
    """Every ping up to `seq` is processed, and durable where it belongs to a trip."""

    seq: int


class Offer(_Heard, tag="offer"):
    """A ride request offered to this driver, with a deadline."""

    offer_id: str
    request_id: str
    expires_at: str
    pickup: dict[str, float]
    dropoff: dict[str, float]
    pickup_eta_s: float
    pickup_distance_m: float
    fare: dict[str, Any] | None
    mode: Literal["best", "broadcast", "batch"]
    why: str | dict[str, Any] | list[Any] | None


class OfferClosed(_Heard, tag="offer_closed"):
    """An offer that cannot be accepted any more."""

    offer_id: str
    reason: Literal["accepted_elsewhere", "expired", "cancelled"]


class Trip(_Heard, tag="trip"):
    """The driver's trip as GET /trips/{id} shows it."""

    trip_id: str
    request_id: str
    status: Literal["assigned", "arrived", "riding", "completed", "cancelled"]


class Queue(_Heard, tag="queue"):
    """The driver's place in an airport queue, the first is 1, and how many wait; both null once out of it."""

    zone_id: str
    position: int | None
    length: int | None


class Error(_Heard, tag="error"):
    """A message that could not be followed; `about` is its type and `seq` its ping where they are known."""

    code: str
    detail: str
    seq: int | None = None
    about: str | None = None


ToDriver = Welcome | Ack | Offer | OfferClosed | Trip | Queue | Error


class Codec(NamedTuple):
    """One encoding of the messages; `decode` raises InvalidInput that names the wrong field."""

    subprotocol: str
    binary: bool
    read: Callable[[bytes], FromDriver]  # raises msgspec's errors and RecursionError; `refusal` explains them
    encode: Callable[[Any], bytes]
    generic: Callable[[bytes], Any]

    def decode(self, payload: bytes) -> FromDriver:
        """A message from its bytes. Raises InvalidInput."""
        try:
            return self.read(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise_refusal(self, payload, error)


JSON = Codec(
    "hexcab.v1.json", False, msgspec.json.Decoder(FromDriver).decode, msgspec.json.Encoder().encode, json.loads
)
MSGPACK = Codec(
    "hexcab.v1.msgpack",
    True,
    msgspec.msgpack.Decoder(FromDriver).decode,
    msgspec.msgpack.Encoder().encode,
    msgspec.msgpack.Decoder().decode,
)
CODECS = {codec.subprotocol: codec for codec in (JSON, MSGPACK)}


class BadMessage(InvalidInput):
    """A driver's message that cannot be understood; `seq` is the ping's where it is known."""

    default_code = "bad_message"

    def __init__(self, detail: str, *, code: str, seq: int | None, field: str | None) -> None:
        super().__init__(detail, code=code, errors=(FieldError(field, detail),) if field else ())
        self.seq = seq


def raise_refusal(codec: Codec, payload: bytes, error: Exception) -> NoReturn:
    """Say what is wrong with a message that would not decode: its field and, for a ping, its seq. The slow path."""
    try:
        tree = codec.generic(payload)
    except (ValueError, RecursionError):  # UnicodeDecodeError and msgspec's errors are ValueErrors
        raise BadMessage(f"not a message: {_short(error)}", code="malformed", seq=None, field=None) from error
    if not isinstance(tree, dict) or not isinstance(tree.get("type"), str):
        raise BadMessage("a message is an object with a type", code="bad_message", seq=None, field="type") from error
    if not isinstance(error, msgspec.ValidationError):  # Python's reader takes NaN, which JSON does not know
        try:
            msgspec.convert(tree, FromDriver)
        except msgspec.ValidationError as found:
            error = found
    problem, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").lstrip(".") or None
    if field == "type":
        raise BadMessage(
            f"type {tree['type'][:40]!r} is not known", code="unknown_type", seq=None, field=field
        ) from error
    detail = f"{field}: {_short(problem)}" if field else _short(problem)
    raise BadMessage(detail, code="invalid_input", seq=_seq_of(tree, field), field=field) from error


def _short(problem: object) -> str:
    return str(problem)[:200]


def _seq_of(tree: dict[str, Any], field: str | None) -> int | None:
    items = tree.get("items")
    if field and field.startswith("items[") and isinstance(items, list):
        bad = items[int(field[len("items[") : field.index("]")])]
        tree = bad if isinstance(bad, dict) else {}
    seq = tree.get("seq")
    return seq if type(seq) is int and 0 <= seq <= MAX_INTEGER else None


def schemas() -> dict[str, Any]:
    """JSON Schema of the driver's messages: `driver_to_server`, `server_to_driver`, and their `$defs`."""
    sides = {"driver_to_server": FromDriver, "server_to_driver": ToDriver}
    found, definitions = msgspec.json.schema_components(list(sides.values()), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **dict(zip(sides, found, strict=True)),
        "$defs": definitions,
    }
