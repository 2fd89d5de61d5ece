"""Learned travel times beside free flow: how far from what real trips took.

Porto: every minute the pings until then are learned, and trips that are requested in it are judged; those of the last
third count. Nothing of a trip's own future is known when it is judged. Manhattan has no pings: every second trip of a
day teaches by its duration alone, the others are judged in the same hour of the same day.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.harness import Ask, Result, Rounds, fail, machine, rounded, today, versions
from benchmarks.packs import city_of, shared_data
from core.geo import BoolArray, FloatArray
from maps.cities import City
from maps.drives import DriveReader, Drives, together, whole_ways
from maps.eta import EtaIndex
from maps.roads import Int64Array
from maps.routes import RouteWorkers
from maps.snap import Snaps
from maps.traffic import HOURS, Traffic
from runtime.traffic_settings import TrafficSettings

TESTED = 1 / 3  # of Porto's trips, the latest
LEAST_TRIP_S = 60.0
PASSES = 2  # over Manhattan's trips: with each the times are shared among the edges better


@dataclass(frozen=True)
class Trips:
    """Trips in order of their request; arrays of one shape."""

    requested: FloatArray
    took: FloatArray
    origins: Snaps
    ends: Snaps

    def __len__(self) -> int:
        return len(self.requested)

    def expected(self, eta: EtaIndex, rows: Int64Array) -> FloatArray:
        """What the index says of some of them."""
        return eta.pairs(self.origins.take(rows), self.ends.take(rows)).seconds


def run(ask: Ask) -> Result:
    """Measure; see the module."""
    before, rounds = machine(), Rounds()
    checked = _porto(ask, rounds) + _manhattan(ask, rounds)
    ratios = {}
    for city in ("porto", "manhattan"):
        learned, free = (rounds.median(f"{city}_{name}_median_error_pct") for name in ("learned", "free_flow"))
        ratios[f"{city}_vs_free_flow"] = rounded(free / learned)
    return Result(
        name="traffic",
        figures=rounds.medians(),
        ratios=ratios,
        checked=checked,
        machine=before,
        versions=versions(),
        date=today(),
        quick=ask.quick,
        notes=_NOTES,
    )


_NOTES = [
    "error: |expected - real| / real of a trip; bias: the sum of all expected over the sum of all real times, less 1",
    "the strengths of TrafficSettings were chosen on these data, so the errors are a little flattered",
    "trips include what is no driving: stops on the way, detours, the last metres; Porto's are whole 15 s",
]


def _porto(ask: Ask, rounds: Rounds) -> int:
    city, settings = city_of("porto", ask.say), TrafficSettings()
    trips, drives = _read("porto", city), asyncio.run(_drives(city, settings))
    traffic, eta = Traffic(city.roads, settings), city.eta
    split = int(len(trips) * (1 - TESTED))
    tested = np.arange(split, len(trips))
    free = trips.expected(eta, tested)
    ended = trips.requested + trips.took
    order, expected = np.argsort(drives.ended_at), np.full(len(trips), np.nan)
    drives = drives.take(order)
    used, now = 0, float(trips.requested[0])
    learning_s, updates = 0.0, 0
    while now < trips.requested[-1]:
        step = settings.every_s if now >= trips.requested[split] - 1800 or not ask.quick else 10 * settings.every_s
        began, until = time.process_time(), int(np.searchsorted(drives.ended_at, now))
        traffic.observe(drives.take(np.arange(used, until)))
        eta.update(traffic.weights(now))
        learning_s, updates, used = learning_s + time.process_time() - began, updates + 1, until
        asked = np.flatnonzero((trips.requested >= now) & (trips.requested < now + step))
        expected[asked] = trips.expected(eta, asked)
        over = np.flatnonzero((ended > now - step) & (ended <= now))
        for row, found in zip(over, trips.expected(eta, over), strict=True):
            traffic.trip(float(found), float(trips.took[row]), now)
        now += step
    _report(ask, rounds, "porto", trips.took[tested], (free, expected[tested]))
    rounds.add("porto_learn_ms_per_minute", 1000 * learning_s / updates)
    rounds.add("porto_drives", len(drives))
    rounds.add("porto_state_mb", sum(map(len, traffic.save("").values())) / 1e6)
    return len(tested)


async def _drives(city: City, settings: TrafficSettings) -> Drives:
    """The drives of all traces."""
    table = pq.read_table(shared_data() / "porto_traces.parquet").sort_by(
        [("trip_id", "ascending"), ("seq", "ascending")]
    )
    trip = np.array(table["trip_id"].to_pylist())
    at = _epoch_s(table["time"])
    lat, lng = (table[name].to_numpy() for name in ("lat", "lng"))
    reader, workers, found = DriveReader(city.roads, settings), RouteWorkers(city.valhalla_config), []
    firsts = np.flatnonzero(np.append([True], trip[1:] != trip[:-1]))
    for start, end in zip(firsts, [*firsts[1:], len(trip)], strict=True):
        rows = slice(int(start), int(end))
        traced = await workers.trace(lat[rows], lng[rows], at[rows])
        if traced is not None:
            found.append(reader.read(traced, at[rows]))
    await workers.aclose()
    drives = together(found)
    if drives.seconds.sum() < 0.5 * 15 * len(trip):
        fail("less than half of the driving was matched to roads")
    return drives


def _manhattan(ask: Ask, rounds: Rounds) -> int:
    city, settings = city_of("manhattan", ask.say), TrafficSettings()
    trips, eta = _read("manhattan", city), city.eta
    hours = (trips.requested // 3600).astype(np.int64)
    teaches = np.arange(len(trips)) % 2 == 0
    tested = np.flatnonzero(~teaches)
    free, expected = trips.expected(eta, tested), np.full(len(trips), np.nan)
    known = Traffic(city.roads, settings)
    for _ in range(PASSES):
        traffic = Traffic(city.roads, settings)
        for hour in np.unique(hours):
            end_s = float(hour + 1) * 3600 - 1
            eta.update(known.weights(end_s))
            traffic.observe(_whole(eta, trips, np.flatnonzero(teaches & (hours == hour)), end_s))
        known = traffic
    for hour in np.unique(hours):
        eta.update(known.weights(float(hour + HOURS) * 3600))  # a week later, when no present moment helps
        rows = np.flatnonzero(~teaches & (hours == hour))
        expected[rows] = trips.expected(eta, rows)
    _report(ask, rounds, "manhattan", trips.took[tested], (free, expected[tested]))
    return len(tested)


def _whole(eta: EtaIndex, trips: Trips, rows: Int64Array, end_s: float) -> Drives:
    ways, took = [], []
    for row in rows:
        way = eta.way(trips.origins.take(np.array([row])), trips.ends.take(np.array([row])))
        if way is not None:
            ways.append(way)
            took.append(float(trips.took[row]))
    return whole_ways(ways, took, [end_s] * len(ways))


def _read(name: str, city: City) -> Trips:
    """The plausible trips with both ends on a road, by time of request."""
    table = pq.read_table(shared_data() / f"{name}_trips.parquet").sort_by("request_time")
    wanted: BoolArray = table["plausible"].to_numpy(zero_copy_only=False).astype(bool)
    if "in_manhattan" in table.column_names:
        wanted &= table["in_manhattan"].to_numpy(zero_copy_only=False).astype(bool)
    took = table["duration_s"].to_numpy().astype(np.float64)
    ends = [
        city.eta.snap(table[f"{end}_lat"].to_numpy(), table[f"{end}_lng"].to_numpy()) for end in ("pickup", "dropoff")
    ]
    wanted &= (took >= LEAST_TRIP_S) & (ends[0].edge >= 0) & (ends[1].edge >= 0)
    wanted &= city.eta.pairs(*ends).seconds > 1.0
    rows = np.flatnonzero(wanted)
    return Trips(_epoch_s(table["request_time"])[rows], took[rows], ends[0].take(rows), ends[1].take(rows))


def _epoch_s(column: Any) -> FloatArray:
    return np.array([each.timestamp() for each in column.to_pylist()])


def _report(ask: Ask, rounds: Rounds, city: str, real: FloatArray, found: tuple[FloatArray, FloatArray]) -> None:
    for name, expected in zip(("free_flow", "learned"), found, strict=True):
        error = 100 * np.abs(expected - real) / real
        figures = {
            "median_error_pct": np.median(error),
            "p90_error_pct": np.percentile(error, 90),
            "bias_pct": 100 * (expected.sum() / real.sum() - 1),
        }
        for figure, value in figures.items():
            rounds.add(f"{city}_{name}_{figure}", float(value))
        shown = ", ".join(f"{figure} {value:.1f}" for figure, value in figures.items())
        ask.say(f"{city:10} {name:10} {len(real)} trips: {shown}")
