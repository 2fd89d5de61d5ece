"""On whole cities, too, travel is what scipy's Dijkstra finds on the same graph of turns: digit by digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.dijkstra import Reference
from core.geo import FloatArray
from maps.cities import City, CityBuild, build_city, load_city
from maps.eta import EtaIndex
from maps.roads import NO_EDGE
from maps.snap import Snaps

pytestmark = pytest.mark.slow

SOURCES, TARGETS = 64, 1_600  # of one set of weights: 102,400 pairs


def check(index: EtaIndex, seconds: FloatArray, seed: int) -> float:
    """Compares SOURCES x TARGETS pairs of random points; the share of them that can be reached."""
    rng = np.random.default_rng(seed)
    edges = rng.integers(0, index.roads.edge_count, SOURCES + TARGETS).astype(np.int32)
    points = Snaps(edges, rng.uniform(0.01, 0.99, len(edges)), np.zeros(len(edges)))
    sources, targets = points.take(slice(0, SOURCES)), points.take(slice(SOURCES, None))
    reference = Reference(index, seconds)
    expected, found = reference.table(sources, targets), index.table(sources, targets)
    street = np.minimum(edges, np.where(index.roads.opposite[edges] == NO_EDGE, edges, index.roads.opposite[edges]))
    apart = street[:SOURCES, None] != street[SOURCES:]
    np.testing.assert_array_equal(found.seconds[apart], expected.seconds[apart])
    np.testing.assert_array_equal(found.metres[apart], expected.metres[apart])
    assert (found.seconds[~apart] <= expected.seconds[~apart]).all()  # round trips are not in the reference
    assert apart.sum() > 100_000
    nodes = rng.integers(0, index.roads.node_count, 220)
    expected = reference.between_junctions(index, nodes[:20], nodes[20:])
    found_there = index.table(index.at_nodes(nodes[:20]), index.at_nodes(nodes[20:]))
    np.testing.assert_array_equal(found_there.seconds, expected.seconds)
    np.testing.assert_array_equal(found_there.metres, expected.metres)
    return float(np.isfinite(found.seconds).mean())


def check_all(city: City) -> None:
    """At free flow, in traffic, with a tenth of all streets closed, and open again."""
    index, roads = city.eta, city.roads
    rng = np.random.default_rng(7)
    assert check(index, roads.seconds, 1) == 1.0
    traffic = roads.seconds * rng.uniform(0.8, 5.0, roads.edge_count)
    index.update(traffic)
    assert check(index, traffic, 2) == 1.0
    closed = np.where(rng.random(roads.edge_count) < 0.1, np.inf, traffic)
    index.update(closed)
    assert 0.01 < check(index, closed, 3) < 1.0
    index.update(roads.seconds)
    assert check(index, roads.seconds, 1) == 1.0


def test_gothenburg(gothenburg_home: Path) -> None:
    check_all(load_city("gothenburg", gothenburg_home))


@pytest.mark.data
@pytest.mark.parametrize("file", ["manhattan_osmnx.osm.pbf", "porto.osm.pbf", "lower_manhattan.osm.pbf"])
def test_shared_cities(shared_data: Path, tmp_path: Path, file: str) -> None:
    build_city(CityBuild("city", shared_data / file, tmp_path))
    check_all(load_city("city", tmp_path))
