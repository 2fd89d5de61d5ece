"""Ids that sort by time: 48 bits of milliseconds and 80 random bits, as in UUIDv7, in Crockford's base 32."""

from __future__ import annotations

import random

from core.clock import Clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Ids:
    """Makes ids such as `req_01k2...`; the prefix tells a reader what the id names."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng

    def new(self, prefix: str) -> str:
        """A new id; ids of later milliseconds sort after earlier ones."""
        number = (int(self._clock.now() * 1000) << 80) | self._rng.getrandbits(80)
        digits = [_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)]
        return f"{prefix}_{''.join(digits)}"

    def start_code(self) -> str:
        """Four digits that the rider tells the driver to start the trip."""
        return f"{self._rng.randrange(10_000):04d}"
