"""The simulator as `hexcab simulate` runs it, round after round on one loaded scenario.

    python -m benchmarks.servers.simulation HOME CITY TRIPS DRIVERS MAX_WAIT_S [WORKLOAD.json]

Writes the same requests, starts and roads as a workload for peers/ridepy_run.py where asked to. Prints "ready"; then,
after each line of standard input, the figures of one run as a JSON object. CPU seconds are those of the run alone, as
the contract's wall_s excludes loading and compiling.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from app.decider import rules
from core.geo import IntArray
from maps.cities import City, load_city
from runtime.settings import Settings
from simulator.engine import Engine, Terms
from simulator.model import Outcomes, SimulationAsk, quiet
from simulator.scenario import Scenario
from simulator.service import DEFAULT_LIMITS, load
from simulator.streets import Streets

SEED = 0


def wrong_outcomes(scenario: Scenario, outcomes: Outcomes, max_wait_s: float) -> int:
    """How many requests were served too late, too fast, or by a cab that had another rider."""
    requests, served = scenario.requests, np.flatnonzero(outcomes.served)
    wait_s = outcomes.pickup_at[served] - requests.at[served]
    wrong = (wait_s < 0) | (wait_s > max_wait_s + 1e-6)
    wrong |= np.abs(outcomes.dropoff_at[served] - outcomes.pickup_at[served] - requests.direct_s[served]) > 1e-6
    order = np.lexsort((outcomes.assigned_at[served], outcomes.driver[served]))
    by_cab = served[order]
    same_cab = outcomes.driver[by_cab][1:] == outcomes.driver[by_cab][:-1]
    overlaps = same_cab & (outcomes.assigned_at[by_cab][1:] < outcomes.dropoff_at[by_cab][:-1] - 1e-6)
    return int(wrong.sum() + overlaps.sum())


def workload(city: City, scenario: Scenario, max_wait_s: float) -> dict[str, Any]:
    """The scenario on junctions: each place moves to the nearer end of its road; a road counts in both directions."""
    roads, snaps = city.roads, city.eta.snap(scenario.lat, scenario.lng)
    edges = zip(roads.tail.tolist(), roads.head.tolist(), roads.seconds.tolist(), strict=True)
    node: IntArray = np.where(snaps.fraction > 0.5, roads.head[snaps.edge], roads.tail[snaps.edge]).astype(np.int64)
    requests = scenario.requests
    begin = float(requests.at[0]) if len(requests) else 0.0
    return {
        "nodes": roads.node_count,
        "edges": [list(edge) for edge in edges],
        "starts": node[2 * len(scenario.raw.at) :].tolist(),
        "requests": [
            list(request)
            for request in zip(
                (requests.at - begin).tolist(),
                node[requests.pickup].tolist(),
                node[requests.dropoff].tolist(),
                strict=True,
            )
        ],
        "max_wait_s": max_wait_s,
    }


def main() -> None:
    """Load, say so, and run when told."""
    home, name, trips, drivers, max_wait = sys.argv[1:6]
    city, max_wait_s = load_city(name, Path(home)), float(max_wait)
    streets = Streets(city)
    ask = SimulationAsk(trips=Path(trips), drivers=int(drivers), seed=SEED, max_wait_s=max_wait_s)
    scenario = load(ask.checked(DEFAULT_LIMITS), streets, quiet, DEFAULT_LIMITS)
    if len(sys.argv) > 6:
        Path(sys.argv[6]).write_text(json.dumps(workload(city, scenario, max_wait_s)), "utf-8")
    terms = Terms(rules(Settings()), ask.mode, max_wait_s)
    Engine(scenario, terms).run(quiet)  # compiles what is compiled
    print("ready", flush=True)
    for _line in sys.stdin:
        engine = Engine(scenario, terms)
        begin = time.process_time()
        outcomes = engine.run(quiet)
        cpu_s = time.process_time() - begin
        served = outcomes.served
        wait_s = (outcomes.pickup_at - scenario.requests.at)[served]
        answer = {
            "cpu_s": cpu_s,
            "requests": len(scenario.requests),
            "served": int(served.sum()),
            "wait_mean_s": float(wait_s.mean()),
            "wait_p95_s": float(np.percentile(wait_s, 95)),
            "wrong": wrong_outcomes(scenario, outcomes, max_wait_s),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
