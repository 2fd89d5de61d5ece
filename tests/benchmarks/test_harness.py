"""The pure parts of the benchmarks: no timing is asserted here, nor anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import __main__ as command
from benchmarks import harness, processes, report
from benchmarks.crowds import SHAPES, Crowd, Exact, changes_of, nearest_by_segments
from core.geo import LatLng
from location.adapters.memory import MemorySupply


def a_result(**changed: object) -> harness.Result:
    return msgspec.structs.replace(
        harness.Result(
            name="nearest",
            figures={"p50_us": 4.25, "pings_per_cpu_s": 65_432.0},
            ratios={"vs_geosearch_p50": 41.5},
            checked=1_200,
            machine={"processor": "Z80", "cores": 2, "system": "Linux 6.1", "load_before": 0.1},
            versions={"python": "3.12.1", "numpy": "2.5.0"},
            date="2026-11-23",
            spread={"p50_us": 0.031},
            notes=["On one core."],
        ),
        **changed,
    )


@given(st.floats(-2, 3), st.floats(1e-6, 1e6))
def test_growth_exponent_is_that_of_the_power_law_that_made_the_costs(exponent: float, factor: float) -> None:
    sizes = [1.0, 4.0, 16.0]
    assert harness.growth_exponent(sizes, [factor * size**exponent for size in sizes]) == pytest.approx(
        exponent, abs=1e-9
    )


def test_growth_of_one_size_is_refused() -> None:
    with pytest.raises(ValueError, match="two different sizes"):
        harness.growth_exponent([5, 5], [1, 2])


def test_a_ratio_is_taken_round_by_round_so_noise_that_hits_both_cancels() -> None:
    rounds = harness.Rounds()
    for noise in (1.0, 10.0, 3.0):
        rounds.add("ours", 6 * noise)
        rounds.add("peer", 2 * noise)
    assert rounds.add_ratio("ratio", "ours", "peer") == 3.0
    assert rounds.spreads()["ratio"] == 0.0
    assert rounds.medians() == {"ours": 18.0, "peer": 6.0, "ratio": 3.0}


def test_rounds_that_do_not_pair_up_give_no_ratio() -> None:
    rounds = harness.Rounds()
    rounds.add("ours", 1.0)
    rounds.add("ours", 1.0)
    rounds.add("peer", 1.0)
    with pytest.raises(ValueError, match="zip"):
        rounds.ratio("ours", "peer")


@given(st.integers(1, 6), st.integers(1, 12))
def test_every_turn_comes_once_in_each_round(turns: int, rounds: int) -> None:
    order = harness.interleaved(range(turns), rounds)
    for first in range(0, len(order), turns):
        assert sorted(order[first : first + turns]) == list(range(turns))
    assert len(order) == turns * rounds


def test_the_first_turn_of_a_round_is_not_always_the_same() -> None:
    assert [harness.interleaved("abc", 3)[i] for i in (0, 3, 6)] == ["a", "b", "c"]


def test_spread_is_the_interquartile_range_over_the_median() -> None:
    assert harness.spread([8.0, 9.0, 10.0, 11.0, 12.0]) == pytest.approx(0.2)
    assert harness.spread([7.0]) == 0.0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0, 1))
def test_a_percentile_is_one_of_the_values_and_not_exceeded_by_its_share(values: list[float], share: float) -> None:
    found = harness.percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_the_record_has_the_keys_that_scripts_read(tmp_path: Path) -> None:
    record = json.loads(harness.keep(a_result(), tmp_path).read_bytes())
    assert {"name", "figures", "ratios", "checked", "machine", "versions", "date"} <= record.keys()
    assert harness.kept(tmp_path) == [a_result()]


def test_the_page_shows_every_figure_ratio_and_note_with_its_spread() -> None:
    page = report.render([a_result()], {"nearest": "the ten nearest"})
    assert "## nearest\n\nThe ten nearest.\n" in page
    assert "| vs_geosearch_p50 | 41.5 |  |" in page
    assert "| p50_us | 4.25 | 3.1 % |" in page
    assert "| pings_per_cpu_s | 65,432 |  |" in page
    assert "- On one core." in page
    assert "1,200 answers checked." in page
    assert "numpy 2.5.0" in page


def test_the_page_says_that_a_result_is_of_the_quick_form() -> None:
    assert "quick form" in report.render([a_result(quick=True)], {})
    assert "quick form" not in report.render([a_result()], {})


def test_the_page_of_no_results_says_so() -> None:
    assert "No results" in report.render([], {})


def test_without_a_name_the_benchmarks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("ingest", "nearest", "simulate"))


def test_an_unknown_benchmark_is_bad_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["speed"])
    assert ended.value.code == 2


def test_a_missing_compiler_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(harness.CannotRun, match="apt-get install gcc"):
        processes.compiled("floor")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SHAPES), st.integers(10, 4_000))
async def test_the_nearest_by_rings_of_segments_are_the_truly_nearest(seed: int, shape: str, size: int) -> None:
    crowd = Crowd.of(shape, size, 5, seed)
    store = MemorySupply()
    await store.apply(changes_of(list(range(size)), crowd.lat, crowd.lng, {}))
    exact = Exact(crowd)
    for lat, lng in zip(crowd.query_lat.tolist(), crowd.query_lng.tolist(), strict=True):
        drivers, distance_m = await nearest_by_segments(store, LatLng(lat, lng), 10)
        assert len(set(drivers)) == 10
        np.testing.assert_allclose(distance_m, exact.distances(lat, lng), atol=1e-3)
