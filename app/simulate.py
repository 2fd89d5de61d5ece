"""`hexcab simulate`: replay trips in virtual time with the live engine's decisions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from app.cities import ready_city
from app.decider import rules
from app.progress import progress
from runtime.settings import Settings
from simulator.model import SimulationAsk
from simulator.page import PAGE_FILE
from simulator.report import Report
from simulator.service import run as simulate
from simulator.streets import Streets


def run(arguments: argparse.Namespace) -> int:
    """Simulate, and print the report."""
    ask = SimulationAsk(
        trips=None if arguments.trips == "synthetic" else Path(arguments.trips),
        drivers=arguments.drivers,
        fleet=arguments.fleet,
        mode=arguments.mode,
        seed=arguments.seed,
        max_wait_s=arguments.max_wait_s,
        window_s=arguments.window_s,
        open_until=arguments.open_until,
        reposition=arguments.reposition,
        history=arguments.history,
        bound=arguments.bound,
        out=arguments.out,
        beside=arguments.beside,
    )
    settings = Settings()
    city = ready_city(arguments.city, settings.maps, quiet=arguments.json)
    with progress(f"simulating {arguments.city}", quiet=arguments.json) as told:
        report = simulate(ask, Streets(city), rules(settings), told, settings.simulator)
    if arguments.json:
        sys.stdout.write(report.to_json().decode() + "\n")
    else:
        _print(report, arguments.out)
    return 0


def _print(report: Report, out: Path | None) -> None:
    wait = report.wait_s
    print(f"served {report.served} of {report.requests} requests ({report.served_pct} %), {report.drivers} drivers")
    print(f"wait {wait.mean} s on average, {wait.p50} s in the middle, {wait.p95} s at the 95th percentile")
    print(f"pickup {report.pickup_km_mean} km, utilisation {report.driver.utilisation_pct} %, ", end="")
    print(f"empty {report.driver.empty_km_pct} % of the kilometres")
    if report.h1_pct is not None:
        print(f"{report.h1_pct} % of what hindsight could have reached")
    if report.rejected_rows:
        print("rows not used:", ", ".join(f"{n} {reason}" for reason, n in report.rejected_rows.items()))
    if out is not None:
        print(f"pictures in {out / PAGE_FILE}")
    print(f"{report.sim_s} s simulated in {report.wall_s} s ({report.speedup} x)")
