"""Run Valhalla's own tile builder on an OpenStreetMap extract.

The wheel's Python wrappers of the tools work only where its scripts are on PATH, so its binaries are run directly.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any

from core.errors import BadFile, Unavailable
from maps.livespeeds import SPEEDS_FILE, pack_speeds

Progress = Callable[[str, float], None]  # the stage in words, and the share of the whole that is done, 0..1

TILES_FILE = "tiles.tar"
CONFIG_FILE = "valhalla.json"

_MAX_TRAIL_M = 1_000_000.0
_LANDMARKS = (
    ("Parsing ways", 0.05),
    ("Parsing relations", 0.25),
    ("Parsing nodes", 0.30),
    ("Creating graph edges", 0.45),
    ("Enhancing local graph", 0.60),
    ("HierarchyBuilder", 0.70),
    ("Creating shortcuts", 0.75),
    ("Adding complex turn restrictions", 0.85),
    ("Validating, finishing", 0.90),
)  # lines of the builder's log, and how far it is by then


def build_tiles(pbf: Path, folder: Path, timeout_s: float, progress: Progress) -> Path:
    """Build the tiles of an extract inside `folder`; the path of the tiles' own folder.

    Raises BadFile when the extract cannot be read, Unavailable when the builder cannot run or takes too long.
    """
    tiles = folder / "tiles"
    tiles.mkdir()
    config = default_config(tiles)
    config["mjolnir"]["tile_dir"] = str(tiles)
    config["logging"] = {"type": "std_out", "color": False}
    config_path = folder / "build.json"
    config_path.write_text(json.dumps(config), "utf-8")
    complaints = folder / "build.err"
    command = [str(_binary("valhalla_build_tiles")), "-c", str(config_path), "-j", "2", str(pbf.resolve())]
    try:
        # run in the folder: whatever it drops when it aborts goes away with the folder
        with (
            complaints.open("wb") as errors,
            subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True) as builder,
        ):
            overdue = Timer(timeout_s, builder.kill)
            overdue.start()
            tail = _follow(builder, progress)
            code = builder.wait()
            in_time = overdue.is_alive()
            overdue.cancel()
    except OSError as error:
        raise Unavailable(f"Valhalla's tile builder cannot be run: {error}") from error
    if not in_time:
        raise Unavailable(f"{pbf}: building its tiles took longer than {timeout_s:.0f} s")
    if code != 0:
        raise BadFile(f"{pbf}: cannot be used: {_reason(complaints, tail)}")
    return tiles


def _follow(builder: subprocess.Popen[str], progress: Progress) -> str:
    """Report the builder's progress until it closes its output; its last line."""
    done, line = 0, ""
    assert builder.stdout is not None
    for line in builder.stdout:
        for at in range(done, len(_LANDMARKS)):
            if _LANDMARKS[at][0] in line:
                done = at + 1
                progress("building tiles", _LANDMARKS[at][1])
    return line


def _reason(complaints: Path, tail: str) -> str:
    """What the builder said when it gave up: the exception's text, else its last line."""
    lines = complaints.read_text("utf-8", "replace").splitlines()
    for line in lines:
        _, found, reason = line.partition("what():")
        if found:
            return reason.strip()
    return (lines[-1] if lines else tail).strip() or "the tile builder failed without a word"


def _binary(name: str) -> Path:
    package = importlib.util.find_spec("valhalla")
    if package is None or package.origin is None:
        raise Unavailable("pyvalhalla is not installed")
    return Path(package.origin).parent / "bin" / name


def default_config(tiles: Path) -> dict[str, Any]:
    """Valhalla's default configuration without the paths of optional databases that hexcab does not build."""
    import valhalla

    config: dict[str, Any] = valhalla.get_config(tile_extract="", tile_dir=str(tiles))
    for name in ("admin", "timezone", "landmarks", "traffic_extract", "transit_dir", "transit_feeds_dir"):
        config["mjolnir"].pop(name, None)
    config.pop("additional_data", None)
    # there is no database of countries: with it named all the same, every road would be driven on the left
    config["mjolnir"]["data_processing"]["use_admin_db"] = False
    config["service_limits"]["trace"]["max_distance"] = _MAX_TRAIL_M
    # without it a search leaves the small streets alone far from its ends, and misses the fastest way
    config["service_limits"]["max_distance_disable_hierarchy_culling"] = _MAX_TRAIL_M
    return config


def pack_tiles(tiles: Path, folder: Path) -> None:
    """Put the tiles into one archive in `folder`, beside it one for live speeds, and a configuration.

    It names the tiles by their bare file name. Readers resolve that name against the configuration's own folder, so
    that the two may be moved together.
    """
    with tarfile.open(folder / TILES_FILE, "w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(tiles.rglob("*.gph")):
            entry = tarfile.TarInfo(path.relative_to(tiles).as_posix())
            entry.size = path.stat().st_size
            with path.open("rb") as tile:
                archive.addfile(entry, tile)
    pack_speeds(folder / TILES_FILE, folder / SPEEDS_FILE)
    config = default_config(tiles)
    config["mjolnir"]["tile_dir"] = ""
    config["mjolnir"]["tile_extract"] = TILES_FILE
    config["logging"] = {"type": ""}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1, sort_keys=True), "utf-8")
