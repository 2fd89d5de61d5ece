"""Learned times as they go from the process that learns to all that read."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from core.errors import BadFile
from core.geo import FloatArray

if TYPE_CHECKING:
    from maps.cities import City

_encode = msgspec.msgpack.Encoder().encode


class PublishedTimes(msgspec.Struct, frozen=True):
    """How many times its free-flow time each edge takes; float16, deflated: to 0.05 %, 2 bytes an edge at most.

    `fingerprint` is that of the city pack whose edges they are, `at` the engine time.
    """

    fingerprint: str
    at: float
    slowdown: bytes

    @staticmethod
    def of(city: City, slowdown: FloatArray, at: float) -> PublishedTimes:
        """From the slowdown of every edge, shape (edges,)."""
        return PublishedTimes(city.fingerprint, at, zlib.compress(slowdown.astype(np.float16).tobytes(), 1))

    def encode(self) -> bytes:
        """As bytes."""
        return _encode(self)

    @staticmethod
    def decode(body: bytes) -> PublishedTimes:
        """From bytes. Raises BadFile."""
        try:
            return msgspec.msgpack.decode(body, type=PublishedTimes)
        except msgspec.DecodeError as error:
            raise BadFile(f"learned times that cannot be read: {error}") from error

    def slowdown_on(self, city: City) -> FloatArray:
        """The slowdown of every edge, shape (edges,). Raises BadFile for times of another city pack."""
        if self.fingerprint != city.fingerprint:
            raise BadFile(f"they were learned on another pack of {city.name}")
        try:
            found = np.frombuffer(zlib.decompress(self.slowdown), dtype=np.float16).astype(np.float64)
        except (zlib.error, ValueError) as error:
            raise BadFile(f"learned times that cannot be read: {error}") from error
        if found.shape != (city.roads.edge_count,) or not (np.isfinite(found) & (found > 0)).all():
            raise BadFile("learned times that are no times of these roads")
        return found
