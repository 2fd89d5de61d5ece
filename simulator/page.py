"""The page of a run, or of two side by side: one HTML file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h3.api.basic_str as h3
import msgspec

from core.errors import BadFile
from simulator.charts import Axis, Series, hexagon_map, line_chart, stack_chart
from simulator.plots import STEPS, Plots
from simulator.report import Report

REPORT_FILE, PLOTS_FILE, PAGE_FILE = "report.json", "plots.json", "report.html"
_STYLE = Path(__file__).with_name("page.css")


@dataclass(frozen=True, slots=True)
class Shown:
    """A run as the page has it."""

    report: Report
    plots: Plots


@dataclass(frozen=True, slots=True)
class _Figure:
    """A row of the table; `better`: 1 more is better, -1 less is, 0 neither."""

    name: str
    unit: str
    of: Callable[[Report], float | None]
    better: int = 0


_FIGURES = (
    _Figure("requests", "", lambda r: r.requests),
    _Figure("cabs", "", lambda r: r.drivers),
    _Figure("served", "%", lambda r: r.served_pct, 1),
    _Figure("wait, mean", "s", lambda r: r.wait_s.mean, -1),
    _Figure("wait, median", "s", lambda r: r.wait_s.p50, -1),
    _Figure("wait, 95th percentile", "s", lambda r: r.wait_s.p95, -1),
    _Figure("way to the rider", "km", lambda r: r.pickup_km_mean, -1),
    _Figure("of what hindsight could have reached", "%", lambda r: r.h1_pct, 1),
    _Figure("cabs with a rider on board", "% of time", lambda r: r.driver.utilisation_pct, 1),
    _Figure("driven without a rider", "% of km", lambda r: r.driver.empty_km_pct, -1),
    _Figure("driven without a rider", "km per cab", lambda r: r.driver.empty_km_mean, -1),
    _Figure("earned by a cab, mean", "per hour, minor units", lambda r: r.driver.earned_per_hour_mean, 1),
    _Figure("earned by a cab, 10th percentile", "per hour, minor units", lambda r: r.driver.earned_per_hour_p10, 1),
    _Figure("inequality of earnings", "Gini, 0 to 1", lambda r: r.driver.earnings_gini, -1),
    _Figure("idle until the next ride, 95th percentile", "s", lambda r: r.driver.idle_s_p95, -1),
)


def write_page(out: Path, run: Shown, beside: Shown | None) -> None:
    """Write what the page is made of, and the page. Raises OSError."""
    (out / PLOTS_FILE).write_bytes(msgspec.json.encode(run.plots) + b"\n")
    (out / PAGE_FILE).write_text(page([run] if beside is None else [beside, run]), "utf-8")


def read_shown(folder: Path) -> Shown:
    """An earlier run's. Raises BadFile naming the file that is missing or is none of ours."""
    return Shown(_read(folder / REPORT_FILE, Report), _read(folder / PLOTS_FILE, Plots))


def _read[T](path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror}; is it the --out of a run?") from error
    except msgspec.DecodeError as error:
        raise BadFile(f"{path}: {error}; it was not written by this version") from error


def page(runs: Sequence[Shown]) -> str:
    """The page of one run, or of two."""
    titles = [html.escape(run.plots.title) for run in runs]
    names = ["this run"] if len(runs) == 1 else ["A", "B"]
    busiest = max(1, *(a + b for run in runs for a, b in zip(run.plots.served, run.plots.unserved, strict=True)))
    darkest = max([1, *(cell.unserved for run in runs for cell in run.plots.cells)])
    charts = [
        _section("How long until a rider is picked up", [_waits(runs, names)]),
        _section("What became of the requests", [_requests(run, busiest) for run in runs], names),
        _section("What the cabs did", [_cabs(run) for run in runs], names),
        _section("Where nobody came", [_map(run, darkest) for run in runs], names),
        _section("Who earned what", [_lorenz(runs, names)]),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>hexcab: {' beside '.join(titles)}</title><style>{_STYLE.read_text('utf-8')}</style></head>"
        f"<body><main>{_heading(titles, names)}{_table(runs, names)}{''.join(charts)}</main></body></html>\n"
    )


def _heading(titles: Sequence[str], names: Sequence[str]) -> str:
    if len(titles) == 1:
        return f"<h1>{titles[0]}</h1>"
    told = "".join(f"<dt>{name}</dt><dd>{title}</dd>" for name, title in zip(names, titles, strict=True))
    return f"<h1>Two runs side by side</h1><dl>{told}</dl>"


def _section(title: str, charts: Sequence[str], captions: Sequence[str] = ()) -> str:
    told = captions if len(charts) > 1 else [""] * len(charts)
    figures = [
        f"<figure>{f'<figcaption>{caption}</figcaption>' if caption else ''}{chart}</figure>"
        for chart, caption in zip(charts, told, strict=True)
    ]
    return f'<section><h2>{title}</h2><div class="charts">{"".join(figures)}</div></section>'


def _table(runs: Sequence[Shown], names: Sequence[str]) -> str:
    two = len(runs) > 1
    heads = "".join(f"<th>{name}</th>" for name in names)
    rows = []
    for figure in _FIGURES:
        values = [figure.of(run.report) for run in runs]
        if all(value is None for value in values):
            continue
        cells = "".join(f"<td>{'-' if value is None else _number(value)}</td>" for value in values)
        change = f"<td>{_change(values, figure.better)}</td>" if two else ""
        unit = f" <small>{figure.unit}</small>" if figure.unit else ""
        rows.append(f"<tr><th>{figure.name}{unit}</th>{cells}{change}</tr>")
    change_head = "<th>change</th>" if two else ""
    return f"<table><thead><tr><th></th>{heads}{change_head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _change(values: Sequence[float | None], better: int) -> str:
    """From the first to the second, and whether that is good; said in words too, for who does not see colours."""
    before, after = values
    if before is None or after is None:
        return "-"
    change = round(after - before, 4)
    if change == 0:
        return "same"
    if better == 0:
        return f"{'+' if change > 0 else ''}{_number(change)}"
    word = "better" if change * better > 0 else "worse"
    return f'<span class="{word}">{"+" if change > 0 else ""}{_number(change)} {word}</span>'


def _number(value: float) -> str:
    """Four significant digits, or all of a whole number: more would be noise."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def _waits(runs: Sequence[Shown], names: Sequence[str]) -> str:
    most = max(run.plots.wait_step_s for run in runs) * STEPS / 60
    series = []
    for run, name in zip(runs, names, strict=True):
        x = [n * run.plots.wait_step_s / 60 for n in range(STEPS + 1)]
        y = list(run.plots.picked_up_pct)
        series.append(Series(name, [*y, y[-1]], [*x, most]))
    return line_chart(Axis("minutes since the request", most), Axis("% of all requests", 100), series)


def _requests(run: Shown, most: int) -> str:
    plots = run.plots
    layers = [Series("picked up", plots.served), Series("nobody came", plots.unserved)]
    return stack_chart(_hours(plots), Axis(f"requests in {plots.bin_s / 60:.3g} minutes", most), layers)


def _cabs(run: Shown) -> str:
    plots = run.plots
    layers = [Series("with a rider", plots.riding_pct), Series("on the way to one", plots.to_rider_pct)]
    return stack_chart(_hours(plots), Axis("% of all cabs", 100), layers)


def _hours(plots: Plots) -> Axis:
    hours = plots.bin_s * len(plots.served) / 3600
    return Axis("hours", hours) if hours >= 2 else Axis("minutes", 60 * hours)


def _map(run: Shown, darkest: int) -> str:
    cells = [(h3.cell_to_boundary(cell.cell), cell.unserved, cell.requests) for cell in run.plots.cells]
    return hexagon_map(cells, "requests in vain", darkest)


def _lorenz(runs: Sequence[Shown], names: Sequence[str]) -> str:
    x = [100 * n / STEPS for n in range(STEPS + 1)]
    both = zip(names, runs, strict=True)
    series = [Series(name, run.plots.lorenz_pct, x) for name, run in both if run.plots.lorenz_pct]
    if not series:
        return '<p class="none">Nobody earned anything.</p>'
    return line_chart(
        Axis("% of the cabs, the poorest first", 100), Axis("% of all earnings", 100), series, diagonal=True
    )
