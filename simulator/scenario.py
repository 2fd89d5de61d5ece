"""A file of trips becomes requests on the city's roads; every row that cannot be used is counted by its reason."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from core.geo import BoolArray, FloatArray, IntArray
from simulator.model import Progress, RawTrips, Reason, Requests
from simulator.ports import Places, SimulatedCity
from simulator.tables import Column, Wanted, column_names, read_table

_MAX_PASSENGERS = 8

_COLUMNS = (
    Wanted("request_time", "time"),
    Wanted("pickup_lat", "number"),
    Wanted("pickup_lng", "number"),
    Wanted("dropoff_lat", "number"),
    Wanted("dropoff_lng", "number"),
    Wanted("passengers", "number", required=False),
    Wanted("trip_id", "text", required=False),
)
_NODE_COLUMNS = (
    Wanted("rq_time", "number"),
    Wanted("start", "number"),
    Wanted("end", "number"),
    Wanted("request_id", "text", required=False),
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Demand and starts of cabs on one set of places: rows 0..n pickups, then dropoffs, then starts."""

    raw: RawTrips
    requests: Requests
    places: Places
    lat: FloatArray  # of the places
    lng: FloatArray

    @property
    def rejected(self) -> dict[str, int]:
        """How many rows could not be used, by reason, in the order of the reasons' names."""
        reasons = [reason for reason in self.raw.reason if reason is not None]
        return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


def first_of(scenario: Scenario, most: int = 2) -> Scenario:
    """The same with its first requests alone."""
    few = {field.name: getattr(scenario.requests, field.name)[:most] for field in fields(Requests)}
    return replace(scenario, requests=Requests(**few))


def read_trips(path: Path, max_rows: int) -> RawTrips:
    """The rows of a parquet or CSV file, each with what is wrong with its cells. Raises BadFile."""
    columns, n = read_table(path, _COLUMNS, max_rows)
    reason: list[Reason | None] = [None] * n
    for wanted in _COLUMNS[:5]:
        column = columns[wanted.name]
        _mark(reason, column.missing, "missing_value")
        _mark(reason, column.unreadable, "bad_type")
    _mark(reason, ~np.isfinite(columns["request_time"].values), "out_of_range")
    for name, limit in (("pickup_lat", 90), ("pickup_lng", 180), ("dropoff_lat", 90), ("dropoff_lng", 180)):
        _mark(reason, ~(np.abs(columns[name].values) <= limit), "out_of_range")  # so written, NaN is out of range too
    passengers = _passengers(columns.get("passengers"), n, reason)
    trip_id = _trip_ids(columns.get("trip_id"), n, reason)
    at, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng = (columns[wanted.name].values for wanted in _COLUMNS[:5])
    return RawTrips(trip_id, at, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, passengers, reason)


def read_node_trips(path: Path, city: SimulatedCity, max_rows: int) -> RawTrips:
    """The same from a file that names junctions: `rq_time` in seconds, `start`, `end`, and optionally `request_id`.

    Raises BadFile, and InvalidInput no_node_numbers.
    """
    columns, n = read_table(path, _NODE_COLUMNS, max_rows)
    reason: list[Reason | None] = [None] * n
    for wanted in _NODE_COLUMNS[:3]:
        column = columns[wanted.name]
        _mark(reason, column.missing, "missing_value")
        _mark(reason, column.unreadable, "bad_type")
        _mark(reason, ~np.isfinite(column.values), "out_of_range")
    pickup_lat, pickup_lng = node_points(columns["start"], city)
    dropoff_lat, dropoff_lng = node_points(columns["end"], city)
    _mark(reason, np.isnan(pickup_lat) | np.isnan(dropoff_lat), "unknown_node")
    trip_id = _trip_ids(columns.get("request_id"), n, reason)
    at, passengers = columns["rq_time"].values, np.ones(n, dtype=np.int64)
    return RawTrips(trip_id, at, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, passengers, reason)


def names_nodes(path: Path) -> bool:
    """Whether a file of trips names junctions by their numbers, as scenarios of other simulators do."""
    return {"start", "end"} <= set(column_names(path))


def node_points(column: Column, city: SimulatedCity) -> tuple[FloatArray, FloatArray]:
    """Where the junctions of a column are, shape (n,); NaN where a cell is no number of one."""
    whole = np.isfinite(column.values) & (column.values == np.floor(column.values))
    lat, lng = city.node_points(np.where(whole, column.values, 0).astype(np.int64))
    return np.where(whole, lat, np.nan), np.where(whole, lng, np.nan)


def place_trips(
    raw: RawTrips, starts: tuple[FloatArray, FloatArray], city: SimulatedCity, progress: Progress
) -> Scenario:
    """Put the rows and the starts on the city's roads and find each trip's direct way.

    Places are snapped once, here. The starts must be usable: see starts.py.
    """
    reason = list(raw.reason)
    lat = np.concatenate([raw.pickup_lat, raw.dropoff_lat, starts[0]])
    lng = np.concatenate([raw.pickup_lng, raw.dropoff_lng, starts[1]])
    n = len(raw.at)
    good = np.ones(len(lat), dtype=np.bool_)
    good[: 2 * n] = np.tile([each is None for each in reason], 2)
    lat, lng = np.where(good, lat, 0.0), np.where(good, lng, 0.0)  # so that maps never sees a NaN
    inside = city.inside(lat, lng)
    _mark(reason, ~(inside[:n] & inside[n : 2 * n]), "outside_city")
    places = city.places(lat, lng)
    _mark(reason, ~(places.on_road[:n] & places.on_road[n : 2 * n]), "off_road")

    rows = np.array([row for row, each in enumerate(reason) if each is None], dtype=np.int64)
    rows = rows[np.argsort(raw.at[rows], kind="stable")]
    direct_s, direct_m = np.full(n, np.inf), np.full(n, np.inf)
    for first in range(0, len(rows), 256):
        some = rows[first : first + 256]
        travel = places.between(some, some + n)
        direct_s[some], direct_m[some] = travel.seconds, travel.metres
        progress("ways", min(1.0, (first + 256) / len(rows)))
    _mark(reason, ~np.isfinite(direct_s), "unreachable")
    rows = rows[np.isfinite(direct_s[rows])]
    requests = Requests(
        row=rows + 1,
        at=raw.at[rows],
        pickup=rows,
        dropoff=rows + n,
        passengers=raw.passengers[rows],
        direct_s=direct_s[rows],
        direct_m=direct_m[rows],
    )
    judged = RawTrips(
        raw.trip_id, raw.at, raw.pickup_lat, raw.pickup_lng, raw.dropoff_lat, raw.dropoff_lng, raw.passengers, reason
    )
    return Scenario(judged, requests, places, lat, lng)


def _mark(reason: list[Reason | None], rows: BoolArray, why: Reason) -> None:
    for row in np.flatnonzero(rows):
        if reason[row] is None:
            reason[row] = why


def _passengers(column: Column | None, n: int, reason: list[Reason | None]) -> IntArray:
    if column is None:
        return np.ones(n, dtype=np.int64)
    values = np.where(column.missing, 1.0, column.values)  # optional: one passenger where nothing is said
    _mark(reason, column.unreadable, "bad_type")
    good = (values >= 1) & (values <= _MAX_PASSENGERS) & (values == np.floor(values))
    _mark(reason, ~good, "out_of_range")
    return np.where(good, values, 1.0).astype(np.int64)


def _trip_ids(column: Column | None, n: int, reason: list[Reason | None]) -> list[str]:
    if column is None:
        return [str(row) for row in range(1, n + 1)]
    seen: set[str] = set()
    for row, trip_id in enumerate(column.texts):
        if reason[row] is None and trip_id:
            if trip_id in seen:
                reason[row] = "duplicate_trip_id"
            seen.add(trip_id)
    return [trip_id or str(row) for row, trip_id in enumerate(column.texts, 1)]
