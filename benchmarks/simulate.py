"""A day of trips in virtual time: requests per CPU second of our simulator, beside ridepy on the same demand.

Both serve the same requests of Manhattan with the same cabs from the same places, at most MAX_WAIT_S from request to
pickup, on the same junctions and travel times. What differs is said in the notes of the result.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.harness import Ask, Result, Rounds, fail, interleaved, machine, today, versions
from benchmarks.packs import HOME, city_of, shared_data
from benchmarks.processes import SERVER_CORE, Child, children, needs_two_cores, python

MAX_WAIT_S = 600.0
CABS = {"manhattan": 150, "porto": 200}
QUICK_TRIPS = 900  # of the day, from the morning on
ROUNDS = 5
RUN_S = 300.0
RIDEPY = Path(__file__).parent / "peers" / "ridepy_run.py"
GRID = ("grid40_m", 83.9, 201.8, 300.0)  # scenario; served % and mean wait that are recorded for ridepy; longest wait
TOLERANCE = 0.02


@dataclass(frozen=True)
class Lane:
    """A simulator that is told to run again."""

    name: str
    child: Child

    def go(self) -> dict[str, Any]:
        """One run."""
        self.child.write("go\n")
        return self.child.answer(RUN_S)


def run(ask: Ask) -> Result:
    """Measure; see the module."""
    needs_two_cores()
    data, peer = shared_data(), _peer_python()
    before, rounds, checked = machine(), Rounds(), 0
    with children() as running, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if peer is not None and (data / "scenarios" / GRID[0]).exists():
            checked += _check_peer(data / "scenarios" / GRID[0], folder, peer, running)
        work = folder / "work.json"
        turns = [_ours("manhattan", data, folder, ask, running, work)]
        if not ask.quick:
            turns.append(_ours("porto", data, folder, ask, running, None))
        if peer is not None:
            turns.append(Lane("ridepy", _start(running, [peer, "-W", "ignore", str(RIDEPY), str(work)])))
        facts = _rounds(ask, turns, rounds)
    figures = rounds.medians() | {f"{lane}_{key}": value for lane, told in facts.items() for key, value in told.items()}
    ratios, notes = {}, _notes(facts)
    if peer is not None:
        ratios["vs_ridepy"] = rounds.add_ratio("vs_ridepy", "manhattan_requests_per_cpu_s", "ridepy_requests_per_cpu_s")
        extra = {"ridepy": str(facts["ridepy"].pop("version"))}
    else:
        extra = {}
        notes.append("ridepy is missing, so there is no ratio. " + _HOW_TO_GET_RIDEPY)
        ask.say(notes[-1])
    checked += sum(int(told["requests"]) for told in facts.values())
    return Result(
        name="simulate",
        figures={key: float(value) for key, value in figures.items() if not isinstance(value, str)},
        ratios=ratios,
        spread=rounds.spreads(),
        checked=checked,
        machine=before,
        versions=versions(extra),
        date=today(),
        quick=ask.quick,
        notes=notes,
    )


def _rounds(ask: Ask, turns: list[Lane], rounds: Rounds) -> dict[str, dict[str, Any]]:
    """Interleaved turns; returns what each simulator says of its run, which must be the same every time."""
    facts: dict[str, dict[str, Any]] = {}
    for lane in interleaved(turns, 3 if ask.quick else ROUNDS):
        told = lane.go()
        if told.pop("wrong", 0):
            fail(f"{lane.name} served requests too late, or two with one cab")
        cpu_s = told.pop("cpu_s")
        if facts.setdefault(lane.name, told) != told:
            fail(f"{lane.name} gave two answers to one question: {facts[lane.name]} and {told}")
        rounds.add(f"{lane.name}_requests_per_cpu_s", told["requests"] / cpu_s)
        ask.say(
            f"{lane.name:10} {told['requests'] / cpu_s:>8,.0f} requests per CPU s, served "
            f"{100 * told['served'] / told['requests']:.1f} %, wait {told['wait_mean_s']:.0f} s"
        )
    for told in facts.values():
        told["served_pct"] = round(100 * told["served"] / told["requests"], 2)
    return facts


def _ours(city: str, data: Path, folder: Path, ask: Ask, running: list[Child], work: Path | None) -> Lane:
    city_of(city, ask.say)
    trips = data / f"{city}_trips.parquet"
    if ask.quick:
        table = pq.read_table(trips)
        order = np.argsort(table["request_time"].to_numpy())
        first = len(order) // 3
        pq.write_table(table.take(order[first : first + QUICK_TRIPS]), folder / trips.name)
        trips = folder / trips.name
    words = [str(HOME), city, str(trips), str(CABS[city]), str(MAX_WAIT_S), *([str(work)] if work else [])]
    child = _start(running, python("benchmarks.servers.simulation", *words))
    if child.line(RUN_S) != "ready":
        fail(f"the simulator of {city} does not start")
    return Lane(city, child)


def _start(running: list[Child], argv: list[str]) -> Child:
    child = Child(argv, SERVER_CORE)
    running.append(child)
    return child


def _check_peer(scenario: Path, folder: Path, peer: str, running: list[Child]) -> int:
    """ridepy as we drive it must reach what is recorded for it; returns the number of requests."""
    name, served_pct, wait_s, max_wait_s = GRID
    requests = [(float(row["rq_time"]), int(row["start"]), int(row["end"])) for row in _rows(scenario / "requests.csv")]
    work = {
        "nodes": len(_rows(scenario / "nodes.csv")),
        "edges": [
            (int(row["from_node"]), int(row["to_node"]), float(row["travel_time"]))
            for row in _rows(scenario / "edges.csv")
        ],
        "starts": [int(row["start_node"]) for row in _rows(scenario / "fleet.csv")],
        "requests": requests,
        "max_wait_s": max_wait_s,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(work), "utf-8")
    told = Lane(name, _start(running, [peer, "-W", "ignore", str(RIDEPY), str(path)])).go()
    served = 100 * told["served"] / told["requests"]
    if abs(served / served_pct - 1) > TOLERANCE or abs(told["wait_mean_s"] / wait_s - 1) > TOLERANCE:
        fail(f"ridepy serves {served:.1f} % of {name} in {told['wait_mean_s']:.0f} s; known {served_pct} %, {wait_s} s")
    return len(requests)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


_HOW_TO_GET_RIDEPY = (
    "ridepy compiles against Boost's headers: apt-get install libboost-graph-dev (or point CPLUS_INCLUDE_PATH at "
    "them), then tools/setup peers; or name an interpreter that has it in HEXCAB_PEERS_PYTHON."
)


def _peer_python() -> str | None:
    """An interpreter with ridepy, or None."""
    for interpreter in (os.environ.get("HEXCAB_PEERS_PYTHON"), sys.executable):
        if (
            interpreter
            and not subprocess.run(
                [interpreter, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('ridepy') is None)"],
                check=False,
            ).returncode
        ):
            return interpreter
    return None


def _notes(facts: dict[str, dict[str, Any]]) -> list[str]:
    return [
        f"{int(facts['manhattan']['requests']):,} taxi requests of Manhattan, {CABS['manhattan']} cabs from the same "
        f"places, pickup within {MAX_WAIT_S:.0f} s; CPU seconds of the run alone, searches on the roads included.",
        "Ours: nearest by road among idle cabs, ranked and offered by the live engine's decision, every offer "
        "accepted; one-way streets and points between junctions count; cars are not moved between events.",
        "ridepy: brute-force insertion of every request into every cab's plan, at junctions and without one-way "
        "streets (its C++ graph is undirected); it moves every cab at every request. Its waits are beside ours.",
    ]
