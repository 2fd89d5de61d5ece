"""The compiled reading of pings: the same as msgspec's, or none at all."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from location.gateway.acking import MAX_ACK, write_ack
from location.gateway.reading import MAX_PAYLOAD, read_json, read_msgpack
from location.messages import CODECS, JSON, MSGPACK, Ack, BadMessage, Codec, Ping

FLOATS = "lat", "lng", "heading", "speed", "accuracy"
COMMON = {"type": "ping", "seq": 7, "ts": 1_790_000_000_123, "lat": 57.708870, "lng": 11.974560, "heading": 90}


def read(codec: Codec, payload: bytes) -> Ping | None:
    """The ping that the compiled reader finds; None where it leaves the message to others."""
    buf = np.zeros(MAX_PAYLOAD + 16, dtype=np.uint8)
    buf[: len(payload)] = np.frombuffer(payload, dtype=np.uint8)
    ints, floats, word = np.zeros(2, dtype=np.int64), np.zeros(7), np.zeros(1, dtype=np.uint64)
    if codec is JSON:
        done = read_json(buf, len(payload), ints, floats)
    else:
        done = read_msgpack(buf, len(payload), ints, floats, word, word.view(np.float64))
    if not done:
        return None
    lat, lng, *rest = floats[2:].tolist()
    heading, speed, accuracy = (None if math.isnan(each) else each for each in rest)
    return Ping(int(ints[0]), int(ints[1]), lat, lng, heading, speed, accuracy)


def agrees(codec: Codec, payload: bytes) -> bool:
    """Whether the reader took the message; what it took must be what msgspec makes of it."""
    found = read(codec, payload)
    if found is not None:
        assert codec.decode(payload) == found
    return found is not None


numbers = st.one_of(
    st.floats(-200, 2_000),
    st.integers(-3, 2**54),
    st.floats(allow_nan=False),
    st.just(-0.0),
    st.none(),
    st.text(max_size=3),
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["ping", "pings", "pin", 5]),
        **dict.fromkeys(("seq", "ts"), st.one_of(st.integers(0, 2**53 + 2), numbers)),
        **dict.fromkeys(FLOATS, st.one_of(st.floats(-180, 180), numbers)),
        "other": numbers,
    },
)


@settings(deadline=None)  # the first example may compile
@given(fields, st.booleans())
def test_what_is_read_is_what_msgspec_reads(message: dict[str, Any], spaced: bool) -> None:
    agrees(JSON, json.dumps({**COMMON, **message}, indent=1 if spaced else None).encode())
    agrees(JSON, json.dumps(message).encode())
    agrees(MSGPACK, msgspec.msgpack.encode({**COMMON, **message}))
    agrees(MSGPACK, msgspec.msgpack.encode(message))


@settings(deadline=None)  # the first example may compile
@given(st.floats(-90, 90), st.floats(-180, 180), st.one_of(st.none(), st.floats(0.001, 360)))
@example(57.70887000000001, 11.974560000000002, 1.1)
def test_a_phones_full_digits_are_read_exactly(lat: float, lng: float, heading: float | None) -> None:
    message = {**COMMON, "lat": lat, "lng": lng, "heading": heading}
    agrees(JSON, json.dumps(message).encode())
    assert agrees(MSGPACK, msgspec.msgpack.encode(message))


@settings(deadline=None)  # the first example may compile
@given(st.integers(0, 10**18 - 1), st.integers(1, 17))
def test_digits_with_a_point_become_the_nearest_number(digits: int, behind: int) -> None:
    text = f"{digits:0{behind + 1}d}"
    number = f"{text[:-behind]}.{text[-behind:]}"
    payload = f'{{"type":"ping","seq":1,"ts":1,"lat":1,"lng":1,"accuracy":{number}}}'.encode()
    if float(number) <= 1e7:
        agrees(JSON, payload)


def test_the_commonest_pings_are_read() -> None:
    ping = COMMON | {"speed": 8.3, "accuracy": 5}
    for text in (json.dumps(ping), json.dumps(ping, separators=(",", ":")), json.dumps(ping, indent=2)):
        assert read(JSON, text.encode()) is not None
    assert read(JSON, b'{"type":"ping","seq":1,"ts":2,"lat":57.70887000000001,"lng":-11.974560000000002}') is not None
    assert read(MSGPACK, msgspec.msgpack.encode(ping)) is not None


@settings(deadline=None)  # the first example may compile
@given(st.binary(max_size=60), st.integers(0, 200), st.sampled_from([JSON, MSGPACK]))
def test_broken_messages_are_left_to_others(junk: bytes, at: int, codec: Codec) -> None:
    whole = codec.encode(COMMON)
    at %= len(whole) + 1
    for payload in (
        junk,
        whole[:at],
        whole[:at] + junk,
        whole[:at] + junk + whole[at:],
        whole[:at] + junk[:1] + whole[at + 1 :],
    ):
        try:
            agrees(codec, payload)
        except BadMessage as bad:
            raise AssertionError(payload) from bad


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@settings(deadline=None)  # the first example may compile
@given(seq=st.integers(0, 2**53))
@example(seq=0)
@example(seq=128)
def test_acks_are_written_as_the_codecs_write_them(codec: Codec, seq: int) -> None:
    out = np.zeros(MAX_ACK, dtype=np.uint8)
    size = write_ack(out, seq, codec.binary)
    payload = codec.encode(Ack(seq))
    assert out[:size].tobytes() == bytes([0x82 if codec.binary else 0x81, len(payload)]) + payload
