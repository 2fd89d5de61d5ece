"""What every ping touches of a driver, as rows that compiled loops read and write. A row is a slot, given once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

SLOT = np.dtype(
    [
        ("seq", "i8"),  # highest number met, used or not
        ("ts", "i8"),  # of the last used ping, epoch milliseconds; NO_PING before the first
        ("lat", "f8"),
        ("lng", "f8"),
        ("heading", "f8"),
        ("speed", "f8"),
        ("seen_at", "f8"),  # engine time at which the driver was there
        ("segment", "i8"),
        ("told_at", "f8"),  # seen_at as the store was told it last
        ("told_segment", "i8"),  # where the store has the driver; 0 when nowhere, -1 unknown after it failed
        ("frames_left", "i4"),  # that the flood guard grants without a look at the time
        ("fd", "i4"),  # the socket, where the lane reads it; else -1
        ("undurable", "i4"),  # on-trip pings on their way to the durable log
        ("placed", "u1"),  # a ping was used since the driver connected, and it is not stale
        ("dirty", "u1"),  # the store does not know the present state yet
        ("on_trip", "u1"),
        ("watched", "u1"),  # every used ping is told to the airport queues
        ("told_skew", "u1"),
        ("asked", "u1"),  # an earlier ping of the batch waits to be looked at more closely
        ("heard", "u1"),
        ("owed", "u1"),  # an ack is on its way
        ("binary", "u1"),  # the connection speaks msgpack
        ("congested", "u1"),  # something waits to be written to the connection
        ("detour", "u1"),  # what comes goes to the WebSocket library
    ],
    align=True,
)
NO_PING = -1

PING = np.dtype(
    [
        ("slot", "i8"),
        ("seq", "i8"),
        ("ts", "i8"),
        ("lat", "f8"),
        ("lng", "f8"),
        ("heading", "f8"),
        ("speed", "f8"),
        ("accuracy", "f8"),  # NaN where unknown, as heading and speed
        ("segment", "i8"),  # 0: to be found out
        ("before", "i8"),  # the highest number met before this ping
        ("inside", "u1"),  # of the service area; says something where the segment is known
        ("fate", "u1"),
        ("after", "u1"),
    ],
    align=True,
)
PingRows = npt.NDArray[np.void]

# fates of a ping: used, for one of the reasons not, or not decided
USED, FUTURE, DUPLICATE, OUT_OF_ORDER, TOO_SOON, OUTSIDE, TOO_FAST, NO_ROOM, ASK = range(9)

# what is still to be done about a ping that was judged
LOG, SEEN, HINT = 1, 2, 4


def empty_slots(size: int) -> npt.NDArray[np.void]:
    """Rows of drivers of whom nothing is known, shape (size,)."""
    rows = np.zeros(size, dtype=SLOT)
    rows["ts"] = NO_PING
    for name in ("lat", "lng", "heading", "speed"):
        rows[name] = np.nan
    rows["seen_at"] = rows["told_at"] = -np.inf
    rows["fd"] = -1
    rows["watched"] = 1
    return rows


class Rows(Protocol):
    """Who has the rows; they may be other ones later."""

    rows: npt.NDArray[np.void]


class HasSlot(Protocol):
    """Whose row it is."""

    @property
    def table(self) -> Rows: ...

    @property
    def slot(self) -> int: ...


class Column[T]:
    """A field of a driver that is kept in the table."""

    def __init__(self, name: str, kind: Callable[[Any], T]) -> None:
        self._name = name
        self._kind = kind

    def __get__(self, driver: HasSlot, _owner: object = None) -> T:
        return self._kind(driver.table.rows[self._name][driver.slot])

    def __set__(self, driver: HasSlot, value: T) -> None:
        driver.table.rows[self._name][driver.slot] = value
