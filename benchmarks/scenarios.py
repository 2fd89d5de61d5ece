"""The shared scenarios under every mode of the simulator, beside what peers are recorded to reach on them.

Share served, mean wait and share of the bound from hindsight belong together: who serves more riders often lets them
wait longer. Figures of peers are those of the scenarios' notes, not run again here.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from app.decider import rules
from benchmarks.harness import Ask, Result, fail, machine, rounded, today, versions
from benchmarks.packs import HOME, shared_data
from core.errors import HexcabError
from maps.cities import CityBuild, build_city, load_city
from maps.csvroads import CsvTables
from runtime.settings import Settings
from runtime.simulator_settings import SimulatorSettings
from simulator.model import SimulationAsk
from simulator.report import Report
from simulator.service import run as simulate
from simulator.streets import Streets

MAX_WAIT_S = 300.0
NAMES = ("grid40_s", "grid40_m", "grid40_scarce", "grid40_l")
WITHOUT_HISTORY = ("grid40_l",)  # its requests contain those that the history is meant for
BOUNDED = ("grid40_s", "grid40_m", "grid40_scarce")
POLICIES = {
    "best": {"mode": "best"},
    "batch": {"mode": "batch"},
    "batch_spread": {"mode": "batch", "reposition": True},
    "open": {"mode": "batch", "open_until": "pickup"},
    "open_spread": {"mode": "batch", "open_until": "pickup", "reposition": True},
}
# one thing changed at a time, on grid40_m with batch_spread
ABLATIONS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "window_10": ({"window_s": 10.0}, {}),
    "window_30": ({"window_s": 30.0}, {}),
    "nobody_waited_for": ({}, {"ahead_s": 0.0}),
    "all_worth_serving": ({}, {"left_spread_s": 1_000.0}),
    "own_past": ({"history": None}, {}),
}
ABLATED = "grid40_m"
PEERS = {  # scenario and peer: percent served, mean wait in seconds, percent of the bound
    "grid40_m": {
        "fleetpy_irs1": (85.9, 170.0, 62.0),
        "fleetpy_amh1": (92.2, 182.0, 64.6),
        "ridepy": (83.9, 202.0, 56.0),
    },
    "grid40_scarce": {"fleetpy_irs1": (80.3, 183.6, None)},
    "grid40_s": {"fleetpy_irs1": (86.6, 179.0, None), "fleetpy_am1": (93.8, 197.0, None)},
}


def run(ask: Ask) -> Result:
    """Every scenario under every policy, then the ablations."""
    folder, before = shared_data() / "scenarios", machine()
    figures: dict[str, float] = {}
    checked = 0
    for name in NAMES[:2] if ask.quick else NAMES:
        streets = _streets(name, folder, ask)
        for policy, change in POLICIES.items():
            report = _simulated(name, folder, streets, change)
            checked += report.requests
            _tell(ask, figures, f"{name}_{policy}", report)
        if name == ABLATED:
            for what, (asked, limits) in ABLATIONS.items():
                report = _simulated(name, folder, streets, POLICIES["batch_spread"] | asked, limits)
                checked += report.requests
                _tell(ask, figures, f"{name}_batch_spread_{what}", report)
    for name, peers in PEERS.items():
        for peer, (served_pct, wait_s, h1_pct) in peers.items():
            figures |= {f"{name}_{peer}_served_pct": served_pct, f"{name}_{peer}_wait_s": wait_s}
            figures |= {} if h1_pct is None else {f"{name}_{peer}_h1_pct": h1_pct}
    return Result(
        name="scenarios",
        figures=figures,
        ratios={},
        checked=checked,
        machine=before,
        versions=versions({}),
        date=today(),
        quick=ask.quick,
        notes=[
            "Pickup within 300 s or lost. batch: assignments are kept (committed); open: they may change until the "
            "pickup, for nobody to one later than first promised; spread: idle cabs wait where riders are expected, "
            "by the history given, on grid40_l by the run's own past.",
            "h1_pct is the sum of (600 s - wait) over served requests as percent of the bound; requests_per_s is of "
            "wall time, the movement of cabs included, on one core; served_drop is the share served of the shortest "
            "quarter of trips less that of the longest.",
            "fleetpy and ridepy: as recorded beside the scenarios, on another machine.",
        ],
    )


def _tell(ask: Ask, figures: dict[str, float], name: str, report: Report) -> None:
    shares = [share or 0.0 for share in report.served_by_length_pct]
    said = {
        "served_pct": report.served_pct,
        "wait_s": report.wait_s.mean,
        "h1_pct": report.h1_pct,
        "empty_km_pct": report.driver.empty_km_pct,
        "served_drop": shares[0] - shares[-1],
        "requests_per_s": report.requests / report.wall_s,
    }
    figures |= {f"{name}_{key}": rounded(value) for key, value in said.items() if value is not None}
    ask.say(
        f"{name:45} served {report.served_pct} %, wait {report.wait_s.mean} s, {report.h1_pct} % of the bound, "
        f"{report.requests / report.wall_s:,.0f} requests/s"
    )


def _simulated(
    name: str, folder: Path, streets: Streets, change: dict[str, object], limits: dict[str, object] | None = None
) -> Report:
    history = None if name in WITHOUT_HISTORY else folder / "history.csv"
    base = SimulationAsk(
        trips=folder / name / "requests.csv",
        fleet=folder / name / "fleet.csv",
        max_wait_s=MAX_WAIT_S,
        history=history,
        bound=name in BOUNDED,
    )
    asked = msgspec.structs.replace(base, **change)
    settings = msgspec.structs.replace(SimulatorSettings(), **(limits or {}))
    report = simulate(asked, streets, rules(Settings()), limits=settings)
    late = report.wait_s.p95
    if (late is not None and late > MAX_WAIT_S) or (report.h1_pct or 0) > 100:
        fail(f"{name} served riders later than allowed, or passed the bound: {report}")
    return report


def _streets(name: str, folder: Path, ask: Ask) -> Streets:
    try:
        return Streets(load_city(name, HOME))
    except HexcabError:
        ask.say(f"building the city pack of {name}")
    roads = CsvTables(folder / name / "nodes.csv", folder / name / "edges.csv", None)
    build_city(CityBuild(name, roads, HOME, True))
    return Streets(load_city(name, HOME))
