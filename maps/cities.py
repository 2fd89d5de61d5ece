"""Cities: build a city pack from an OpenStreetMap extract once, load it in a second."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import shapely

from core.errors import BadFile
from core.geo import BoolArray, FloatArray, LatLng
from maps.cityinfo import CityInfo, info_of
from maps.csvroads import CsvTables, read_tables
from maps.eta import EtaIndex
from maps.livespeeds import SPEEDS_FILE
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
from maps.roads import Int64Array, RoadGraph
from maps.snap import METRES_PER_DEGREE, SnapIndex, build_grid
from maps.tilebuild import CONFIG_FILE, TILES_FILE, Progress, build_tiles, pack_tiles
from maps.tiles import Drivable, read_tiles
from maps.tree import build_tree
from maps.zonejson import collection_of, read_zone_file
from maps.zones import Zone, Zones, in_force
from runtime.settings import MapSettings

ZONES_FILE = "zones.geojson"
NUMBERS_FILE = "numbers.npy"

_TILES_SHARE = 0.6  # of the time of a build

__all__ = ["City", "CityBuild", "build_city", "load_city"]


@dataclass(frozen=True, slots=True)
class CityBuild:
    """What to build: a city's name, its roads, zones (GeoJSON), and where packs live.

    The roads are an OpenStreetMap extract (.osm.pbf) or CSV tables, from which no Valhalla tiles are made.
    """

    name: str
    roads: Path | CsvTables
    home: Path
    replace: bool = False
    zones: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Where the roads come from."""
        return (self.roads,) if isinstance(self.roads, Path) else (self.roads.nodes, self.roads.edges)


@dataclass(frozen=True, slots=True)
class City:
    """A loaded city. `bounds` are south, west, north, east.

    `node_number` is what the tables call each junction, shape (nodes,); None for a city from an extract.
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
    node_number: Int64Array | None = None

    @property
    def valhalla_config(self) -> Path | None:
        """The configuration that route workers start from; None for a city that was built without Valhalla."""
        config = self.pack_dir / CONFIG_FILE
        return config if config.exists() else None

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
    source_sha256 = _checksum(ask.files)
    if ask.zones is not None:
        read_zone_file(ask.zones, settings)  # before the long work; below it is held against the roads
    with building(ask.home) as work:
        version = work / work.name.rpartition("-")[2]
        version.mkdir()
        if isinstance(ask.roads, Path):
            drivable = _from_extract(ask.roads, work, version, progress, settings)
        else:
            progress("reading the tables", 0.0)
            drivable = read_tables(ask.roads, settings.csv_rows_max)
        progress("ordering the roads", _TILES_SHARE + 0.1)
        roads, turns = drivable.roads, drivable.turns
        prepared = Prepared(roads, turns, build_tree(roads, turns), build_grid(roads))
        progress("writing the city pack", 0.97)
        save_parts(prepared, version)
        if drivable.node_number is not None:
            np.save(version / NUMBERS_FILE, drivable.node_number, allow_pickle=False)
        if ask.zones is not None:
            zones = collection_of(read_zone_file(ask.zones, settings, roads.bounds()))
            (version / ZONES_FILE).write_bytes(msgspec.json.encode(zones))
        manifest = _manifest(ask, source_sha256, version, drivable)
        publish(version, manifest, ask.home, replace=ask.replace)
    progress("done", 1.0)
    return info_of(manifest)


def _checksum(files: Sequence[Path]) -> str:
    """Of one file its own; of several that of theirs. Raises BadFile."""
    sums = []
    for path in files:
        try:
            sums.append(sha256_of(path))
        except OSError as error:
            raise BadFile(f"{path}: cannot be read: {error.strerror}") from error
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def _from_extract(pbf: Path, work: Path, version: Path, progress: Progress, settings: MapSettings) -> Drivable:
    """The roads of an extract; its tiles are packed into the version. Raises BadFile naming the extract."""
    progress("reading the extract", 0.0)
    tiles = build_tiles(pbf, work, settings.build_timeout_s, lambda stage, share: progress(stage, _TILES_SHARE * share))
    progress("reading the roads", _TILES_SHARE)
    try:
        drivable = read_tiles(tiles)
    except BadFile as error:
        raise BadFile(str(error.detail).replace(str(tiles), str(pbf))) from error
    pack_tiles(tiles, version)
    return drivable


def _valhalla_version(version: Path) -> str:
    if not (version / TILES_FILE).exists():
        return ""
    from valhalla import __version__ as valhalla_version

    return str(valhalla_version)


def _manifest(ask: CityBuild, source_sha256: str, version: Path, drivable: Drivable) -> Manifest:
    valhalla_version = _valhalla_version(version)
    graph, turns = drivable.roads, drivable.turns
    further = [
        name for name in (NUMBERS_FILE, ZONES_FILE, TILES_FILE, SPEEDS_FILE, CONFIG_FILE) if (version / name).exists()
    ]
    print_of = hashlib.sha256(f"{FORMAT} {source_sha256} {valhalla_version}".encode())
    for array in (
        graph.tail,
        graph.head,
        graph.seconds,
        graph.metres,
        graph.graph_id,
        graph.point_lat,
        graph.point_lng,
        turns.before,
        turns.after,
        turns.ms,
    ):
        print_of.update(np.ascontiguousarray(array).tobytes())
    return Manifest(
        format=FORMAT,
        name=ask.name,
        fingerprint=print_of.hexdigest()[:16],
        source=", ".join(path.name for path in ask.files),
        source_sha256=source_sha256,
        valhalla=valhalla_version,
        nodes=graph.node_count,
        edges=graph.edge_count,
        road_km=round(float(graph.metres[graph.lone_edges()].sum()) / 1000, 1),
        connected_share=round(drivable.connected_share, 4),
        bounds=graph.bounds(),
        files=describe(version, *PART_FILES, *further),
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
        node_number=np.load(version / NUMBERS_FILE) if NUMBERS_FILE in manifest.files else None,
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
