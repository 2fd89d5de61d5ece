"""The scenarios that other simulators were run on: mode batch serves more riders sooner than each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.decider import rules
from benchmarks.scenarios import MAX_WAIT_S, PEERS
from maps.cities import CityBuild, build_city, load_city
from maps.csvroads import CsvTables
from runtime.settings import Settings
from simulator.model import OpenUntil, SimulationAsk
from simulator.service import run
from simulator.streets import Streets

pytestmark = [pytest.mark.slow, pytest.mark.data]

# of the sum of (600 s - wait), as given beside the scenarios; travel times here are milliseconds, not whole seconds
BOUND = {"grid40_s": 471_102, "grid40_m": 1_789_752}


@pytest.fixture(scope="module", params=list(BOUND))
def scenario(
    request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Streets]:
    folder, home = shared_data / "scenarios" / request.param, tmp_path_factory.mktemp("home")
    build_city(CityBuild("grid", CsvTables(folder / "nodes.csv", folder / "edges.csv", None), home))
    return folder, Streets(load_city("grid", home))


@pytest.mark.parametrize("open_until", ["accept", "pickup"])
def test_a_batch_run_beats_every_recorded_peer(scenario: tuple[Path, Streets], open_until: OpenUntil) -> None:
    folder, streets = scenario
    report = run(
        SimulationAsk(
            trips=folder / "requests.csv",
            fleet=folder / "fleet.csv",
            mode="batch",
            max_wait_s=MAX_WAIT_S,
            open_until=open_until,
            reposition=True,
            history=folder.parent / "history.csv",
            bound=True,
        ),
        streets,
        rules(Settings()),
    )
    assert report.bound == pytest.approx(BOUND[folder.name], rel=1e-3)
    assert report.h1_pct is not None
    assert report.served_pct is not None
    assert report.wait_s.mean is not None
    for served_pct, wait_s, h1_pct in PEERS[folder.name].values():
        assert report.served_pct > served_pct
        assert report.wait_s.mean < wait_s
        assert h1_pct is None or report.h1_pct > h1_pct
    assert report.h1_pct < 100
