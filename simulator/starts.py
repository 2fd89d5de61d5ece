"""Where the cabs begin: drawn around the demand, or read from a file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from core.errors import BadFile
from core.geo import EARTH_RADIUS_M, BoolArray, FloatArray
from simulator.model import RawTrips
from simulator.ports import SimulatedCity
from simulator.scenario import node_points
from simulator.tables import Wanted, column_names, read_table

_SMOOTHING_M = 400.0

Starts = tuple[FloatArray, FloatArray]  # latitudes and longitudes of shape (drivers,)


def drawn_starts(drivers: int, trips: RawTrips, city: SimulatedCity, rng: np.random.Generator) -> Starts:
    """Pickups of usable rows, moved by a normal distribution of 400 m so that no cab knows the demand by heart.

    A point that falls off the roads or out of the city goes back to its pickup; where no pickup is usable at all, cabs
    start at junctions.
    """
    good = np.flatnonzero([reason is None for reason in trips.reason])
    good = good[_usable(city, trips.pickup_lat[good], trips.pickup_lng[good])] if len(good) else good
    if not len(good):
        lat, lng = city.road_points()
        picked = rng.integers(0, len(lat), size=drivers)
        return lat[picked], lng[picked]
    picked = good[rng.integers(0, len(good), size=drivers)]
    lat, lng = trips.pickup_lat[picked], trips.pickup_lng[picked]
    metres_per_degree = EARTH_RADIUS_M * math.pi / 180
    moved_lat = lat + rng.normal(0.0, _SMOOTHING_M, drivers) / metres_per_degree
    moved_lng = lng + rng.normal(0.0, _SMOOTHING_M, drivers) / (metres_per_degree * np.cos(np.radians(lat)))
    usable = _usable(city, moved_lat, moved_lng)
    return np.where(usable, moved_lat, lat), np.where(usable, moved_lng, lng)


def read_starts(path: Path, city: SimulatedCity, max_drivers: int) -> Starts:
    """The starts in a parquet or CSV file with `lat` and `lng`, or with the numbers of junctions as `start_node`.

    Raises BadFile naming the first row that is no use, and InvalidInput no_node_numbers.
    """
    if "start_node" in column_names(path):
        return _read_nodes(path, city, max_drivers)
    columns, _ = read_table(path, [Wanted("lat", "number"), Wanted("lng", "number")], max_drivers)
    for name, limit in (("lat", 90), ("lng", 180)):
        values = columns[name].values
        bad = np.flatnonzero(~(np.abs(values) <= limit))
        if len(bad):
            raise BadFile(f"{path}: row {bad[0] + 1}, column {name!r}: must be a number from -{limit} to {limit}")
    lat, lng = columns["lat"].values, columns["lng"].values
    bad = np.flatnonzero(~_usable(city, lat, lng))
    if len(bad):
        row = int(bad[0])
        raise BadFile(f"{path}: row {row + 1}: {lat[row]:g}, {lng[row]:g} is not on a road of this city")
    return lat, lng


def _read_nodes(path: Path, city: SimulatedCity, max_drivers: int) -> Starts:
    columns, _ = read_table(path, [Wanted("start_node", "number")], max_drivers)
    lat, lng = node_points(columns["start_node"], city)
    bad = np.flatnonzero(np.isnan(lat))
    if len(bad):
        raise BadFile(f"{path}: row {bad[0] + 1}, column 'start_node': there is no such node in this city")
    return lat, lng


def _usable(city: SimulatedCity, lat: FloatArray, lng: FloatArray) -> BoolArray:
    return city.inside(lat, lng) & city.places(lat, lng).on_road
