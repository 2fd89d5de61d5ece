"""What a simulation says: the contract's figures, and a table of what happened to each row."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from core.clock import rfc3339
from core.geo import BoolArray, FloatArray
from simulator.bound import WORTH_S
from simulator.model import Mode, Outcomes
from simulator.plots import BusyTimes, earned_by
from simulator.scenario import Scenario

_DECIMALS = 3
_TRIP_COLUMNS = (
    *("row", "trip_id", "status", "reason", "driver"),
    *("request_time", "assigned_time", "pickup_time", "dropoff_time"),
    *("wait_s", "pickup_m", "direct_m", "direct_s", "fare_minor"),
)


class WaitFigures(msgspec.Struct, frozen=True):
    """Seconds from request to pickup, of served requests."""

    mean: float | None
    p50: float | None
    p95: float | None


class MatchFigures(msgspec.Struct, frozen=True):
    """Seconds from request to the last assignment, of served requests."""

    mean: float | None
    p95: float | None


class DriverFigures(msgspec.Struct, frozen=True):
    """Share of cab time with a rider on board, share of driven kilometres without, inequality of earnings (0..1).

    Beside them the kilometres without a rider per cab; minor units that a cab earned in an hour of the run; and seconds
    that cabs waited for their next ride, or for the end.
    """

    utilisation_pct: float | None
    empty_km_pct: float | None
    earnings_gini: float | None
    empty_km_mean: float | None
    earned_per_hour_mean: float | None
    earned_per_hour_p10: float | None
    idle_s_p95: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The contract's answer of `hexcab simulate`; None where there is nothing to take a figure of."""

    requests: int
    served: int
    served_pct: float | None
    cancelled: int
    rejected_rows: dict[str, int]
    wait_s: WaitFigures
    match_s: MatchFigures
    pickup_km_mean: float | None
    driver: DriverFigures
    drivers: int
    sim_s: float
    wall_s: float
    speedup: float | None
    mode: Mode
    seed: int
    h1_pct: float | None
    bound: float | None
    served_by_length_pct: list[float | None]

    def to_json(self) -> bytes:
        """One JSON object, keys in the contract's order."""
        return msgspec.json.encode(self)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the figures of a run depend on beside its scenario and outcomes."""

    mode: Mode
    seed: int
    drivers: int
    wall_s: float
    bound: float | None = None  # of the sum of (WORTH_S - wait)


def make_report(scenario: Scenario, outcomes: Outcomes, facts: RunFacts) -> Report:
    """The figures of a run; all but wall_s and speedup depend on the seed alone."""
    requests, served = scenario.requests, outcomes.served
    n, n_served = len(requests), int(served.sum())
    wait_s = (outcomes.pickup_at - requests.at)[served]
    match_s = (outcomes.assigned_at - requests.at)[served]
    sim_s = outcomes.ended_at - float(requests.at[0]) if n else 0.0
    return Report(
        requests=n,
        served=n_served,
        served_pct=_share(n_served, n),
        cancelled=0,
        rejected_rows=scenario.rejected,
        wait_s=WaitFigures(_mean(wait_s), _percentile(wait_s, 50), _percentile(wait_s, 95)),
        match_s=MatchFigures(_mean(match_s), _percentile(match_s, 95)),
        pickup_km_mean=_mean(outcomes.pickup_m[served] / 1000),
        driver=_driver_figures(scenario, outcomes, facts.drivers, sim_s),
        drivers=facts.drivers,
        sim_s=round(sim_s, _DECIMALS),
        wall_s=round(facts.wall_s, _DECIMALS),
        speedup=round(sim_s / facts.wall_s, 1) if facts.wall_s > 0 else None,
        mode=facts.mode,
        seed=facts.seed,
        h1_pct=None if facts.bound is None else _share(float((WORTH_S - wait_s).sum()), facts.bound),
        bound=facts.bound,
        served_by_length_pct=served_by_length_pct(requests.direct_s, served),
    )


def _driver_figures(scenario: Scenario, outcomes: Outcomes, cabs: int, sim_s: float) -> DriverFigures:
    requests, served = scenario.requests, outcomes.served
    riding_s, ridden_m = float(requests.direct_s[served].sum()), float(requests.direct_m[served].sum())
    earned = earned_by(outcomes, cabs)
    per_hour = earned * 3600 / sim_s if sim_s > 0 else np.zeros(0)
    idle_s = BusyTimes.of(outcomes).idle_s(cabs, outcomes.ended_at - sim_s, outcomes.ended_at)
    return DriverFigures(
        utilisation_pct=_share(riding_s, cabs * sim_s),
        empty_km_pct=_share(outcomes.empty_m, outcomes.empty_m + ridden_m),
        earnings_gini=_rounded(gini(earned)),
        empty_km_mean=round(outcomes.empty_m / 1000 / cabs, _DECIMALS) if cabs else None,
        earned_per_hour_mean=_mean(per_hour),
        earned_per_hour_p10=_percentile(per_hour, 10),
        idle_s_p95=_percentile(idle_s, 95),
    )


def served_by_length_pct(direct_s: FloatArray, served: BoolArray) -> list[float | None]:
    """Percent served of each quarter of the requests by direct trip time, the shortest first; None for an empty one."""
    quarters = np.array_split(np.argsort(direct_s, kind="stable"), 4)
    return [_share(int(served[quarter].sum()), len(quarter)) for quarter in quarters]


def gini(earned: FloatArray) -> float | None:
    """The Gini coefficient of amounts of shape (n,), 0 when all are equal; None when nobody earned anything."""
    total = float(earned.sum())
    if total <= 0:
        return None
    n = len(earned)
    rank = np.arange(1, n + 1)
    return float(((2 * rank - n - 1) * np.sort(earned)).sum() / (n * total))


def write_trips(path: Path, scenario: Scenario, outcomes: Outcomes) -> None:
    """One line per row of the input, in its order: what happened to it, or why it could not be used."""
    requests = scenario.requests
    request_of_row = {row: request for request, row in enumerate(requests.row.tolist())}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_TRIP_COLUMNS)
        for row, (trip_id, reason) in enumerate(zip(scenario.raw.trip_id, scenario.raw.reason, strict=True), 1):
            if reason is not None:
                writer.writerow([row, trip_id, "rejected", reason, *[""] * 10])
                continue
            request = request_of_row[row]
            asked, direct = requests.at[request], [requests.direct_m[request], requests.direct_s[request]]
            if outcomes.driver[request] < 0:
                lost = [*[""] * 5, *map(_text, direct), ""]
                writer.writerow([row, trip_id, "unserved", "", "", rfc3339(float(asked)), *lost])
                continue
            times = (asked, outcomes.assigned_at[request], outcomes.pickup_at[request], outcomes.dropoff_at[request])
            measures = (outcomes.pickup_at[request] - asked, outcomes.pickup_m[request], *direct)
            writer.writerow(
                [row, trip_id, "served", "", int(outcomes.driver[request]) + 1]
                + [rfc3339(float(at)) for at in times]
                + [_text(value) for value in measures]
                + [int(outcomes.fare_minor[request])]
            )


def _text(value: float) -> str:
    return f"{value:.{_DECIMALS}f}"


def _mean(values: FloatArray) -> float | None:
    return round(float(values.mean()), _DECIMALS) if len(values) else None


def _percentile(values: FloatArray, percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), _DECIMALS) if len(values) else None


def _share(part: float, whole: float) -> float | None:
    return round(100 * part / whole, _DECIMALS) if whole > 0 else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
