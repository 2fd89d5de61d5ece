"""A morning in Porto and a day in Manhattan on their own roads, decided by the live engine's rules."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import maps
from app.decider import rules
from core.errors import Conflict
from maps.cities import CityBuild, build_city, load_city
from runtime.settings import Settings
from simulator.model import SimulationAsk
from simulator.report import Report
from simulator.service import run
from simulator.streets import Streets

pytestmark = [pytest.mark.slow, pytest.mark.data]

RULES = rules(Settings())  # what `hexcab simulate` runs with


def streets(name: str, pbf: Path) -> Streets:
    """The city, built once for this version of the maps room."""
    code = b"".join(Path(maps.__file__).with_name(name).read_bytes() for name in ("tiles.py", "packs.py", "roads.py"))
    parent = Path(os.environ.get("HEXCAB_TEST_HOME", tempfile.gettempdir()))
    home = parent / f"hexcab-test-packs-{hashlib.sha256(code).hexdigest()[:16]}"
    with contextlib.suppress(Conflict):
        build_city(CityBuild(name, pbf, home))
    return Streets(load_city(name, home))


@pytest.fixture(scope="module")
def porto(shared_data: Path) -> Streets:
    return streets("porto", shared_data / "porto.osm.pbf")


@pytest.fixture(scope="module")
def manhattan(shared_data: Path) -> Streets:
    return streets("manhattan", shared_data / "manhattan_osmnx.osm.pbf")


def figures(report: Report) -> dict[str, object]:
    said: dict[str, object] = json.loads(report.to_json())
    del said["wall_s"], said["speedup"]
    return said


def test_a_morning_in_porto(shared_data: Path, porto: Streets, tmp_path: Path) -> None:
    trips = shared_data / "porto_trips.parquet"
    reports = [
        run(SimulationAsk(trips=trips, drivers=200, seed=1, out=tmp_path / out), porto, RULES) for out in ("a", "b")
    ]
    report = reports[0]
    assert figures(reports[0]) == figures(reports[1])
    assert (tmp_path / "a/trips.csv").read_bytes() == (tmp_path / "b/trips.csv").read_bytes()
    assert report.requests + sum(report.rejected_rows.values()) == 1247
    assert report.requests > 1150
    assert report.served_pct is not None
    assert report.served_pct > 90
    assert report.wait_s.mean is not None
    assert 30 < report.wait_s.mean < 300


def test_a_day_in_manhattan(shared_data: Path, manhattan: Streets, tmp_path: Path) -> None:
    table = pq.read_table(shared_data / "manhattan_trips.parquet")
    usable = tmp_path / "usable.parquet"
    pq.write_table(table.filter(pc.and_(table["in_manhattan"], table["plausible"])), usable)
    ask = SimulationAsk(trips=usable, drivers=500, seed=1)
    report = run(ask, manhattan, RULES)
    assert report.requests == 8495
    assert report.rejected_rows == {}
    assert report.served_pct is not None
    assert report.served_pct > 97
    assert report.wait_s.mean is not None
    assert 10 < report.wait_s.mean < 300
