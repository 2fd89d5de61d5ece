"""What a simulation is asked, what it works on, and what became of each request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from core.errors import InvalidInput
from core.geo import FloatArray, IntArray
from runtime.simulator_settings import SimulatorSettings

Mode = Literal["best", "broadcast", "batch"]
OpenUntil = Literal["accept", "pickup"]
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
    """One simulation: `trips` None means made-up demand; the fleet is a number of cabs or a file of starts.

    `window_s`, `open_until` and `reposition` are of mode batch. `history` are past trips, from which repositioning
    learns; without it, it learns from the run's own past. `beside` is the `out` of another run, for the page.
    """

    trips: Path | None
    drivers: int | None = None
    fleet: Path | None = None
    mode: Mode = "best"
    seed: int = 0
    max_wait_s: float = 600.0
    window_s: float = 2.0
    open_until: OpenUntil = "accept"
    reposition: bool = False
    history: Path | None = None
    bound: bool = False
    out: Path | None = None
    beside: Path | None = None

    @property
    def title(self) -> str:
        """What the page calls the run."""
        words = [self.trips.name if self.trips else "synthetic", self.mode]
        if self.mode == "batch":
            words += [f"{self.window_s:g} s"]
            words += ["open until pickup"] if self.open_until == "pickup" else []
            words += ["reposition"] if self.reposition else []
        fleet = f"{self.drivers} cabs" if self.fleet is None else self.fleet.name
        return ", ".join([*words, fleet, f"seed {self.seed}"])

    def checked(self, limits: SimulatorSettings) -> SimulationAsk:
        """Itself. Raises InvalidInput naming the first field that breaks a rule."""
        if self.mode not in get_args(Mode):
            raise InvalidInput(f"mode must be best, broadcast or batch, got {self.mode!r}")
        if self.open_until not in get_args(OpenUntil):
            raise InvalidInput(f"open_until must be accept or pickup, got {self.open_until!r}")
        if self.mode != "batch" and (self.open_until == "pickup" or self.reposition):
            raise InvalidInput("open_until pickup and reposition need mode batch")
        if not limits.min_window_s <= self.window_s <= self.max_wait_s:
            raise InvalidInput(f"window_s must be from {limits.min_window_s:g} to max_wait_s, got {self.window_s:g}")
        if (self.drivers is None) == (self.fleet is None):
            raise InvalidInput("give either drivers (a number) or fleet (a file), not both")
        if self.drivers is not None and not 1 <= self.drivers <= limits.max_drivers:
            raise InvalidInput(f"drivers must be from 1 to {limits.max_drivers}, got {self.drivers}")
        if not 0 < self.max_wait_s <= limits.max_wait_s:
            raise InvalidInput(f"max_wait_s must be above 0 and at most {limits.max_wait_s:g}, got {self.max_wait_s:g}")
        if self.beside is not None and self.out is None:
            raise InvalidInput("beside needs out: the page of both runs is written there")
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
    empty_m: float  # driven without a rider by all cabs, on the way to riders and else

    @property
    def served(self) -> npt.NDArray[np.bool_]:
        return self.driver >= 0
