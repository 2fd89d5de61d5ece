"""Fixtures that every room's tests use."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

import maps
from cities import bundled_pbf
from core.errors import Conflict
from core.ids import Ids
from maps.cities import City, CityBuild, build_city, load_city
from runtime.clocks import ManualClock
from runtime.sql import Database
from tests.servers import SQL_KINDS
from tests.servers.isolated import database as empty_database
from tests.servers.running import Servers

pytest_plugins = ["tests.servers.fixtures"]
hypothesis.settings.register_profile("hexcab", deadline=None)  # no test asserts wall time
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "hexcab")

_DECIDE_A_PACK = (
    *("tilebuild.py", "tilefile.py", "tileedges.py", "tileturns.py", "edgeinfo.py", "tiles.py", "roads.py", "turns.py"),
    *("dissection.py", "tree.py", "snap.py", "packs.py", "livespeeds.py"),
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


@pytest.fixture
def new_sql_url(servers: Servers, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Makes an empty database of a kind and gives its URL."""
    with contextlib.ExitStack() as stack:

        def make(kind: str) -> str:
            if kind == "sqlite":
                return f"sqlite+aiosqlite:///{tmp_path / secrets.token_hex(4)}.db"
            return stack.enter_context(empty_database(servers.running(kind), request.module.__name__))

        yield make


@pytest.fixture(params=SQL_KINDS)
def sql_url(request: pytest.FixtureRequest, new_sql_url: Callable[[str], str]) -> str:
    """The URL of an empty database, of each kind in turn."""
    return new_sql_url(request.param)


@pytest.fixture
async def database(sql_url: str) -> AsyncIterator[Database]:
    """A database with every table."""
    made = Database(sql_url)
    await made.create_all()
    yield made
    await made.close()
