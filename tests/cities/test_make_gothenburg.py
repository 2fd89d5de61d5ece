"""The bundled extract is what its source makes of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import osmium
import pytest

from cities import bundled_pbf
from cities.make_gothenburg import NETWORK, Extract, fetch_package, read_network, write_pbf


def read_pbf(path: Path) -> Extract:
    """The content of an extract."""
    content = Extract([], [])
    for thing in osmium.FileProcessor(str(path)):
        if thing.is_node():
            content.nodes.append((thing.location.lon, thing.location.lat))
            assert thing.id == len(content.nodes)
        elif thing.is_way():
            content.ways.append((thing.id, [node.ref for node in thing.nodes], dict(thing.tags)))
    return content


def digest(extract: Extract) -> str:
    """A checksum of every node, way and tag."""
    return hashlib.sha256(json.dumps([extract.nodes, extract.ways], sort_keys=True).encode()).hexdigest()


def test_the_bundled_extract_is_the_whole_city() -> None:
    bundled = read_pbf(bundled_pbf())
    assert len(bundled.nodes) == 104_250
    assert len(bundled.ways) == 20_227
    keys = {key for _, _, tags in bundled.ways for key in tags}
    assert {"highway", "name", "oneway", "maxspeed", "access"} <= keys
    assert not any(key.startswith("@") for key in keys)


@pytest.mark.slow
def test_making_the_extract_again_gives_the_same_content(tmp_path: Path) -> None:
    reason = ""
    if shutil.which("npm") is None:
        reason = "npm is not installed"
    else:
        try:
            package = fetch_package(tmp_path)
        except (OSError, subprocess.SubprocessError) as error:
            reason = f"npm could not give the package: {error}"
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    made = tmp_path / "made.osm.pbf"
    write_pbf(read_network(json.loads((package / NETWORK).read_text("utf-8"))), made)
    assert digest(read_pbf(made)) == digest(read_pbf(bundled_pbf()))


FOUR_CORNERS = {
    "type": "FeatureCollection",
    "features": [
        {
            "properties": {"@id": "way/9", "highway": "pedestrian", "area": "yes"},
            "geometry": {"type": "Polygon", "coordinates": [[[12.0, 57.0], [12.1, 57.0], [12.1, 57.1], [12.0, 57.0]]]},
        },
        {
            "properties": {"@id": "way/4", "highway": "residential", "name": "Storgatan", "oneway": "yes"},
            "geometry": {"type": "LineString", "coordinates": [[12.2, 57.0], [12.1, 57.1], [12.0, 57.0]]},
        },
    ],
}


def test_ways_that_share_a_coordinate_share_a_node() -> None:
    extract = read_network(FOUR_CORNERS)
    assert extract.nodes == [(12.2, 57.0), (12.1, 57.1), (12.0, 57.0), (12.1, 57.0)]
    assert [(number, refs) for number, refs, _ in extract.ways] == [(4, [1, 2, 3]), (9, [3, 4, 2, 3])]


def test_the_order_of_the_source_does_not_matter(tmp_path: Path) -> None:
    turned = {**FOUR_CORNERS, "features": FOUR_CORNERS["features"][::-1]}
    paths = [tmp_path / "one.osm.pbf", tmp_path / "two.osm.pbf"]
    for path, source in zip(paths, (FOUR_CORNERS, turned), strict=True):
        write_pbf(read_network(source), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_writing_and_reading_keeps_everything(tmp_path: Path) -> None:
    extract = read_network(FOUR_CORNERS)
    write_pbf(extract, tmp_path / "made.osm.pbf")
    assert read_pbf(tmp_path / "made.osm.pbf") == extract


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"properties": {"@id": "node/1"}}, "not a way"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[0, 0]], [[1, 1]]]}}, "holes"),
    ],
)
def test_a_source_that_has_changed_its_form_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_network({"features": [{**FOUR_CORNERS["features"][0], **change}]})  # type: ignore[dict-item]
