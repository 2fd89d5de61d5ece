"""City packs for benchmarks: built once into the cache, from the shared extracts and the bundled one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import CannotRun
from benchmarks.processes import CACHE, ROOT
from cities import BUNDLED, bundled_pbf
from core.errors import HexcabError
from maps.cities import City, CityBuild, build_city, load_city

HOME = CACHE / "cities"
_EXTRACTS = {"manhattan": "manhattan_osmnx.osm.pbf", "porto": "porto.osm.pbf"}


def shared_data() -> Path:
    """The folder of shared extracts and trips. Raises CannotRun where there is none."""
    folder = Path(os.environ.get("HEXCAB_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "manhattan_trips.parquet").exists():
        raise CannotRun(f"no trips at {folder}: set HEXCAB_DATA to the folder that has manhattan_trips.parquet")
    return folder


def city_of(name: str, say: Callable[[str], None]) -> City:
    """A loaded city, built before where its pack is missing, damaged or of another format."""
    try:
        return load_city(name, HOME)
    except HexcabError:
        say(f"building the city pack of {name}")
    pbf = bundled_pbf() if name == BUNDLED else shared_data() / _EXTRACTS[name]
    build_city(CityBuild(name, pbf, HOME, replace=True))
    return load_city(name, HOME)
