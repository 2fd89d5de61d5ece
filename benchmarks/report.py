"""docs/PERFORMANCE.md, made from the kept results and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.harness import Result

_HEAD = """# Performance

Made by `python -m benchmarks report` from benchmarks/results; do not edit. Each figure was measured beside its peer or
its floor in the same run, in turns; figures are medians, the spread is the interquartile range over the median.
Absolute figures move with the machine: the ratios are what counts. Ratios say how many times better hexcab is than the
peer, and shares how much of the floor it reaches.
"""


def render(results: Sequence[Result], summaries: Mapping[str, str]) -> str:
    """The page as Markdown."""
    parts = [_HEAD, *(_section(result, summaries.get(result.name, "")) for result in results)]
    if not results:
        parts.append("No results have been kept yet.\n")
    return "\n".join(parts)


def _section(result: Result, summary: str) -> str:
    lines = [f"## {result.name}", "", *([f"{summary[0].upper()}{summary[1:]}.", ""] if summary else [])]
    machine = result.machine
    lines += [
        f"{result.date}, {machine.get('processor', '?')}, {machine.get('cores', '?')} cores, "
        f"{machine.get('system', '?')}, load before the run {machine.get('load_before', '?')}; "
        f"{result.checked:,} answers checked{'; quick form' if result.quick else ''}.",
        "",
    ]
    lines += _table("ratio", result.ratios, result)
    lines += _table("figure", result.figures, result)
    lines += [*(f"- {note}" for note in result.notes), *([""] if result.notes else [])]
    lines += ["Versions: " + ", ".join(f"{name} {version}" for name, version in result.versions.items()) + ".", ""]
    return "\n".join(lines)


def _table(title: str, values: Mapping[str, float], result: Result) -> list[str]:
    if not values:
        return []
    rows = [f"| {title} | median | spread |", "|---|---:|---:|"]
    for name, value in values.items():
        spread = result.spread.get(name)
        rows.append(f"| {name} | {_number(value)} | {'' if spread is None else f'{100 * spread:.1f} %'} |")
    return [*rows, ""]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"
