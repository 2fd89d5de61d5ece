"""Turns are those that the extract allows, and cost what Valhalla says they cost."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import osmium
import pytest
import valhalla

from maps.cities import City, CityBuild, build_city, load_city
from maps.eta import EtaIndex
from maps.paths import Paths
from maps.roads import NO_EDGE
from maps.snap import Snaps
from maps.tilebuild import TILES_FILE, build_tiles
from maps.tiles import Drivable, read_tiles
from tests.maps.towns import CORNERS, corner, town

pytestmark = pytest.mark.slow

LIGHT, BOLLARD, GATE = (1, 1), (2, 4), (4, 2)  # crossings with something on them


def node(row: int, column: int) -> int:
    return 1 + row * CORNERS + column


def street(row: int, column: int, *, north: bool) -> int:
    """The way that leads from a crossing to the north or to the east."""
    for number, refs, _ in town().ways:
        if refs == [node(row, column), node(row + north, column + (not north))]:
            return number
    raise AssertionError("no such street")


def restriction(kind: str, start: int, via: tuple[str, int], end: int) -> tuple[str, list[tuple[str, int, str]]]:
    return kind, [("w", start, "from"), (*via, "via"), ("w", end, "to")]


RESTRICTIONS = [
    restriction("no_left_turn", street(0, 1, north=False), ("n", node(0, 2)), street(0, 2, north=True)),
    restriction("only_straight_on", street(1, 2, north=False), ("n", node(1, 3)), street(1, 3, north=False)),
    # eastward on row 2, one block north, and back westward on row 3
    restriction("no_u_turn", street(2, 1, north=False), ("w", street(2, 2, north=True)), street(3, 1, north=False)),
]


def write_town_with_rules(path: Path) -> Path:
    """The town, with restrictions, a traffic light, a bollard and a gate."""
    extract = town()
    tags = {
        node(*LIGHT): {"highway": "traffic_signals"},
        node(*BOLLARD): {"barrier": "bollard"},
        node(*GATE): {"barrier": "gate"},
    }
    with osmium.SimpleWriter(str(path)) as writer:
        for number, (lng, lat) in enumerate(extract.nodes, start=1):
            writer.add_node(osmium.osm.mutable.Node(id=number, location=(lng, lat), tags=tags.get(number, {})))
        for number, refs, about in extract.ways:
            writer.add_way(osmium.osm.mutable.Way(id=number, nodes=refs, tags=about))
        for number, (kind, members) in enumerate(RESTRICTIONS, start=1):
            about = {"type": "restriction", "restriction": kind}
            writer.add_relation(osmium.osm.mutable.Relation(id=number, members=members, tags=about))
    return path


@pytest.fixture(scope="module")
def drivable(tmp_path_factory: pytest.TempPathFactory) -> Drivable:
    folder = tmp_path_factory.mktemp("rules")
    pbf = write_town_with_rules(folder / "town.osm.pbf")
    return read_tiles(build_tiles(pbf, folder, 60.0, lambda stage, share: None))


def edge(drivable: Drivable, start: tuple[int, int], end: tuple[int, int]) -> int:
    """The edge from one crossing to the next."""
    roads = drivable.roads
    at = np.column_stack([roads.node_lng, roads.node_lat])
    tail, head = (int(np.abs(at - corner(*place)).sum(axis=1).argmin()) for place in (start, end))
    return int(np.flatnonzero((roads.tail == tail) & (roads.head == head))[0])


def turn_s(drivable: Drivable, *places: tuple[int, int]) -> float | None:
    """The seconds of a turn at the middle one of three crossings, None when it is not allowed."""
    before, after = edge(drivable, places[0], places[1]), edge(drivable, places[1], places[2])
    turns = drivable.turns
    rows = np.flatnonzero((turns.before == before) & (turns.edge[turns.after] == after))
    return float(turns.ms[rows[0]]) / 1000 if len(rows) else None


def test_a_restriction_at_a_crossing_takes_its_turn_alone_away(drivable: Drivable) -> None:
    assert turn_s(drivable, (0, 1), (0, 2), (1, 2)) is None
    assert turn_s(drivable, (0, 1), (0, 2), (0, 3)) is not None
    assert turn_s(drivable, (0, 3), (0, 2), (1, 2)) is not None


def test_where_only_one_turn_is_allowed_the_others_are_not(drivable: Drivable) -> None:
    assert turn_s(drivable, (1, 2), (1, 3), (1, 4)) is not None
    assert turn_s(drivable, (1, 2), (1, 3), (2, 3)) is None
    assert turn_s(drivable, (1, 2), (1, 3), (0, 3)) is None
    assert turn_s(drivable, (1, 4), (1, 3), (2, 3)) is not None


def test_a_restriction_over_a_street_forbids_the_whole_way_and_no_part_of_it(drivable: Drivable) -> None:
    index = EtaIndex.of(drivable.roads, drivable.turns)
    corners = [(2, 1), (2, 2), (3, 2), (3, 1)]
    way = [edge(drivable, *pair) for pair in pairwise(corners)]
    assert turn_s(drivable, *corners[:3]) is not None
    assert turn_s(drivable, *corners[1:]) is not None
    points = Snaps(np.array(way, dtype=np.int32), np.array([0.9, 0.5, 0.1]), np.zeros(3))

    def driven(start: int, end: int) -> list[int]:
        ends = points.take(slice(start, start + 1)), points.take(slice(end, end + 1))
        return [piece.edge for piece in Paths(index).pieces(*ends)]

    assert driven(0, 1) == way[:2]
    assert driven(1, 2) == way[1:]
    assert driven(0, 2) != way


def test_a_traffic_light_and_a_gate_cost_time(drivable: Drivable) -> None:
    plain, light = turn_s(drivable, (3, 2), (3, 3), (3, 4)), turn_s(drivable, (1, 0), LIGHT, (1, 2))
    gate = turn_s(drivable, (4, 1), GATE, (4, 3))
    assert plain is not None
    assert light == pytest.approx(plain + 2.0, abs=0.01)
    assert gate == pytest.approx(plain + 30.0, abs=0.01)


def test_on_the_right_the_left_turn_takes_longer_than_the_right_turn(drivable: Drivable) -> None:
    left, right = turn_s(drivable, (3, 2), (3, 3), (4, 3)), turn_s(drivable, (3, 2), (3, 3), (2, 3))
    assert left is not None
    assert right is not None
    assert 0.5 < right < left < 8


def test_nobody_drives_through_a_bollard_but_may_turn_round_there(drivable: Drivable) -> None:
    assert turn_s(drivable, (1, 4), BOLLARD, (3, 4)) is None
    assert turn_s(drivable, (1, 4), BOLLARD, (1, 4)) is not None
    assert turn_s(drivable, (3, 3), (3, 4), (3, 3)) is None  # at a crossing that leads on nobody turns round


def valhalla_agrees(city: City, routes: int) -> None:
    """Every turn of Valhalla's own routes is allowed and takes the time that Valhalla says it takes."""
    config = json.loads(city.valhalla_config.read_text("utf-8"))
    config["mjolnir"]["tile_extract"] = str(city.pack_dir / TILES_FILE)
    actor = valhalla.Actor(config)
    row_of = {graph_id: row for row, graph_id in enumerate(city.roads.graph_id.tolist())}
    turns = city.eta.turns
    ms = dict(zip(zip(turns.before.tolist(), turns.edge[turns.after].tolist(), strict=True), turns.ms, strict=True))
    rng, compared = np.random.default_rng(11), 0
    for start, end in rng.integers(0, city.roads.node_count, (routes, 2)).tolist():
        places = [{"lat": at.lat, "lon": at.lng} for at in (city.roads.node(start), city.roads.node(end))]
        trip = actor.route({"locations": places, "costing": "auto", "directions_type": "none"})["trip"]
        names = ["edge.id", "node.elapsed_time", "node.transition_time"]
        found = actor.trace_attributes(
            {
                "encoded_polyline": trip["legs"][0]["shape"],
                "costing": "auto",
                "shape_match": "walk_or_snap",
                "filters": {"attributes": names, "action": "include"},
            }
        )["edges"]
        # the shape may lead over other edges than the route did, where a street is drawn twice
        if abs(found[-1]["end_node"]["elapsed_time"] - trip["summary"]["time"]) > 0.02:
            continue
        edges = [row_of.get(each["id"], NO_EDGE) for each in found]
        for pair, each in zip(pairwise(edges), found, strict=False):
            if NO_EDGE not in pair:  # the rest of the graph does not lead back
                assert ms[pair] / 1000 == pytest.approx(each["end_node"].get("transition_time", 0.0), abs=0.01)
                compared += 1
    assert compared > 20 * routes


def test_turns_of_valhallas_own_routes_take_the_time_that_it_says(gothenburg: City) -> None:
    valhalla_agrees(gothenburg, 60)


@pytest.mark.data
@pytest.mark.parametrize("file", ["porto.osm.pbf", "manhattan_osmnx.osm.pbf"])
def test_so_they_do_in_the_shared_cities(shared_data: Path, tmp_path: Path, file: str) -> None:
    build_city(CityBuild("shared", shared_data / file, tmp_path))
    valhalla_agrees(load_city("shared", tmp_path), 60)
