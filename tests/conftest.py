"""Fixtures that every room's tests use."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import tempfile
from pathlib import Path

import pytest

import maps
from cities import bundled_pbf
from core.errors import Conflict
from core.ids import Ids
from maps.cities import City, CityBuild, build_city, load_city
from runtime.clocks import ManualClock

pytest_plugins = ["tests.servers.fixtures"]

_DECIDE_A_PACK = (
    *("tilebuild.py", "tilefile.py", "tileedges.py", "tileturns.py", "edgeinfo.py", "tiles.py", "roads.py", "turns.py"),
    *("dissection.py", "tree.py", "snap.py", "packs.py"),
)  # of the maps room


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real roads, trips and traces: HEXCAB_DATA, or ../shared/data beside the checkout."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("HEXCAB_DATA", root.parent / "shared" / "data"))
    if not (folder / "porto_traces.parquet").exists():
        reason = f"no shared data at {folder}; set HEXCAB_DATA"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ids(clock: ManualClock) -> Ids:
    return Ids(clock, random.Random(7))


@pytest.fixture(scope="session")
def gothenburg_home() -> Path:
    """A home of city packs with gothenburg in it, kept between runs under HEXCAB_TEST_HOME or the temporary files."""
    sources = [bundled_pbf(), *(Path(maps.__file__).with_name(name) for name in _DECIDE_A_PACK)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    parent = Path(os.environ.get("HEXCAB_TEST_HOME", tempfile.gettempdir()))
    home = parent / f"hexcab-test-packs-{digest}"
    with contextlib.suppress(Conflict):  # an earlier run built it
        build_city(CityBuild("gothenburg", bundled_pbf(), home))
    return home


@pytest.fixture(scope="session")
def gothenburg(gothenburg_home: Path) -> City:
    """The bundled city, loaded."""
    return load_city("gothenburg", gothenburg_home)
