"""Ledgers: observed beside expected seconds of many things, fading with time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from core.geo import FloatArray
from maps.roads import Int32Array

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
    """A ledger of `count` things in each of many hours, of which one is in use: the others keep what is not 0.

    `changed` are the hours that were added to; whoever saves them takes them out.
    """

    def __init__(self, count: int, half_life_s: float) -> None:
        self._rest: dict[int, dict[str, _Array]] = {}
        self._count, self._half_life_s = count, half_life_s
        self._hour, self._open = -1, Ledger((count,), half_life_s)
        self.changed: set[int] = set()

    def add(self, hour: int, index: Int32Array, observed: FloatArray, expected: FloatArray) -> None:
        """Add seconds to the things of `index` in an hour, whose ratio was asked before."""
        self._turn_to(hour)
        self._open.add(index, observed, expected)
        self.changed.add(hour)

    def ratio(self, hour: int, at_s: float, strength_s: float) -> FloatArray:
        """Observed over expected in an hour, drawn towards 1, shape (count,)."""
        self._turn_to(hour)
        self._open.fade(at_s)
        return self._open.ratio(strength_s)

    def arrays(self, hour: int) -> dict[str, _Array]:
        """All that it holds of an hour: `index`, `observed` and `expected` of what is not 0, and `faded_at`."""
        if hour != self._hour:
            return self._rest[hour]
        held = self._open.arrays()
        index = np.flatnonzero(held["expected"] > _FORGOTTEN_S).astype(np.int32)
        sums = {name: held[name][index].astype(np.float32) for name in ("observed", "expected")}
        return {"index": index, "faded_at": held["faded_at"]} | sums

    def restore(self, hour: int, arrays: dict[str, _Array]) -> None:
        """Hold what another has held of an hour. Raises ValueError for one of more things."""
        index = arrays["index"]
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < self._count:
            raise ValueError("it is of other roads")
        if not len(index) == len(arrays["observed"]) == len(arrays["expected"]):
            raise ValueError("its arrays do not fit each other")
        if hour == self._hour:
            self._hour, self._open = -1, Ledger((self._count,), self._half_life_s)
        self._rest[hour] = {name: arrays[name] for name in ("index", "faded_at", "observed", "expected")}

    def _turn_to(self, hour: int) -> None:
        if hour == self._hour:
            return
        if self._hour >= 0:
            self._rest[self._hour] = self.arrays(self._hour)
        self._hour, self._open = hour, Ledger((self._count,), self._half_life_s)
        if hour in self._rest:
            held = self._rest.pop(hour)
            self._open.fade(float(held["faded_at"]))
            self._open.add(held["index"], held["observed"], held["expected"])
