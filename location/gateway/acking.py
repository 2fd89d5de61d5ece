"""Acks to many drivers at once, written as the codecs write them; compiled."""

from __future__ import annotations

import socket

import numpy as np
from numba import types

from maps.kernels import compiled

_send = types.ExternalFunction("send", types.intp(types.intc, types.uintp, types.uintp, types.intc))
_FLAGS = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)
_DIGITS = 16

_JSON = np.frombuffer(b'\x81\x00{"type":"ack","seq":', dtype=np.uint8)
_MSGPACK = np.frombuffer(b"\x82\x00\x82\xa4type\xa3ack\xa3seq", dtype=np.uint8)
MAX_ACK = len(_JSON) + _DIGITS + 1


@compiled
def write_ack(out, seq, binary):  # type: ignore[no-untyped-def]
    """Write the frame of an ack to `out` (MAX_ACK,); returns how many bytes it has."""
    if binary:
        at = len(_MSGPACK)
        out[:at] = _MSGPACK
        size = 0 if seq < 128 else 1 if seq < 256 else 2 if seq < 65_536 else 4 if seq < 4_294_967_296 else 8
        if size == 0:
            out[at] = seq
        else:
            out[at] = 0xCC if size == 1 else 0xCD if size == 2 else 0xCE if size == 4 else 0xCF
            for n in range(size):
                out[at + 1 + n] = seq >> (8 * (size - 1 - n)) & 255
        at += 1 + size
    else:
        at = len(_JSON)
        out[:at] = _JSON
        digits, rest = 1, seq // 10
        while rest:
            digits += 1
            rest //= 10
        for n in range(digits):
            out[at + digits - 1 - n] = 48 + seq % 10
            seq //= 10
        at += digits
        out[at] = 125
        at += 1
    out[1] = at - 2
    return at


@compiled
def send_acks(slots, table, out, short):  # type: ignore[no-untyped-def]
    """Acknowledge the highest number of each slot (n,) on its socket, table["fd"].

    Fills `short` with the bytes that a socket did not take, of (n,) frames; returns how many bytes were sent in all.
    """
    total = 0
    for n in range(len(slots)):
        driver = table[slots[n]]
        size = write_ack(out, driver.seq, driver.binary)
        sent = max(_send(driver.fd, out.ctypes.data, size, _FLAGS), 0)
        short[n] = size - sent
        total += sent
    return total
