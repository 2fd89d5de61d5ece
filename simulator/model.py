"""What a simulation is asked, what it works on, and what became of each request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from core.errors import InvalidInput
from core.geo import FloatArray, IntArray
from runtime.settings import SimulatorSettings

Mode = Literal["best", "broadcast"]
Reason = Literal[
    "missing_value",
    "bad_type",
    "out_of_range",
    "duplicate_trip_id",
    "unknown_node",
    "outside_city",
    "off_road",
    "unreachable",
]
Progress = Callable[[str, float], None]  # the stage, and the share of it that is done, 0..1


def quiet(stage: str, share: float) -> None:
    """The progress of nobody who looks."""


class SimulationAsk(msgspec.Struct, frozen=True, kw_only=True):
    """One simulation: `trips` None means made-up demand; the fleet is a number of cabs or a file of starts."""

    trips: Path | None
    drivers: int | None = None
    fleet: Path | None = None
    mode: Mode = "best"
    seed: int = 0
    max_wait_s: float = 600.0
    out: Path | None = None

    def checked(self, limits: SimulatorSettings) -> SimulationAsk:
        """Itself. Raises InvalidInput naming the first field that breaks a rule."""
        if self.mode not in ("best", "broadcast"):
            raise InvalidInput(f"mode must be best or broadcast, got {self.mode!r}")
        if (self.drivers is None) == (self.fleet is None):
            raise InvalidInput("give either drivers (a number) or fleet (a file), not both")
        if self.drivers is not None and not 1 <= self.drivers <= limits.max_drivers:
            raise InvalidInput(f"drivers must be from 1 to {limits.max_drivers}, got {self.drivers}")
        if not 0 < self.max_wait_s <= limits.max_wait_s:
            raise InvalidInput(f"max_wait_s must be above 0 and at most {limits.max_wait_s:g}, got {self.max_wait_s:g}")
        if self.seed < 0:
            raise InvalidInput(f"seed must not be negative, got {self.seed}")
        return self


@dataclass(frozen=True, slots=True)
class RawTrips:
    """Rows of demand before the city is asked; all of shape (n,). `reason` is None where nothing is wrong so far."""

    trip_id: list[str]
    at: FloatArray  # epoch seconds
    pickup_lat: FloatArray
    pickup_lng: FloatArray
    dropoff_lat: FloatArray
    dropoff_lng: FloatArray
    passengers: IntArray
    reason: list[Reason | None]


@dataclass(frozen=True, slots=True)
class Requests:
    """The usable rows in order of time, all of shape (n,); `pickup` and `dropoff` are rows of the scenario's places."""

    row: IntArray  # of the file, the first is 1
    at: FloatArray  # epoch seconds
    pickup: IntArray
    dropoff: IntArray
    passengers: IntArray
    direct_s: FloatArray
    direct_m: FloatArray

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of each request, all of shape (n,): NaN and -1 where it was not served."""

    driver: IntArray
    assigned_at: FloatArray
    pickup_at: FloatArray
    dropoff_at: FloatArray
    pickup_m: FloatArray
    fare_minor: IntArray
    ended_at: float  # when the last cab was done and the last request settled

    @property
    def served(self) -> npt.NDArray[np.bool_]:
        return self.driver >= 0
