"""The commonest message of all, a ping in one frame, read at C speed; compiled, and free of Python objects.

Whatever looks different in the least, or wrong, is not read here but left to the WebSocket library and msgspec, which
say what is wrong with it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from maps.kernels import compiled

# the system's own calls, found by name when the code is linked
_recv = types.ExternalFunction("recv", types.intp(types.intc, types.uintp, types.uintp, types.intc))
_epoll_wait = types.ExternalFunction("epoll_wait", types.intc(types.intc, types.uintp, types.intc, types.intc))

READ_BYTES = 16_384
MAX_PAYLOAD = 1_024  # longer messages are no common pings
MAX_EVENTS = 1_024

# tallies of what was read
FRAMES, BYTES, READY, PINGS, OWED, LEFT, LEFT_BYTES = range(7)

ENDED, AGAIN = -1, -2

_MAX_INTEGER = 2**53
_DIGITS = 18
_POWERS = np.array([10.0**each for each in range(23)])
_SEQ, _TS, _LAT, _LNG, _HEADING, _SPEED, _ACCURACY, _TYPE = range(8)
_NEEDED = 1 << _SEQ | 1 << _TS | 1 << _LAT | 1 << _LNG | 1 << _TYPE
_LOWEST = np.array([0.0, 0.0, -90.0, -180.0, 0.0, 0.0, 0.0])
_HIGHEST = np.array([0.0, 0.0, 90.0, 180.0, 360.0, 1_000.0, 1e7])
_NOT = -1


@compiled
def _quotient(digits, power):  # type: ignore[no-untyped-def]
    """digits / power, rounded once, for digits below 10**18 and a power up to 10**22; NaN in the rare doubtful case."""
    high = float(digits)
    if digits <= _MAX_INTEGER:
        return high / power
    low = float(digits - int(high))
    whole = high / power
    # the product of whole and power is exactly product + error
    a, b = 134_217_729.0 * whole, 134_217_729.0 * power
    whole_high, power_high = a - (a - whole), b - (b - power)
    whole_low, power_low = whole - whole_high, power - power_high
    product = whole * power
    error = whole_low * power_low - (
        ((product - whole_high * power_high) - whole_low * power_high) - whole_high * power_low
    )
    rest = (((high - product) - error) + low) / power
    nearest = whole + rest
    off = abs((whole - nearest) + rest)
    half = math.ldexp(1.0, math.frexp(nearest)[1] - 54)
    return nearest if abs(off - half) > half * 1e-6 else math.nan


@compiled
def _field(buf, at, length):  # type: ignore[no-untyped-def]
    """Which field the name of this length at this place is; _NOT where unknown."""
    a, b, c = buf[at], buf[at + 1], buf[at + 2]
    if length == 3:
        if a == 115 and b == 101 and c == 113:
            return _SEQ
        if a == 108 and b == 97 and c == 116:
            return _LAT
        if a == 108 and b == 110 and c == 103:
            return _LNG
    elif length == 2:
        if a == 116 and b == 115:
            return _TS
    elif length == 4:
        if a == 116 and b == 121 and c == 112 and buf[at + 3] == 101:
            return _TYPE
    elif length == 5:
        if a == 115 and b == 112 and c == 101 and buf[at + 3] == 101 and buf[at + 4] == 100:
            return _SPEED
    elif length == 7:
        if a == 104 and b == 101 and c == 97 and buf[at + 3] == 100 and buf[at + 4] == 105 and buf[at + 5] == 110:
            return _HEADING if buf[at + 6] == 103 else _NOT
    elif length == 8 and a == 97 and b == 99 and c == 99 and buf[at + 3] == 117 and buf[at + 4] == 114:
        return _ACCURACY if buf[at + 5] == 97 and buf[at + 6] == 99 and buf[at + 7] == 121 else _NOT
    return _NOT


@compiled
def _space(buf, at, end):  # type: ignore[no-untyped-def]
    while at < end and (buf[at] == 32 or buf[at] == 10 or buf[at] == 13 or buf[at] == 9):
        at += 1
    return at


@compiled
def read_json(buf, end, ints, floats):  # type: ignore[no-untyped-def]
    """Read a ping of JSON from buf[:end] (with room behind it) into ints (2,) and floats (7,); False: not a plain one.

    ints are seq and ts; floats are by number of the field, NaN where unknown.
    """
    floats[:] = math.nan
    found = 0
    at = _space(buf, 0, end)
    if at >= end or buf[at] != 123:
        return False
    while True:
        at = _space(buf, at + 1, end)
        if at >= end or buf[at] != 34:
            return False
        start = at + 1
        at = start
        while at < end and buf[at] != 34:
            at += 1
        field = _field(buf, start, at - start)
        at = _space(buf, at + 1, end)
        if field == _NOT or found >> field & 1 or at >= end or buf[at] != 58:
            return False
        found |= 1 << field
        at = _space(buf, at + 1, end)
        if field == _TYPE:
            if not (at + 6 <= end and buf[at] == 34 and buf[at + 1] == 112 and buf[at + 2] == 105):
                return False
            if not (buf[at + 3] == 110 and buf[at + 4] == 103 and buf[at + 5] == 34):
                return False
            at += 6
        elif at < end and buf[at] == 110:
            if field < _HEADING or not (at + 4 <= end and buf[at + 1] == 117 and buf[at + 2] == 108):
                return False
            if buf[at + 3] != 108:
                return False
            at += 4
        else:
            negative = at < end and buf[at] == 45
            if negative:
                at += 1
            start = at
            digits = 0
            while at < end and 48 <= buf[at] <= 57:
                digits = digits * 10 + (buf[at] - 48)
                at += 1
            count, fraction = at - start, 0
            if count == 0 or count > _DIGITS or (count > 1 and buf[start] == 48):
                return False
            if at < end and buf[at] == 46:
                at += 1
                start = at
                while at < end and 48 <= buf[at] <= 57:
                    digits = digits * 10 + (buf[at] - 48)
                    at += 1
                fraction = at - start
                if fraction == 0 or count + fraction > _DIGITS or field <= _TS:
                    return False
            if field <= _TS:
                if negative or digits > _MAX_INTEGER:
                    return False
                ints[field] = digits
            else:
                value = _quotient(digits, _POWERS[fraction])
                if negative:
                    value = -value
                if not _LOWEST[field] <= value <= _HIGHEST[field]:
                    return False
                floats[field] = value
        at = _space(buf, at, end)
        if at >= end:
            return False
        if buf[at] == 125:
            return _space(buf, at + 1, end) == end and found & _NEEDED == _NEEDED
        if buf[at] != 44:
            return False


@compiled
def read_msgpack(buf, end, ints, floats, word, as_float):  # type: ignore[no-untyped-def]
    """The same for msgpack; `word` and `as_float` are one 8-byte cell as integer and as number."""
    floats[:] = math.nan
    if end < 1 or buf[0] >> 4 != 8:
        return False
    found, at = 0, 1
    for _ in range(buf[0] & 15):
        if at >= end or buf[at] >> 5 != 5:
            return False
        length = buf[at] & 31
        field = _field(buf, at + 1, length)
        at += 1 + length
        if field == _NOT or found >> field & 1 or at >= end:
            return False
        found |= 1 << field
        kind = buf[at]
        at += 1
        if field == _TYPE:
            if kind != 164 or buf[at] != 112 or buf[at + 1] != 105 or buf[at + 2] != 110 or buf[at + 3] != 103:
                return False
            at += 4
        elif kind == 192:
            if field < _HEADING:
                return False
        elif kind == 203 or kind <= 127 or 204 <= kind <= 207:
            size = 8 if kind == 203 else 0 if kind <= 127 else 1 << (kind - 204)
            value = np.uint64(kind) if kind <= 127 else np.uint64(0)
            for _ in range(size):
                value = value << np.uint64(8) | np.uint64(buf[at])
                at += 1
            if kind == 203:
                word[0] = value
                number = as_float[0]
            elif value > np.uint64(_MAX_INTEGER):
                return False
            else:
                number = float(value)
            if field <= _TS:
                if kind == 203:
                    return False
                ints[field] = np.int64(value)
            elif not _LOWEST[field] <= number <= _HIGHEST[field]:
                return False
            else:
                floats[field] = number
        else:
            return False
    return at == end and found & _NEEDED == _NEEDED


@compiled
def _take_frames(raw, got, slot, driver, pings, tallies, scratch, ints, floats, word, as_float):  # type: ignore[no-untyped-def]
    """Read the pings at the front of raw[:got]; returns how many bytes they took."""
    at = 0
    first = 0x82 if driver.binary else 0x81
    while at + 6 <= got and tallies[PINGS] < len(pings):
        if raw[at] != first or raw[at + 1] < 128 or driver.frames_left <= 0:
            break
        size, head = raw[at + 1] & 127, 6
        if size == 126:
            size, head = np.int64(raw[at + 2]) << 8 | raw[at + 3], 8
        if size > MAX_PAYLOAD or at + head + size > got:
            break
        a, b, c, d = raw[at + head - 4], raw[at + head - 3], raw[at + head - 2], raw[at + head - 1]
        start = at + head
        for n in range(0, size, 4):  # there is room behind both
            scratch[n] = raw[start + n] ^ a
            scratch[n + 1] = raw[start + n + 1] ^ b
            scratch[n + 2] = raw[start + n + 2] ^ c
            scratch[n + 3] = raw[start + n + 3] ^ d
        if driver.binary:
            if not read_msgpack(scratch, size, ints, floats, word, as_float):
                break
        elif not read_json(scratch, size, ints, floats):
            break
        ping = pings[tallies[PINGS]]
        ping.slot, ping.seq, ping.ts, ping.segment = slot, ints[0], ints[1], 0
        ping.lat, ping.lng, ping.heading = floats[_LAT], floats[_LNG], floats[_HEADING]
        ping.speed, ping.accuracy = floats[_SPEED], floats[_ACCURACY]
        tallies[PINGS] += 1
        tallies[FRAMES] += 1
        tallies[BYTES] += size
        driver.frames_left -= 1
        at = start + size
    return at


@compiled
def drain(poll, ready, slot_of, table, raw, work, ints, floats, word, as_float, pings, owed, left, spill, tallies):  # type: ignore[no-untyped-def]
    """Read once from every socket that has something, as far as there is room for what is read.

    `ready` is epoll's array as words (MAX_EVENTS, words an event); slot_of[fd] is whose a socket is. Pings go to
    `pings`, whoever is owed an ack for them to `owed`; bytes that are no plain pings to `spill`, with (fd, how many) in
    `left`: ENDED where there was nothing but the socket's end, AGAIN where there was no room to read. `tallies` says
    how many of each. Whoever is in `left` is to be waited for anew, as a socket is told of once when something comes.
    """
    tallies[READY:] = 0
    count = _epoll_wait(poll, ready.ctypes.data, MAX_EVENTS, 0)
    tallies[READY] = count
    for n in range(count):
        fd = np.int64(ready[n, ready.shape[1] - 2])  # the low word of the data, the last two
        if tallies[PINGS] >= len(pings) or tallies[LEFT_BYTES] + READ_BYTES > len(spill):
            left[tallies[LEFT], 0], left[tallies[LEFT], 1] = fd, AGAIN
            tallies[LEFT] += 1
            continue
        slot = slot_of[fd]
        driver = table[slot]
        got = _recv(fd, raw.ctypes.data, READ_BYTES, 0)
        driver.heard = 1
        took = 0
        if got > 0 and not driver.detour:
            pinged = tallies[PINGS]
            took = _take_frames(raw, got, slot, driver, pings, tallies, work, ints, floats, word, as_float)
            if tallies[PINGS] > pinged and not driver.owed:
                driver.owed = 1
                owed[tallies[OWED]] = slot
                tallies[OWED] += 1
        if took < got or got <= 0 or got == READ_BYTES:
            size = max(got, 0) - took
            left[tallies[LEFT], 0], left[tallies[LEFT], 1] = fd, size if got > 0 else ENDED
            spill[tallies[LEFT_BYTES] : tallies[LEFT_BYTES] + size] = raw[took : took + size]
            tallies[LEFT] += 1
            tallies[LEFT_BYTES] += size
            driver.detour = size > 0
