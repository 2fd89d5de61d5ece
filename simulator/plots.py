"""What the page of a run draws, in few numbers: riders' waits, what cabs did, where nobody came, who earned."""

from __future__ import annotations

import h3.api.basic_int as h3
import msgspec
import numpy as np

from core.geo import FloatArray, IntArray
from simulator.model import Outcomes
from simulator.scenario import Scenario

BINS = 48  # of the run's time
STEPS = 60  # of the longest wait, and of the cabs by what they earned
CELL_RESOLUTION = 8
_MOST_CELLS = 3_000  # those with the most requests
_DECIMALS = 4


class Cell(msgspec.Struct, frozen=True):
    """A hexagon of the map: its H3 cell, how many asked there, and how many of them nobody came for."""

    cell: str
    requests: int
    unserved: int


class Plots(msgspec.Struct, frozen=True, kw_only=True):
    """The curves of one run.

    `picked_up_pct[i]`: of all requests, picked up within `i * wait_step_s`. `served`, `unserved`: requests of each bin
    of `bin_s` seconds. `riding_pct`, `to_rider_pct`: of all cabs, in each bin. `lorenz_pct[i]`: what the poorest
    `100 * i / STEPS` percent of the cabs earned, of all that was earned; empty where nobody earned anything.
    """

    title: str
    wait_step_s: float
    picked_up_pct: list[float]
    bin_s: float
    served: list[int]
    unserved: list[int]
    riding_pct: list[float]
    to_rider_pct: list[float]
    lorenz_pct: list[float]
    cells: list[Cell]


def make_plots(scenario: Scenario, outcomes: Outcomes, cabs: int, title: str) -> Plots:
    """The curves of a run with so many cabs."""
    requests, served = scenario.requests, outcomes.served
    began = float(requests.at[0]) if len(requests) else 0.0
    bin_s = max(outcomes.ended_at - began, 1.0) / BINS
    asked = np.minimum(((requests.at - began) / bin_s).astype(np.int64), BINS - 1)
    wait_s = (outcomes.pickup_at - requests.at)[served]
    step_s = max(float(wait_s.max(initial=0.0)) / STEPS, 1.0)
    steps = np.arange(STEPS + 1) * step_s
    within = np.searchsorted(np.sort(wait_s), steps + 1e-9, side="right")
    busy = BusyTimes.of(outcomes)
    every = max(cabs, 1) * bin_s / 100
    return Plots(
        title=title,
        wait_step_s=step_s,
        picked_up_pct=_rounded(100 * within / max(len(requests), 1)),
        bin_s=bin_s,
        served=np.bincount(asked[served], minlength=BINS).tolist(),
        unserved=np.bincount(asked[~served], minlength=BINS).tolist(),
        riding_pct=_rounded(_shares(busy.picked_up, busy.dropped_off, began, bin_s) / every),
        to_rider_pct=_rounded(_shares(busy.set_out, busy.picked_up, began, bin_s) / every),
        lorenz_pct=lorenz_pct(earned_by(outcomes, cabs)),
        cells=_cells(scenario, outcomes),
    )


class BusyTimes(msgspec.Struct, frozen=True):
    """The rides of all cabs, each cab's in order, shape (n,); epoch seconds.

    A cab sets out when the ride is its own and the ride before is over: an earlier assignment only reserves it.
    """

    cab: IntArray
    set_out: FloatArray
    picked_up: FloatArray
    dropped_off: FloatArray

    @classmethod
    def of(cls, outcomes: Outcomes) -> BusyTimes:
        """Of the rides that were served."""
        rides = np.flatnonzero(outcomes.served)
        rides = rides[np.lexsort((outcomes.pickup_at[rides], outcomes.driver[rides]))]
        cab, over = outcomes.driver[rides], outcomes.dropoff_at[rides]
        free = np.full(len(rides), -np.inf)
        if len(rides):
            free[1:] = np.where(cab[1:] == cab[:-1], over[:-1], -np.inf)
        return cls(cab, np.maximum(outcomes.assigned_at[rides], free), outcomes.pickup_at[rides], over)

    def idle_s(self, cabs: int, began: float, ended: float) -> FloatArray:
        """Every time that a cab waited for its next ride, or for the end of the run."""
        order_of_cab = np.searchsorted(self.cab, np.arange(cabs + 1))
        waits = [np.zeros(0)]
        for first, last in zip(order_of_cab[:-1].tolist(), order_of_cab[1:].tolist(), strict=True):
            free = np.append(began, self.dropped_off[first:last])
            waits.append(np.append(self.set_out[first:last], ended) - free)
        idle = np.concatenate(waits)
        return idle[idle > 0]


def earned_by(outcomes: Outcomes, cabs: int) -> FloatArray:
    """What each cab earned, minor units, shape (cabs,)."""
    earned = np.zeros(cabs)
    np.add.at(earned, outcomes.driver[outcomes.served], outcomes.fare_minor[outcomes.served])
    return earned


def lorenz_pct(earned: FloatArray) -> list[float]:
    """Of all that was earned, percent, by the poorest cabs: STEPS + 1 points; none where nobody earned anything."""
    total = float(earned.sum())
    if total <= 0:
        return []
    mine = np.append(0.0, np.cumsum(np.sort(earned))) * 100 / total
    return _rounded(np.interp(np.linspace(0, len(earned), STEPS + 1), np.arange(len(mine)), mine))


def _shares(start: FloatArray, end: FloatArray, began: float, bin_s: float) -> FloatArray:
    """Seconds of all these times that lie in each bin, shape (BINS,)."""
    edges = began + bin_s * np.arange(BINS + 1)
    done = np.array([np.clip(edge - start, 0.0, np.maximum(end - start, 0.0)).sum() for edge in edges.tolist()])
    return np.diff(done)


def _cells(scenario: Scenario, outcomes: Outcomes) -> list[Cell]:
    """Where people asked, the busiest hexagons first."""
    pickup = scenario.requests.pickup
    lat, lng = scenario.lat[pickup].tolist(), scenario.lng[pickup].tolist()
    asked = np.array([h3.latlng_to_cell(*at, CELL_RESOLUTION) for at in zip(lat, lng, strict=True)], dtype=np.uint64)
    cells, which, count = np.unique(asked, return_inverse=True, return_counts=True)
    unserved = np.bincount(which[~outcomes.served], minlength=len(cells))
    found = zip(cells.tolist(), count.tolist(), unserved.tolist(), strict=True)
    busiest = sorted(found, key=lambda each: (-each[1], each[0]))[:_MOST_CELLS]
    return [Cell(f"{cell:x}", requests, lost) for cell, requests, lost in busiest]


def _rounded(values: FloatArray) -> list[float]:
    return [round(value, _DECIMALS) for value in values.tolist()]
