"""Cities from CSV tables, as other simulators have them: exact, and refused with file, row and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.decider import rules
from core.errors import BadFile, InvalidInput
from core.geo import LatLng, haversine_m
from maps.cities import City, CityBuild, build_city, load_city
from maps.cityinfo import show_city
from maps.csvroads import CsvTables, read_tables
from maps.roads import ROAD_CLASSES
from maps.routes import RouteWorkers
from runtime.settings import Settings
from runtime.simulator_settings import SimulatorSettings
from simulator.model import SimulationAsk, quiet
from simulator.service import load, run
from simulator.streets import Streets

LIMIT = 100
NODES = "node_index,is_stop_only,pos_x,pos_y\n10,False,0,0\n20,False,1000,0\n30,False,1000,500\n40,False,9000,9000\n"
EDGES = (
    "from_node,to_node,distance,travel_time,arterial\n"
    "10,20,1000,100,1\n20,10,1000,110,1\n20,30,500,60,0\n30,20,500,60,0\n30,10,1200,90,0\n30,40,9999,900,0\n"
)


def tables(folder: Path, nodes: str = NODES, edges: str = EDGES, crs: str | None = None) -> CsvTables:
    (folder / "nodes.csv").write_text(nodes, "utf-8")
    (folder / "edges.csv").write_text(edges, "utf-8")
    return CsvTables(folder / "nodes.csv", folder / "edges.csv", crs)


def test_the_connected_part_is_read(tmp_path: Path) -> None:
    drivable = read_tables(tables(tmp_path), LIMIT)
    roads = drivable.roads
    assert (roads.node_count, roads.edge_count) == (3, 5), "no road leads back from node 40"
    assert drivable.connected_share == 0.75
    assert roads.seconds.tolist() == [100.0, 110.0, 60.0, 60.0, 90.0]
    assert roads.graph_id.tolist() == [0, 1, 2, 3, 4], "the rows of the table"
    assert [ROAD_CLASSES[each] for each in roads.road_class] == ["primary"] * 2 + ["residential"] * 3
    assert roads.opposite.tolist() == [1, 0, 3, 2, -1]
    assert roads.tail.tolist() == [0, 1, 1, 2, 2]
    assert roads.head.tolist() == [1, 0, 2, 1, 0]


def test_without_a_coordinate_system_positions_are_metres_on_a_plane(tmp_path: Path) -> None:
    roads = read_tables(tables(tmp_path), LIMIT).roads
    assert haversine_m(roads.node(0), roads.node(1)) == pytest.approx(1000, rel=1e-4)
    assert haversine_m(roads.node(1), roads.node(2)) == pytest.approx(500, rel=1e-4)


def test_a_coordinate_system_is_followed(tmp_path: Path) -> None:
    nodes = "node_index,pos_x,pos_y\n10,500000,5300000\n20,501000,5300000\n30,501000,5300500\n40,509000,5309000\n"
    roads = read_tables(tables(tmp_path, nodes, crs="EPSG:32632"), LIMIT).roads
    assert haversine_m(roads.node(0), LatLng(47.85334, 9.0)) < 20
    assert haversine_m(roads.node(0), roads.node(1)) == pytest.approx(1000, rel=5e-3)


def test_cars_turn_round_at_a_stop_and_never_pass_it(tmp_path: Path) -> None:
    nodes = "node_index,is_stop_only,pos_x,pos_y\n1,0,0,0\n2,1,100,0\n3,0,200,0\n4,0,100,300\n"
    two_way = [(1, 2, 10), (2, 3, 10), (1, 4, 100), (4, 3, 100)]
    edges = "from_node,to_node,distance,travel_time\n" + "".join(
        f"{a},{b},100,{s}\n{b},{a},100,{s}\n" for a, b, s in two_way
    )
    build_city(CityBuild("stops", tables(tmp_path, nodes, edges), tmp_path / "home"))
    city = load_city("stops", tmp_path / "home")
    first, stop, third = (city.eta.at_nodes(np.array([node])) for node in (0, 1, 2))
    assert city.eta.pairs(first, third).seconds.tolist() == [200.0], "not 20, by the stop"
    assert city.eta.pairs(first, stop).seconds.tolist() == [10.0]


WRONG = {
    "a column is missing": ({"nodes": "node_index,pos_x\n1,2\n"}, r"nodes\.csv: column 'pos_y' is missing"),
    "a column twice": ({"nodes": "node_index,pos_x,pos_x,pos_y\n"}, "column 'pos_x' is there more than once"),
    "no header": ({"nodes": ""}, r"nodes\.csv: column 'node_index' is missing; there are: none"),
    "no rows": ({"nodes": "node_index,pos_x,pos_y\n"}, r"nodes\.csv: has no rows"),
    "no edges": ({"edges": "from_node,to_node,distance,travel_time\n"}, r"edges\.csv: has no rows"),
    "no number of a node": ({"nodes": NODES.replace("20,", "2O,")}, "row 2, column 'node_index': .*'2O'"),
    "a node twice": ({"nodes": NODES.replace("20,", "10,")}, "row 2, column 'node_index': 10 is there more than once"),
    "no position": ({"nodes": NODES.replace("1000,500", "1000,north")}, "row 3, column 'pos_y': must be a number"),
    "position nowhere": ({"nodes": NODES.replace("1000,500", "nan,500")}, "row 3, column 'pos_x': must be a number"),
    "position far": ({"nodes": NODES.replace("1000,500", "1000,5e9")}, "row 1, column 'pos_x': .* is no place"),
    "no switch": ({"nodes": NODES.replace("10,False", "10,maybe")}, "row 1, column 'is_stop_only'"),
    "unknown node": ({"edges": EDGES.replace("20,30", "20,31")}, "row 3, column 'to_node': there is no node 31"),
    "a loop": ({"edges": EDGES.replace("20,30", "20,20")}, "row 3, column 'to_node': the road ends where it begins"),
    "negative length": ({"edges": EDGES.replace("500,60,0\n30", "-1,60,0\n30")}, "row 3, column 'distance': .* from 0"),
    "no time": ({"edges": EDGES.replace("1000,100", "1000,0")}, "row 1, column 'travel_time': must be more than 0"),
    "endless time": ({"edges": EDGES.replace("1000,100", "1000,inf")}, "row 1, column 'travel_time'"),
    "a cell too many": ({"edges": EDGES.replace("30,20,", "30,20,1,")}, "row 4 has 6 fields, the header 5"),
    "an open quote": ({"edges": EDGES + '"30'}, r"edges\.csv: row 7: "),
    "nothing leads back": ({"edges": EDGES[: EDGES.index("20,10,")]}, r"edges\.csv: no road leads back"),
    "too many rows": ({"nodes": NODES + "".join(f"{n},0,0,{n}\n" for n in range(100, 200))}, "more than 100 rows"),
}


@pytest.mark.parametrize(("content", "reason"), WRONG.values(), ids=WRONG)
def test_a_table_that_cannot_be_used_is_named_with_row_and_column(
    tmp_path: Path, content: dict[str, str], reason: str
) -> None:
    with pytest.raises(BadFile, match=reason):
        read_tables(tables(tmp_path, **content), LIMIT)


def test_a_table_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    given = tables(tmp_path)
    given.nodes.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match=r"nodes\.csv: is not UTF-8 text"):
        read_tables(given, LIMIT)
    given.nodes.unlink()
    with pytest.raises(BadFile, match=r"nodes\.csv: cannot be read: No such file"):
        build_city(CityBuild("town", given, tmp_path / "home"))


@pytest.mark.parametrize("crs", ["EPSG:999999", "metres", ""])
def test_a_coordinate_system_that_nobody_knows_is_refused(tmp_path: Path, crs: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_tables(tables(tmp_path, crs=crs), LIMIT)
    assert refused.value.code == "bad_crs"


@pytest.fixture
def town(tmp_path: Path) -> City:
    build_city(CityBuild("town", tables(tmp_path), tmp_path / "home"))
    return load_city("town", tmp_path / "home")


def test_a_pack_of_tables_says_that_it_has_no_tiles(tmp_path: Path, town: City) -> None:
    shown = show_city("town", tmp_path / "home")
    assert (shown.valhalla, shown.source, shown.fingerprint) == ("none", "nodes.csv, edges.csv", town.fingerprint)
    assert town.valhalla_config is None
    assert town.paths.path(town.roads.node(0), town.roads.node(2)).duration_s == pytest.approx(160, abs=0.01)


async def test_without_tiles_routes_are_refused_and_trails_stay_raw(town: City) -> None:
    routes = RouteWorkers(town.valhalla_config)
    with pytest.raises(InvalidInput) as refused:
        await routes.route(town.roads.node(0), town.roads.node(2))
    assert refused.value.code == "no_tiles"
    matched = await routes.match(town.roads.node_lat[:2], town.roads.node_lng[:2], np.array([0.0, 60.0]))
    assert matched.parts == []
    await routes.aclose()


@pytest.mark.data
@pytest.mark.parametrize("name", ["grid40_s", "grid40_l"])
def test_every_trip_of_the_shared_scenarios_takes_the_time_they_say(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    folder = shared_data / "scenarios" / name
    given = CsvTables(folder / "nodes.csv", folder / "edges.csv", "EPSG:32632")
    built = build_city(CityBuild(name.replace("_", "-"), given, tmp_path))
    assert (built.nodes, built.edges, built.connected_pct) == (1600, 6240, 100.0)
    requests = np.genfromtxt(folder / "requests.csv", delimiter=",", names=True)
    eta = load_city(built.name, tmp_path).eta
    start, end = (eta.at_nodes(requests[column].astype(np.int64)) for column in ("start", "end"))
    assert np.array_equal(eta.pairs(start, end).seconds, requests["direct_tt"])


@pytest.mark.data
def test_a_shared_scenario_is_simulated_as_it_is(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "scenarios" / "grid40_s"
    build_city(CityBuild("grid", CsvTables(folder / "nodes.csv", folder / "edges.csv", "EPSG:32632"), tmp_path))
    streets = Streets(load_city("grid", tmp_path))
    limits = SimulatorSettings()
    ask = SimulationAsk(trips=folder / "requests.csv", fleet=folder / "fleet.csv", max_wait_s=300.0)
    scenario = load(ask, streets, quiet, limits)
    given = np.genfromtxt(folder / "requests.csv", delimiter=",", names=True)
    order = scenario.requests.row - 1
    assert (len(scenario.requests), scenario.rejected) == (800, {})
    assert np.array_equal(scenario.requests.direct_s, given["direct_tt"][order])
    report = run(ask, streets, rules(Settings()))
    assert (report.requests, report.drivers) == (800, 60)
    assert report.wait_s.p95 is not None
    assert report.wait_s.p95 <= 300
    assert report.served > 700


def test_junctions_of_a_city_have_the_tables_numbers(town: City) -> None:
    lat, lng = Streets(town).node_points(np.array([30, 10, 40, -1]))
    assert lat[:2].tolist() == town.roads.node_lat[[2, 0]].tolist()
    assert lng[:2].tolist() == town.roads.node_lng[[2, 0]].tolist()
    assert np.isnan(lat[2:]).all(), "node 40 is not connected, -1 is not there"
