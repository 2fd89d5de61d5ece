"""The drivable graph is the one that the extract describes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import BadFile
from core.geo import haversine_m
from maps.cities import City
from maps.roads import NO_EDGE, ROAD_CLASSES, RoadGraph
from maps.tilebuild import build_tiles
from maps.tiles import Drivable, read_tiles
from tests.maps.towns import CORNERS, corner, write_town

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def drivable(tmp_path_factory: pytest.TempPathFactory) -> Drivable:
    folder = tmp_path_factory.mktemp("town")
    return read_tiles(build_tiles(write_town(folder), folder, 60.0, lambda stage, share: None))


@pytest.fixture
def roads(drivable: Drivable) -> RoadGraph:
    return drivable.roads


def edges_named(roads: RoadGraph, name: str) -> list[int]:
    return np.flatnonzero(roads.name == roads.names.index(name)).tolist()


def test_every_crossing_and_street_is_there_and_nothing_else(drivable: Drivable) -> None:
    roads = drivable.roads
    streets = 2 * CORNERS * (CORNERS - 1)
    assert roads.node_count == CORNERS**2
    assert roads.edge_count == 2 * streets + 1
    assert drivable.connected_share == pytest.approx(CORNERS**2 / (CORNERS**2 + 2))  # the island is left out
    assert "Island Road" not in roads.names
    assert {ROAD_CLASSES[number] for number in roads.road_class} == {"residential"}
    found = {(round(lng, 5), round(lat, 5)) for lat, lng in zip(roads.node_lat, roads.node_lng, strict=True)}
    expected = {corner(row, column) for row in range(CORNERS) for column in range(CORNERS)}
    assert found == {(round(lng, 5), round(lat, 5)) for lng, lat in expected}


def test_streets_carry_their_names_lengths_and_speeds(roads: RoadGraph) -> None:
    for name, kph, count in (("Row 2", 40, 8), ("Column 1", 50, 8)):
        edges = edges_named(roads, name)
        assert len(edges) == count
        for edge in edges:
            length = haversine_m(roads.node(roads.tail[edge]), roads.node(roads.head[edge]))
            assert roads.metres[edge] == pytest.approx(length, abs=1.5)
            assert roads.seconds[edge] == pytest.approx(roads.metres[edge] * 3.6 / kph, rel=1e-6)


def test_a_two_way_street_is_a_pair_and_a_one_way_street_is_alone(roads: RoadGraph) -> None:
    (loop,) = edges_named(roads, "Northern Loop")
    paired = np.flatnonzero(roads.opposite != NO_EDGE)
    assert roads.opposite[loop] == NO_EDGE
    assert len(paired) == roads.edge_count - 1
    back = roads.opposite[paired]
    np.testing.assert_array_equal(roads.opposite[back], paired)
    np.testing.assert_array_equal(roads.tail[back], roads.head[paired])


def test_geometry_runs_from_tail_to_head_through_every_bend(roads: RoadGraph) -> None:
    (loop,) = edges_named(roads, "Northern Loop")
    points = slice(roads.point_at[loop], roads.point_at[loop + 1])
    assert (np.diff(roads.point_lng[points]) > 0).all()  # it is one-way to the east
    assert len(roads.point_lat[points]) == 3
    starts, ends = roads.point_at[:-1], roads.point_at[1:] - 1
    np.testing.assert_array_equal(roads.point_lat[starts], roads.node_lat[roads.tail])
    np.testing.assert_array_equal(roads.point_lng[ends], roads.node_lng[roads.head])


def test_graph_ids_are_all_different(roads: RoadGraph) -> None:
    assert len(set(roads.graph_id.tolist())) == roads.edge_count


def test_a_tile_that_is_cut_off_is_refused_by_name(tmp_path: Path) -> None:
    tiles = build_tiles(write_town(tmp_path), tmp_path, 60.0, lambda stage, share: None)
    tile = next(tiles.rglob("*.gph"))
    tile.write_bytes(tile.read_bytes()[:300])
    with pytest.raises(BadFile, match=tile.name):
        read_tiles(tiles)


def test_lines_hold_every_street_once(roads: RoadGraph) -> None:
    collection = roads.lines_geojson()
    (feature,) = collection["features"]
    assert feature["properties"] == {"class": "residential"}
    assert len(feature["geometry"]["coordinates"]) == (roads.edge_count - 1) // 2 + 1
    lng, lat = feature["geometry"]["coordinates"][0][0]
    assert 11 < lng < 13
    assert 57 < lat < 58


def test_a_real_city_is_one_connected_whole_of_honest_lengths(gothenburg: City) -> None:
    roads = gothenburg.roads
    everywhere, here = (gothenburg.eta.at_nodes(nodes) for nodes in (np.arange(roads.node_count), np.array([0])))
    assert np.isfinite(gothenburg.eta.one_to_snapped(here, everywhere).seconds).all()
    assert np.isfinite(gothenburg.eta.to_one_snapped(everywhere, here).seconds).all()
    assert roads.node_count > 15_000
    steps = np.hypot(np.diff(roads.point_lat), np.diff(roads.point_lng) * np.cos(np.radians(57.7))) * 111_195
    steps[roads.point_at[1:-1] - 1] = 0.0
    drawn = np.add.reduceat(np.append(steps, 0.0), roads.point_at[:-1])
    assert np.abs(drawn - roads.metres).max() < 10
    assert np.median(np.abs(drawn - roads.metres)) < 0.5
