"""On whole cities, too, travel is what scipy's Dijkstra finds on the same graph of turns: every pair, digit by digit.

scipy adds up milliseconds times STEP plus centimetres, which a float holds exactly for ways of less than 18 hours and
335 km; so it finds the fastest way, and the shortest of equally fast ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sparse
from scipy.sparse.csgraph import dijkstra

from core.geo import FloatArray, IntArray
from maps.cities import City, CityBuild, build_city, load_city
from maps.eta import EtaIndex, Travel
from maps.snap import Snaps

pytestmark = pytest.mark.slow

SOURCES, TARGETS = 64, 1_600  # of one set of weights: 102,400 pairs
STEP = float(1 << 26)


class Reference:
    """scipy on the graph of turns of an index, with weights of its own making."""

    def __init__(self, index: EtaIndex, seconds: FloatArray) -> None:
        roads, turns = index.roads, index.turns
        self.opposite, self.turns = roads.opposite, turns
        self.edge = np.append(np.maximum(np.rint(1000 * seconds), 1) * STEP + np.rint(100 * roads.metres), np.inf)
        costs = self.edge[turns.edge[turns.after]] + turns.ms * STEP
        open_turns = np.isfinite(costs)
        ends = (turns.before[open_turns], turns.after[open_turns])
        self.graph = sparse.csr_matrix((costs[open_turns], ends), shape=(len(turns.edge),) * 2)

    def travel(self, sources: IntArray, targets: IntArray) -> Travel:
        """From the middle of each source edge to the middle of each target edge, however the streets are driven."""
        best = np.full((len(sources), len(targets)), np.inf)
        for starts in (sources, self.opposite[sources]):
            usable = np.isfinite(self.edge[starts])
            to_edges = np.full((len(sources), len(self.opposite) + 1), np.inf)
            to_edges[usable, :-1] = self._to_edges(starts[usable])
            for ends in (targets, self.opposite[targets]):
                with np.errstate(invalid="ignore"):  # inf less inf: a closed edge, or none in that direction
                    cost = to_edges[:, ends] + 0.5 * self.edge[starts][:, None] - 0.5 * self.edge[ends]
                best = np.fmin(best, np.where(starts[:, None] == ends, np.where(usable, 0.0, np.inf)[:, None], cost))
        half_ms = np.floor(best / (STEP / 2))
        centimetres = np.where(np.isfinite(best), best - half_ms * (STEP / 2), np.inf)
        return Travel(half_ms / 2 / 1000, centimetres / 100)

    def _to_edges(self, starts: IntArray) -> FloatArray:
        """The least cost to the end of every edge, whatever state a car is in there."""
        states = np.asarray(dijkstra(self.graph, indices=starts))
        edges = states[:, : len(self.opposite)]
        for further in range(len(self.opposite), states.shape[1]):
            edge = self.turns.edge[further]
            edges[:, edge] = np.minimum(edges[:, edge], states[:, further])
        return edges


def check(index: EtaIndex, seconds: FloatArray, seed: int) -> float:
    """Compares SOURCES x TARGETS pairs of random edges; the share of them that can be reached."""
    rng = np.random.default_rng(seed)
    sources, targets = (rng.integers(0, index.roads.edge_count, count) for count in (SOURCES, TARGETS))
    with np.errstate(invalid="ignore"):
        expected = Reference(index, seconds).travel(sources, targets)
    found = index.table(
        *(Snaps(e.astype(np.int32), np.full(len(e), 0.5), np.zeros(len(e))) for e in (sources, targets))
    )
    np.testing.assert_array_equal(found.seconds, expected.seconds)
    np.testing.assert_array_equal(found.metres, expected.metres)
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
