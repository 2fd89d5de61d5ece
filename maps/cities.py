"""Cities: build a city pack from an OpenStreetMap extract once, load it in a second."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import shapely

from core.errors import BadFile
from core.geo import BoolArray, FloatArray, LatLng
from maps.eta import EtaIndex
from maps.packs import (
    FORMAT,
    PART_FILES,
    Manifest,
    Prepared,
    already_there,
    building,
    check_name,
    current_version,
    describe,
    load_parts,
    pack_names,
    publish,
    read_manifest,
    save_parts,
    sha256_of,
    verify,
)
from maps.paths import Paths
from maps.roads import RoadGraph
from maps.snap import METRES_PER_DEGREE, SnapIndex, build_grid
from maps.tilebuild import CONFIG_FILE, TILES_FILE, Progress, build_tiles, pack_tiles
from maps.tiles import Drivable, read_tiles
from maps.tree import build_tree
from maps.zonejson import collection_of, read_zone_file
from maps.zones import Zone, Zones, in_force
from runtime.settings import MapSettings

ZONES_FILE = "zones.geojson"

_TILES_SHARE = 0.6  # of the time of a build

__all__ = ["City", "CityBuild", "CityInfo", "build_city", "list_cities", "load_city", "show_city"]


@dataclass(frozen=True, slots=True)
class CityBuild:
    """What to build: a city's name, its OpenStreetMap extract (.osm.pbf) and zones (GeoJSON), and where packs live."""

    name: str
    pbf: Path
    home: Path
    replace: bool = False
    zones: Path | None = None


class CityInfo(msgspec.Struct, frozen=True):
    """What `hexcab city list` and `show` tell; `problem` says why a pack cannot be used, "" when it can."""

    name: str
    fingerprint: str = ""
    source: str = ""
    nodes: int = 0
    edges: int = 0
    road_km: float = 0.0
    connected_pct: float = 0.0
    bounds: tuple[float, float, float, float] | None = None  # south, west, north, east
    size_mb: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class City:
    """A loaded city. `bounds` are south, west, north, east.

    `around` is the area around the roads, which is the service area where no zone is one; `zones` are those in force as
    long as nobody has changed any.
    """

    name: str
    fingerprint: str
    pack_dir: Path
    roads: RoadGraph
    eta: EtaIndex
    paths: Paths
    bounds: tuple[float, float, float, float]
    centre: LatLng
    pack_zones: tuple[Zone, ...]
    around: Zone
    zones: Zones

    @property
    def valhalla_config(self) -> Path:
        """The configuration that route workers start from."""
        return self.pack_dir / CONFIG_FILE

    def inside(self, lat: FloatArray, lng: FloatArray) -> BoolArray:
        """Which of n points lie in the service area, shape (n,)."""
        return self.zones.inside(lat, lng)


def _silent(stage: str, share: float) -> None:
    """Progress that nobody watches."""


def build_city(ask: CityBuild, progress: Progress = _silent, settings: MapSettings | None = None) -> CityInfo:
    """Build a city pack; it is there as a whole or not at all, and builds may run side by side.

    Raises InvalidInput for a bad name, Conflict when the name is taken (and `replace` is not set), BadFile naming the
    extract and the reason when it has no usable roads, or the zones' file and the feature that is wrong, Unavailable
    when the pack cannot be written.
    """
    settings = settings or MapSettings()
    check_name(ask.name)
    if not ask.replace and ask.name in pack_names(ask.home):
        raise already_there(ask.name)
    try:
        source_sha256 = sha256_of(ask.pbf)
    except OSError as error:
        raise BadFile(f"{ask.pbf}: cannot be read: {error.strerror}") from error
    if ask.zones is not None:
        read_zone_file(ask.zones, settings)  # before the long work; below it is held against the roads
    progress("reading the extract", 0.0)
    with building(ask.home) as work:
        tiles = build_tiles(
            ask.pbf, work, settings.build_timeout_s, lambda stage, share: progress(stage, _TILES_SHARE * share)
        )
        progress("reading the roads", _TILES_SHARE)
        try:
            drivable = read_tiles(tiles)
        except BadFile as error:
            raise BadFile(str(error.detail).replace(str(tiles), str(ask.pbf))) from error
        progress("ordering the roads", _TILES_SHARE + 0.1)
        roads, turns = drivable.roads, drivable.turns
        prepared = Prepared(roads, turns, build_tree(roads, turns), build_grid(roads))
        progress("writing the city pack", 0.97)
        version = work / work.name.rpartition("-")[2]
        version.mkdir()
        pack_tiles(tiles, version)
        save_parts(prepared, version)
        if ask.zones is not None:
            zones = collection_of(read_zone_file(ask.zones, settings, roads.bounds()))
            (version / ZONES_FILE).write_bytes(msgspec.json.encode(zones))
        manifest = _manifest(ask, source_sha256, version, drivable)
        publish(version, manifest, ask.home, replace=ask.replace)
    progress("done", 1.0)
    return _info(manifest)


def _manifest(ask: CityBuild, source_sha256: str, version: Path, drivable: Drivable) -> Manifest:
    from valhalla import __version__ as valhalla_version

    graph, turns = drivable.roads, drivable.turns
    zones = () if ask.zones is None else (ZONES_FILE,)
    print_of = hashlib.sha256(f"{FORMAT} {source_sha256} {valhalla_version}".encode())
    for array in (
        graph.tail,
        graph.head,
        graph.seconds,
        graph.metres,
        graph.graph_id,
        turns.before,
        turns.after,
        turns.ms,
    ):
        print_of.update(np.ascontiguousarray(array).tobytes())
    return Manifest(
        format=FORMAT,
        name=ask.name,
        fingerprint=print_of.hexdigest()[:16],
        source=ask.pbf.name,
        source_sha256=source_sha256,
        valhalla=valhalla_version,
        nodes=graph.node_count,
        edges=graph.edge_count,
        road_km=round(float(graph.metres[graph.lone_edges()].sum()) / 1000, 1),
        connected_share=round(drivable.connected_share, 4),
        bounds=graph.bounds(),
        files=describe(version, *PART_FILES, *zones, TILES_FILE, CONFIG_FILE),
    )


def load_city(name: str, home: Path, settings: MapSettings | None = None) -> City:
    """Load a city pack. Raises NotFound when there is none of that name, BadFile when it is damaged."""
    settings = settings or MapSettings()
    version = current_version(name, home)
    manifest = read_manifest(version)
    verify(version, manifest)
    parts = load_parts(version)
    roads = parts.roads
    eta = EtaIndex(roads, parts.turns, parts.tree, SnapIndex(roads, parts.grid, settings.snap_m))
    paths = Paths(eta)
    south, west, north, east = manifest.bounds
    here = roads.node(0)
    # so that the first rider does not wait for the compiler
    eta.to_one(np.array([here.lat]), np.array([here.lng]), here)
    paths.path(here, roads.node(roads.node_count - 1))
    around = _around(roads, settings.service_margin_m)
    pack_zones = _pack_zones(version, manifest, settings)
    return City(
        name=name,
        fingerprint=manifest.fingerprint,
        pack_dir=version,
        roads=roads,
        eta=eta,
        paths=paths,
        bounds=manifest.bounds,
        centre=LatLng((south + north) / 2, (west + east) / 2),
        pack_zones=pack_zones,
        around=around,
        zones=in_force(pack_zones, {}, around),
    )


def _pack_zones(version: Path, manifest: Manifest, settings: MapSettings) -> tuple[Zone, ...]:
    if ZONES_FILE not in manifest.files:
        return ()
    return tuple(read_zone_file(version / ZONES_FILE, settings))


def _around(roads: RoadGraph, margin_m: float) -> Zone:
    """The convex hull of all roads and a margin around it."""
    scale = np.array([METRES_PER_DEGREE * np.cos(np.radians(roads.node_lat.mean())), METRES_PER_DEGREE])
    points = np.column_stack([roads.point_lng, roads.point_lat]) * scale
    # one line through all of them has the same hull and is made in a moment
    hull = shapely.buffer(shapely.convex_hull(shapely.linestrings(points)), margin_m)
    area = shapely.transform(hull, lambda corners: corners / scale)
    return Zone("roads", "service_area", "around the roads", area)


def list_cities(home: Path) -> list[CityInfo]:
    """Every city that has a pack, by name, the damaged ones with their problem."""
    found = []
    for name in pack_names(home):
        try:
            found.append(show_city(name, home))
        except BadFile as error:
            found.append(CityInfo(name=name, problem=error.detail))
    return found


def show_city(name: str, home: Path) -> CityInfo:
    """What a city's pack holds. Raises NotFound, and BadFile when its manifest is damaged."""
    return _info(read_manifest(current_version(name, home)))


def _info(manifest: Manifest) -> CityInfo:
    return CityInfo(
        name=manifest.name,
        fingerprint=manifest.fingerprint,
        source=manifest.source,
        nodes=manifest.nodes,
        edges=manifest.edges,
        road_km=manifest.road_km,
        connected_pct=round(100 * manifest.connected_share, 2),
        bounds=manifest.bounds,
        size_mb=round(sum(file.size_bytes for file in manifest.files.values()) / 1e6, 1),
    )
