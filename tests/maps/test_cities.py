"""City packs: built whole or not at all, checked when loaded, refused with the reason."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from cities import bundled_pbf
from core.errors import BadFile, Conflict, InvalidInput, NotFound, Unavailable
from core.geo import LatLng
from maps.cities import City, CityBuild, build_city, load_city
from maps.cityinfo import list_cities, show_city
from maps.packs import MANIFEST_FILE, PART_FILES, current_version
from runtime.home import default_home
from runtime.settings import MapSettings
from tests.maps.towns import CORNERS, corner, write_town

pytestmark = pytest.mark.slow


def files(home: Path) -> list[str]:
    """Everything in a home but the lock."""
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.name != ".lock")


def test_a_built_city_can_be_listed_shown_and_loaded(tmp_path: Path) -> None:
    pbf = write_town(tmp_path)
    seen: list[tuple[str, float]] = []
    built = build_city(CityBuild("town", pbf, tmp_path / "home"), lambda stage, share: seen.append((stage, share)))
    assert [share for _, share in seen] == sorted(share for _, share in seen)
    assert seen[-1] == ("done", 1.0)
    assert list_cities(tmp_path / "home") == [built] == [show_city("town", tmp_path / "home")]
    city = load_city("town", tmp_path / "home")
    assert (city.roads.node_count, city.fingerprint) == (CORNERS**2, built.fingerprint)
    assert built.bounds is not None
    south, west, north, east = built.bounds
    assert south < city.centre.lat < north
    assert west < city.centre.lng < east


def test_a_pack_needs_neither_its_source_nor_the_place_where_it_was_built(tmp_path: Path) -> None:
    pbf = write_town(tmp_path)
    build_city(CityBuild("town", pbf, tmp_path / "home"))
    pbf.unlink()
    shutil.move(tmp_path / "home", tmp_path / "moved")
    city = load_city("town", tmp_path / "moved")
    assert city.paths.path(city.roads.node(0), city.roads.node(7)).duration_s > 0
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in city.pack_dir.iterdir())


def test_the_same_extract_gives_the_same_fingerprint_wherever_it_lies(tmp_path: Path) -> None:
    pbf = write_town(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    copy = write_town(tmp_path / "elsewhere", "other.osm.pbf")
    first = build_city(CityBuild("one", pbf, tmp_path / "home"))
    second = build_city(CityBuild("two", copy, tmp_path / "home"))
    assert first.fingerprint == second.fingerprint


def test_a_taken_name_is_refused_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    pbf, home = write_town(tmp_path), tmp_path / "home"
    build_city(CityBuild("town", pbf, home))
    with pytest.raises(Conflict, match="'town' exists already") as caught:
        build_city(CityBuild("town", pbf, home))
    assert caught.value.code == "city_exists"
    running = load_city("town", home)
    for _ in range(2):
        build_city(CityBuild("town", pbf, home, replace=True))
    assert current_version("town", home) != running.pack_dir
    assert len([path for path in (home / "town").iterdir() if path.is_dir()]) == 2  # this one and the one before
    assert load_city("town", home).roads.node_count == CORNERS**2


@pytest.mark.parametrize("replace", [False, True])
def test_builds_side_by_side_leave_one_whole_pack(tmp_path: Path, replace: bool) -> None:
    pbf, home = write_town(tmp_path), tmp_path / "home"
    outcomes: list[str] = []

    def build() -> None:
        try:
            build_city(CityBuild("town", pbf, home, replace=replace))
            outcomes.append("built")
        except Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("built") == (4 if replace else 1)
    assert len(outcomes) == 4
    assert load_city("town", home).roads.node_count == CORNERS**2
    assert not [name for name in files(home) if name.startswith(".building")]


def broken_pbf(folder: Path, kind: str) -> Path:
    """An extract that cannot be used."""
    path = folder / f"{kind}.osm.pbf"
    good = bundled_pbf().read_bytes()
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "cut-off":
            path.write_bytes(good[: len(good) // 2])
        case "flipped":
            path.write_bytes(good[:300_000] + bytes(64) + good[300_064:])
        case "text":
            path.write_text("<osm></osm>\n" * 100, "utf-8")
        case "footways":
            write_town(folder, path.name, highway="footway")
        case "folder":
            path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["empty", "cut-off", "flipped", "text", "footways", "folder", "missing"])
def test_an_extract_that_cannot_be_used_is_refused_by_name_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    pbf, home = broken_pbf(tmp_path, kind), tmp_path / "home"
    with pytest.raises(BadFile) as caught:
        build_city(CityBuild("town", pbf, home))
    assert caught.value.detail.startswith(f"{pbf}: ")
    assert len(caught.value.detail) > len(f"{pbf}: ") + 10
    assert str(home) not in caught.value.detail
    assert not home.exists() or files(home) == []
    with pytest.raises(NotFound):
        load_city("town", home)


def test_a_failed_replacement_leaves_the_city_as_it_was(tmp_path: Path) -> None:
    home = tmp_path / "home"
    build_city(CityBuild("town", write_town(tmp_path), home))
    with pytest.raises(BadFile):
        build_city(CityBuild("town", broken_pbf(tmp_path, "cut-off"), home, replace=True))
    assert load_city("town", home).roads.node_count == CORNERS**2


@pytest.mark.parametrize("name", ["", "Town", "a" * 41, "../town", "a b", "a.b", "ö", "town\n"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    for attempt in (
        lambda: build_city(CityBuild(name, bundled_pbf(), tmp_path)),
        lambda: load_city(name, tmp_path),
        lambda: show_city(name, tmp_path),
    ):
        with pytest.raises(InvalidInput, match="not a city name"):
            attempt()


@pytest.mark.parametrize("file", [*PART_FILES, "tiles.tar", "traffic.tar", "valhalla.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut off", "changed", "gone"])
def test_a_damaged_pack_is_refused_naming_the_file(
    gothenburg_home: Path, tmp_path: Path, file: str, damage: str
) -> None:
    (tmp_path / "gothenburg").mkdir()
    version = current_version("gothenburg", gothenburg_home)
    shutil.copytree(version, tmp_path / "gothenburg" / version.name)
    shutil.copy(version.parent / "current", tmp_path / "gothenburg" / "current")
    load_city("gothenburg", tmp_path)
    path = tmp_path / "gothenburg" / version.name / file
    content = path.read_bytes()
    match damage:
        case "cut off":
            path.write_bytes(content[: len(content) // 2])
        case "changed":
            path.write_bytes(content[:100] + bytes([content[100] ^ 128]) + content[101:])
        case "gone":
            path.unlink()
    with pytest.raises(BadFile, match=file):
        load_city("gothenburg", tmp_path)


def test_a_manifest_that_was_edited_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    build_city(CityBuild("town", write_town(tmp_path), home))
    path = current_version("town", home) / MANIFEST_FILE
    path.write_text(path.read_text("utf-8").replace(f'"nodes": {CORNERS**2}', '"nodes": 24'), "utf-8")
    with pytest.raises(BadFile, match="checksum is wrong"):
        show_city("town", home)


def test_a_pack_of_another_format_says_how_to_get_a_new_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    build_city(CityBuild("town", write_town(tmp_path), home))
    path = current_version("town", home) / MANIFEST_FILE
    content = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode(content | {"format": 99}))
    with pytest.raises(BadFile, match=r"format 99.*hexcab city add"):
        load_city("town", home)
    (listed,) = list_cities(home)
    assert "format 99" in listed.problem


def test_what_a_killed_build_left_is_swept_by_the_next_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    nobody = home / ".building-4194305-abc"  # beyond the largest process id
    somebody = home / f".building-{os.getppid()}-abc"
    nobody.mkdir(parents=True)
    somebody.mkdir()
    build_city(CityBuild("town", write_town(tmp_path), home))
    assert not nobody.exists()
    assert somebody.exists()


def test_a_build_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="took longer"):
        build_city(CityBuild("town", bundled_pbf(), tmp_path / "home"), settings=MapSettings(build_timeout_s=0.05))


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, not a folder", "utf-8")
    with pytest.raises(Unavailable, match="cannot be written"):
        build_city(CityBuild("town", write_town(tmp_path), tmp_path / "home"))


def test_the_home_is_the_named_one_else_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEXCAB_HOME", str(tmp_path))
    assert default_home() == tmp_path
    monkeypatch.delenv("HEXCAB_HOME")
    assert default_home().name == "hexcab"


def test_the_service_area_surrounds_the_roads_by_its_margin(gothenburg: City) -> None:
    roads = gothenburg.roads
    assert gothenburg.inside(roads.point_lat, roads.point_lng).all()
    south, west, north, east = gothenburg.bounds
    assert not gothenburg.inside(np.array([south - 0.05, north + 0.05]), np.array([west - 0.05, east + 0.05])).any()
    northmost = int(roads.point_lat.argmax())
    lat, lng = float(roads.point_lat[northmost]), float(roads.point_lng[northmost])
    assert gothenburg.zones.contains(lat + 0.0040, lng)
    assert not gothenburg.zones.contains(lat + 0.0050, lng)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "file", "nodes"), [("manhattan", "manhattan_osmnx.osm.pbf", 4_000), ("porto", "porto.osm.pbf", 60_000)]
)
def test_the_shared_cities_build_and_are_connected(
    shared_data: Path, tmp_path: Path, name: str, file: str, nodes: int
) -> None:
    built = build_city(CityBuild(name, shared_data / file, tmp_path))
    assert built.nodes > nodes
    assert built.connected_pct > 95
    city = load_city(name, tmp_path)
    everywhere, here = (city.eta.at_nodes(nodes) for nodes in (np.arange(city.roads.node_count), np.array([0])))
    assert np.isfinite(city.eta.one_to_snapped(here, everywhere).seconds).all()


def a_zone(west: float, south: float, ring_closed: bool = True, **properties: Any) -> dict[str, Any]:
    ring = [[west, south], [west + 0.002, south], [west + 0.002, south + 0.002], [west, south + 0.002], [west, south]]
    geometry = {"type": "Polygon", "coordinates": [ring if ring_closed else ring[:-1]]}
    return {
        "type": "Feature",
        "properties": {"kind": "surge_floor", "surge": 1.5, "name": "Fair"} | properties,
        "geometry": geometry,
    }


def write_zones(folder: Path, *features: dict[str, Any]) -> Path:
    path = folder / "zones.geojson"
    path.write_bytes(msgspec.json.encode({"type": "FeatureCollection", "features": features}))
    return path


def test_a_pack_has_its_zones(tmp_path: Path) -> None:
    home, (west, south) = tmp_path / "home", corner(0, 0)
    area = a_zone(west, south, kind="service_area", name="Town")
    zones = write_zones(tmp_path, a_zone(west, south), area)
    build_city(CityBuild("town", write_town(tmp_path), home, zones=zones))
    zones.unlink()
    city = load_city("town", home)
    assert [zone.zone_id for zone in city.pack_zones] == ["zone-1", "zone-2"]
    assert city.zones.surge_floor(LatLng(south + 0.001, west + 0.001)) == 1.5
    assert city.inside(np.array([south + 0.001, south + 0.003]), np.full(2, west)).tolist() == [True, False]
    (city.pack_dir / "zones.geojson").write_text("{}", "utf-8")
    with pytest.raises(BadFile, match=r"zones\.geojson: the city pack is damaged"):
        load_city("town", home)


@pytest.mark.parametrize(
    ("feature", "reason"),
    [
        (a_zone(11.95, 57.70, ring_closed=False), r"features\[0\]\.geometry\.coordinates\[0\]: is not closed"),
        (a_zone(57.70, 11.95), "swapped"),
        (a_zone(18.0, 59.3), "outside the city"),
    ],
)
def test_a_pack_with_a_wrong_zone_is_not_made(tmp_path: Path, feature: dict[str, Any], reason: str) -> None:
    home = tmp_path / "home"
    with pytest.raises(BadFile, match=f"zones.geojson: .*{reason}"):
        build_city(CityBuild("town", write_town(tmp_path), home, zones=write_zones(tmp_path, feature)))
    assert list_cities(home) == []
