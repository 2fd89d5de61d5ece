"""What a driver's app says is understood exactly, or refused with the wrong field named."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from location.messages import (
    JSON,
    MSGPACK,
    Accept,
    Ack,
    BadMessage,
    Board,
    Codec,
    Error,
    Ping,
    Pings,
    Position,
    Status,
    Welcome,
    schemas,
)

PING: dict[str, Any] = {"type": "ping", "seq": 17, "ts": 1_790_000_000_000, "lat": 57.7, "lng": 11.9}
SAID: list[dict[str, Any]] = [
    PING | {"heading": 90, "speed": 8.3, "accuracy": 5},
    {"type": "pings", "items": [PING, {"seq": 18, "ts": 1_790_000_005_000, "lat": 57, "lng": 11}]},
    {"type": "status", "online": True},
    {"type": "accept", "offer_id": "off_1"},
    {"type": "decline", "offer_id": "off_1", "reason": "far"},
    {"type": "decline", "offer_id": "off_1"},
    {"type": "arrive", "trip_id": "trip_1"},
    {"type": "board", "trip_id": "trip_1", "start_code": "1234"},
    {"type": "complete", "trip_id": "trip_1"},
    {"type": "cancel", "trip_id": "trip_1", "reason": "flat tyre"},
]
codecs = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])


def as_json(message: Any) -> bytes:
    return json.dumps(message).encode()  # writes NaN and Infinity as many a client's library does


def refused(codec: Codec, message: Any) -> BadMessage:
    payload = as_json(message) if codec is JSON else msgspec.msgpack.encode(message)
    with pytest.raises(BadMessage) as caught:
        codec.decode(payload)
    return caught.value


@codecs
def test_every_message_of_the_contract_is_read_in_both_encodings(codec: Codec) -> None:
    read = [codec.decode(codec.encode(message)) for message in SAID]
    assert read[0] == Ping(17, 1_790_000_000_000, 57.7, 11.9, 90, 8.3, 5)
    assert read[1] == Pings([Position(17, 1_790_000_000_000, 57.7, 11.9), Position(18, 1_790_000_005_000, 57, 11)])
    assert read[2:4] == [Status(True), Accept("off_1")]
    assert read[7] == Board("trip_1", "1234")


@codecs
@pytest.mark.parametrize("name", ["lat", "lng", "heading", "speed", "accuracy"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "57", 1e300, -1e300, [], {}])
def test_a_number_that_is_none_or_out_of_range_is_refused_with_its_field(codec: Codec, name: str, value: Any) -> None:
    error = refused(codec, PING | {name: value})
    assert error.code == "invalid_input"
    assert error.detail.startswith(f"{name}: ")
    assert (error.seq, error.errors[0].field) == (17, name)


@codecs
@pytest.mark.parametrize("name", ["seq", "ts"])
@pytest.mark.parametrize("value", [-1, 2**53 + 1, 1.5, True, None, "1", math.nan])
def test_seq_and_ts_must_be_whole_numbers(codec: Codec, name: str, value: Any) -> None:
    error = refused(codec, PING | {name: value})
    assert (error.code, error.errors[0].field) == ("invalid_input", name)


@codecs
def test_a_missing_field_is_named_and_unknown_fields_are_ignored(codec: Codec) -> None:
    error = refused(codec, {name: value for name, value in PING.items() if name != "lat"})
    assert "lat" in error.detail
    assert codec.decode(codec.encode(PING | {"battery": 0.4})) == Ping(17, PING["ts"], 57.7, 11.9)


@codecs
def test_a_bad_ping_in_a_batch_is_named_with_its_place_and_seq(codec: Codec) -> None:
    error = refused(codec, {"type": "pings", "items": [PING, PING | {"seq": 18, "lng": 181}]})
    assert error.errors[0].field == "items[1].lng"
    assert error.seq == 18


@codecs
def test_an_unknown_type_is_refused_by_name(codec: Codec) -> None:
    error = refused(codec, {"type": "teleport"})
    assert error.code == "unknown_type"
    assert "teleport" in error.detail


@codecs
@pytest.mark.parametrize("message", [[], None, 7, {}, {"type": 7}, {"seq": 1}])
def test_what_is_no_typed_object_is_refused(codec: Codec, message: Any) -> None:
    assert refused(codec, message).code == "bad_message"


@codecs
def test_too_deep_and_too_long_are_refused(codec: Codec) -> None:
    with pytest.raises(BadMessage):
        codec.decode(b'{"type":"ping","seq":1,"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}")
    assert refused(codec, {"type": "accept", "offer_id": "o" * 65}).errors[0].field == "offer_id"
    assert refused(codec, {"type": "pings", "items": [PING] * 1_001}).errors[0].field == "items"


@codecs
@given(noise=st.binary(max_size=300))
def test_noise_is_refused_as_a_bad_message_and_nothing_else(codec: Codec, noise: bytes) -> None:
    with contextlib.suppress(BadMessage):
        codec.decode(noise)


def test_what_is_not_known_is_left_out_of_what_drivers_hear() -> None:
    assert json.loads(JSON.encode(Error("x", "y"))) == {"type": "error", "code": "x", "detail": "y"}
    assert json.loads(JSON.encode(Ack(17))) == {"type": "ack", "seq": 17}
    welcome = json.loads(JSON.encode(Welcome("drv_1", 0, 5.0, None, [])))
    assert welcome == {
        "type": "welcome", "driver_id": "drv_1", "last_seq": 0, "ping_interval_s": 5.0, "trip": None, "offers": [],
    }  # fmt: skip


def test_the_schemas_accept_the_messages_and_refuse_others() -> None:
    published = schemas()
    definitions = {"$defs": published["$defs"]}
    said = jsonschema.Draft202012Validator(published["driver_to_server"] | definitions)
    heard = jsonschema.Draft202012Validator(published["server_to_driver"] | definitions)
    for message in SAID:
        said.validate(message)
    assert not said.is_valid(PING | {"lat": 91})
    assert not said.is_valid({"type": "teleport"})
    offer = {
        "type": "offer", "offer_id": "off_1", "request_id": "req_1", "expires_at": "2026-01-31T08:00:00.000Z",
        "pickup": {"lat": 57.7, "lng": 11.9}, "dropoff": {"lat": 57.7, "lng": 11.9}, "pickup_eta_s": 60.0,
        "pickup_distance_m": 500.0, "fare": {"amount_minor": 9500, "currency": "SEK"}, "mode": "best", "why": "nearest",
    }  # fmt: skip
    heard.validate(offer)
    heard.validate({"type": "offer_closed", "offer_id": "off_1", "reason": "expired"})
    heard.validate({"type": "trip", "trip_id": "t", "request_id": "r", "status": "riding", "fare": None})
    for struct in (Welcome("drv_1", 0, 5.0, None, []), Ack(3), Error("x", "y", seq=3)):
        heard.validate(json.loads(JSON.encode(struct)))
    assert not heard.is_valid({"type": "offer_closed", "offer_id": "off_1", "reason": "mood"})
