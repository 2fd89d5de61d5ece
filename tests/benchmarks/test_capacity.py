"""The capacity table in the manual is that of the kept results."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.capacity import placed, table
from benchmarks.harness import kept

MANUAL = Path(__file__).parent.parent.parent / "docs" / "OPERATIONS.md"


def test_the_manual_has_the_table_of_the_kept_results() -> None:
    text = MANUAL.read_text("utf-8")
    assert placed(text, kept()) == text, "run `python -m benchmarks report`"


def test_twice_as_fast_needs_half_the_cores() -> None:
    results = {result.name: result for result in kept()}
    ingest = results["ingest"]
    name = "gateway_json_pings_per_cpu_s"
    for rate, cores in ((50_000.0, 34), (100_000.0, 17)):
        results["ingest"] = msgspec.structs.replace(ingest, figures={**ingest.figures, name: rate})
        assert f"| {rate:,.0f} pings/s | 1,000,000 | {cores} |" in table(list(results.values()))


def test_a_page_without_a_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place"):
        placed("# Operations\n", kept())
