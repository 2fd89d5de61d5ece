"""Ledgers: observed beside expected seconds of many things, fading with time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from core.geo import FloatArray
from maps.roads import Int32Array, Int64Array

_Array = np.ndarray[Any, np.dtype[Any]]
_FORGOTTEN_S = 1.0  # of expected driving: less than this is not kept


class Ledger:
    """Two sums of seconds for each of many things, arrays of one `shape`; both halve every `half_life_s`.

    Call fade before the first add.
    """

    def __init__(self, shape: tuple[int, ...], half_life_s: float) -> None:
        self.observed: _Array = np.zeros(shape)
        self.expected: _Array = np.zeros(shape)
        self._half_life_s = half_life_s
        self._faded_at = -math.inf

    def add(self, index: Any, observed: Any, expected: Any) -> None:
        """Add seconds to the things of `index`, which may name one several times."""
        np.add.at(self.observed, index, observed)
        np.add.at(self.expected, index, expected)

    def fade(self, at_s: float) -> None:
        """Let time pass until this moment, epoch seconds; what lies before the last such moment changes nothing."""
        if at_s > self._faded_at:
            left = 0.5 ** ((at_s - self._faded_at) / self._half_life_s)
            self.observed *= left
            self.expected *= left
            self._faded_at = at_s

    def ratio(self, strength_s: float, toward: float = 1.0) -> FloatArray:
        """Observed over expected, drawn `toward` a ratio as if it had been seen for `strength_s` already."""
        return np.asarray((self.observed + strength_s * toward) / (self.expected + strength_s))

    def arrays(self) -> dict[str, _Array]:
        """All that it holds."""
        return {"observed": self.observed, "expected": self.expected, "faded_at": np.array(self._faded_at)}

    def restore(self, arrays: dict[str, _Array]) -> None:
        """Hold what another has held. Raises ValueError for another shape."""
        if arrays["observed"].shape != self.observed.shape or arrays["expected"].shape != self.expected.shape:
            raise ValueError("it is of other roads")
        self.observed, self.expected = arrays["observed"].astype(np.float64), arrays["expected"].astype(np.float64)
        self._faded_at = float(arrays["faded_at"])


class SparseLedger:
    """A ledger of `count` things in each of several hours, of which one is in use: the others keep what is not 0."""

    def __init__(self, hours: int, count: int, half_life_s: float) -> None:
        self._rest: dict[int, tuple[Int32Array, FloatArray, FloatArray, float]] = {}
        self._hours, self._count, self._half_life_s = hours, count, half_life_s
        self._hour = 0
        self._open = Ledger((count,), half_life_s)

    def add(self, hour: int, index: Int32Array, observed: FloatArray, expected: FloatArray) -> None:
        """Add seconds to the things of `index` in an hour."""
        self._turn_to(hour)
        self._open.add(index, observed, expected)

    def ratio(self, hour: int, at_s: float, strength_s: float) -> FloatArray:
        """Observed over expected in an hour, drawn towards 1, shape (count,)."""
        self._turn_to(hour)
        self._open.fade(at_s)
        return self._open.ratio(strength_s)

    def _turn_to(self, hour: int) -> None:
        if hour == self._hour:
            return
        self._close()
        self._hour, self._open = hour, Ledger((self._count,), self._half_life_s)
        if hour in self._rest:
            index, observed, expected, faded_at = self._rest.pop(hour)
            self._open.fade(faded_at)
            self._open.add(index, observed, expected)

    def _close(self) -> None:
        held = self._open.arrays()
        index = np.flatnonzero(self._open.expected > _FORGOTTEN_S).astype(np.int32)
        if len(index):
            observed, expected = self._open.observed[index], self._open.expected[index]
            self._rest[self._hour] = (index, observed, expected, float(held["faded_at"]))

    def arrays(self) -> dict[str, _Array]:
        """All that it holds: rows by hour, and the moment until which each hour has faded."""
        self._close()
        hours = sorted(self._rest)
        parts = [self._rest[hour] for hour in hours]
        self._rest.pop(self._hour, None)
        first: Int64Array = np.cumsum([0, *(len(part[0]) for part in parts)])
        return {
            "hours": np.array(hours, dtype=np.int64),
            "first": first,
            "index": np.concatenate([np.empty(0, np.int32), *(part[0] for part in parts)]),
            "observed": np.concatenate([np.empty(0), *(part[1] for part in parts)]),
            "expected": np.concatenate([np.empty(0), *(part[2] for part in parts)]),
            "faded_at": np.array([part[3] for part in parts], dtype=np.float64),
        }

    def restore(self, arrays: dict[str, _Array]) -> None:
        """Hold what another has held. Raises ValueError for one of more things or hours."""
        index, first = arrays["index"].astype(np.int32), arrays["first"]
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < self._count:
            raise ValueError("it is of other roads")
        self._rest = {}
        for number, hour in enumerate(arrays["hours"].tolist()):
            if not 0 <= hour < self._hours:
                raise ValueError(f"it knows an hour {hour}")
            rows = slice(int(first[number]), int(first[number + 1]))
            held = index[rows], arrays["observed"][rows], arrays["expected"][rows], float(arrays["faded_at"][number])
            self._rest[hour] = held
        self._hour, self._open = -1, Ledger((self._count,), self._half_life_s)
