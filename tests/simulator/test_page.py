"""The page of a run: its curves worked by hand, its figures, two runs side by side, and what it must not do."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import h3
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadFile, InvalidInput
from runtime.simulator_settings import SimulatorSettings
from simulator.charts import ticks
from simulator.engine import Engine, Terms
from simulator.model import Mode, Outcomes, SimulationAsk, quiet
from simulator.page import read_shown
from simulator.plots import BINS, STEPS, BusyTimes, Plots, make_plots
from simulator.scenario import Scenario
from simulator.service import run
from tests.simulator.plane import RULES, STEP, PlaneCity
from tests.simulator.test_engine import Ride, scenario_of

CITY = PlaneCity()


def played(rides: list[Ride], starts: list[int], max_wait_s: float = 600.0) -> tuple[Scenario, Outcomes]:
    scenario = scenario_of(rides, starts)
    return scenario, Engine(scenario, Terms(RULES, "best", max_wait_s)).run(quiet)


def plots_of(rides: list[Ride], starts: list[int], max_wait_s: float = 600.0) -> Plots:
    return make_plots(*played(rides, starts, max_wait_s), len(starts), "a run")


def test_the_curves_of_a_small_day_come_out_as_worked_by_hand() -> None:
    # the day of test_engine: waits of 100, 50 and 240 s; 590 s with a rider, 210 s on the way; 510 s in all
    plots = plots_of([(0, 100, 200), (10, 450, 0), (20, 260, 300)], [0, 500])
    assert plots.wait_step_s == 4.0
    assert [plots.picked_up_pct[at] for at in (0, 12, 13, 25, 59, 60)] == [0, 0, 33.3333, 66.6667, 66.6667, 100]
    assert plots.bin_s == 510 / BINS
    assert plots.served[:3] == [2, 1, 0]
    assert sum(plots.unserved) == 0
    assert sum(plots.riding_pct) * plots.bin_s * 2 / 100 == pytest.approx(590, abs=0.01)
    assert sum(plots.to_rider_pct) * plots.bin_s * 2 / 100 == pytest.approx(210, abs=0.01)
    assert plots.to_rider_pct[0] == pytest.approx(100 * (10.625 + 0.625) / (2 * 10.625), abs=0.001)
    assert plots.riding_pct[-1] == 50.0
    assert plots.lorenz_pct[STEPS // 2] == pytest.approx(100 * 1400 / 5900, abs=0.001)
    assert (plots.lorenz_pct[0], plots.lorenz_pct[-1]) == (0.0, 100.0)


def test_idle_times_are_those_between_rides_and_around_them() -> None:
    _, outcomes = played([(0, 100, 200), (10, 450, 0), (20, 260, 300)], [0, 500])
    idle_s = BusyTimes.of(outcomes).idle_s(3, 1e9, 1e9 + 510)
    assert sorted(idle_s.tolist()) == [10.0, 210.0, 510.0], "the third cab had nothing to do all day"


def test_a_ride_that_is_reserved_while_another_goes_on_begins_when_that_is_over() -> None:
    nothing = np.zeros(2)
    outcomes = Outcomes(
        driver=np.array([0, 0]),
        assigned_at=np.array([0.0, 5.0]),
        pickup_at=np.array([10.0, 40.0]),
        dropoff_at=np.array([30.0, 50.0]),
        pickup_m=nothing,
        fare_minor=np.array([100, 100]),
        ended_at=60.0,
        empty_m=0.0,
    )
    busy = BusyTimes.of(outcomes)
    assert busy.set_out.tolist() == [0.0, 30.0]
    assert busy.idle_s(1, 0.0, 60.0).tolist() == [10.0]


def test_where_nobody_came_is_where_the_riders_stood() -> None:
    plots = plots_of([(0, 10, 50), (0, 500, 600), (1, 501, 600)], [0], max_wait_s=60)
    lost = {cell.cell: (cell.unserved, cell.requests) for cell in plots.cells if cell.unserved}
    assert lost == {h3.latlng_to_cell(0.0, 500 * STEP, 8): (2, 2)}
    assert sum(cell.requests for cell in plots.cells) == 3
    assert (sum(plots.served), sum(plots.unserved)) == (1, 2)


rides = st.lists(st.tuples(st.floats(0, 2_000), st.integers(0, 800), st.integers(0, 800)), min_size=1, max_size=12)


@given(rides, st.lists(st.integers(0, 800), min_size=1, max_size=4), st.sampled_from([30.0, 600.0]))
def test_what_cabs_did_adds_up_in_every_run(found: list[Ride], starts: list[int], max_wait_s: float) -> None:
    scenario, outcomes = played(sorted(found), starts, max_wait_s)
    plots = make_plots(scenario, outcomes, len(starts), "")
    for riding, to_rider in zip(plots.riding_pct, plots.to_rider_pct, strict=True):
        assert 0 <= riding + to_rider <= 100.01
    began, ended = float(scenario.requests.at[0]), outcomes.ended_at
    busy = BusyTimes.of(outcomes)
    busy_s = float((busy.dropped_off - busy.set_out).sum())
    whole_s = len(starts) * (ended - began)
    assert busy.idle_s(len(starts), began, ended).sum() + busy_s == pytest.approx(whole_s, abs=0.01)
    assert sum(plots.served) + sum(plots.unserved) == len(scenario.requests)
    assert plots.picked_up_pct[-1] == pytest.approx(100 * outcomes.served.mean(), abs=0.001)
    assert plots.picked_up_pct == sorted(plots.picked_up_pct)


class Checked(HTMLParser):
    """Fails where a tag is not closed, or the page asks for something from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {"src", "href"} & {name for name, _ in attrs}
        assert tag not in ("script", "link", "iframe")
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(folder: Path) -> str:
    """The page, checked."""
    page = (folder / "report.html").read_text("utf-8")
    reader = Checked()
    reader.feed(page)
    assert reader.open == []
    assert "url(" not in page
    return page


def simulated(out: Path, mode: Mode = "best", drivers: int = 9, **more: object) -> None:
    ask = SimulationAsk(trips=None, drivers=drivers, mode=mode, out=out)
    run(msgspec.structs.replace(ask, **more), CITY, RULES, quiet, SimulatorSettings(max_posts=100))


def test_a_run_writes_a_page_with_its_figures(tmp_path: Path) -> None:
    simulated(tmp_path)
    page, shown = page_of(tmp_path), read_shown(tmp_path)
    assert "synthetic, best, 9 cabs, seed 0" in page
    assert f"<td>{shown.report.requests}</td>" in page
    assert shown.report.driver.idle_s_p95 is not None
    assert page.count("<svg") == 5
    assert page.count("<polygon") == len(shown.plots.cells)


def test_two_runs_side_by_side_say_what_got_better(tmp_path: Path) -> None:
    simulated(tmp_path / "few", drivers=3, max_wait_s=60)
    simulated(tmp_path / "more", drivers=3, max_wait_s=600, beside=tmp_path / "few")
    page = page_of(tmp_path / "more")
    few, more = (read_shown(tmp_path / name).report for name in ("few", "more"))
    assert few.served_pct is not None
    assert more.served_pct is not None
    assert more.served_pct > few.served_pct
    row = re.search(r"<tr><th>served.*?</tr>", page)
    assert row is not None
    assert '<span class="better">+' in row[0]
    assert "<td>same</td>" in page, "the number of cabs"
    assert page.count("<svg") == 8


def test_a_title_from_a_file_name_cannot_break_the_page(tmp_path: Path) -> None:
    trips = tmp_path / "<b>&amp;.csv"
    trips.write_text("request_time,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng\n2026-01-05T08:00:00Z,0,0.01,0,0.02\n")
    simulated(tmp_path / "out", trips=trips)
    assert "&lt;b&gt;&amp;amp;.csv" in page_of(tmp_path / "out")


def test_a_run_without_a_served_request_has_a_page_too(tmp_path: Path) -> None:
    trips = tmp_path / "none.csv"
    trips.write_text(
        "request_time,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng\n2026-01-05T08:00:00Z,50,0.01,50,0.02\n"
    )
    simulated(tmp_path / "out", trips=trips, fleet=_one_cab(tmp_path), drivers=None)
    page = page_of(tmp_path / "out")
    assert "No requests." in page
    assert "Nobody earned anything." in page


def _one_cab(folder: Path) -> Path:
    fleet = folder / "fleet.csv"
    fleet.write_text("lat,lng\n0,0\n")
    return fleet


def test_what_cannot_stand_beside_a_run_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"report\.json: cannot be read.*--out of a run"):
        simulated(tmp_path / "out", beside=tmp_path / "nowhere")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "report.json").write_text("{}")
    with pytest.raises(BadFile, match=r"report\.json: .*not written by this version"):
        simulated(tmp_path / "out", beside=tmp_path / "old")
    with pytest.raises(InvalidInput, match="beside needs out"):
        run(SimulationAsk(trips=None, drivers=2, beside=tmp_path), CITY, RULES)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("most", "expected"),
    [(10, [0, 2, 4, 6, 8, 10]), (100, [0, 20, 40, 60, 80, 100]), (24.2, [0, 5, 10, 15, 20]), (0, [0]), (1, None)],
)
def test_axes_have_a_few_round_numbers(most: float, expected: list[float] | None) -> None:
    found = ticks(most)
    assert expected is None or found == pytest.approx(expected)
    assert len(found) <= 6
    assert found[-1] <= most * 1.000001
