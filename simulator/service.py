"""`run`: load, play, report. The one way into the simulator."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from core.errors import BadFile
from runtime.simulator_settings import SimulatorSettings
from simulator.batch import BatchEngine, BatchTerms
from simulator.bound import hindsight_bound
from simulator.demand import synthetic_trips
from simulator.engine import Engine, Terms
from simulator.model import Outcomes, Progress, RawTrips, SimulationAsk, quiet
from simulator.net import Net, build_net, posts_near, trips_on
from simulator.outlook import Outlook
from simulator.page import REPORT_FILE, Shown, read_shown, write_page
from simulator.plots import make_plots
from simulator.ports import Rules, SimulatedCity
from simulator.report import Report, RunFacts, make_report, write_trips
from simulator.scenario import Scenario, first_of, names_nodes, place_trips, read_node_trips, read_trips
from simulator.starts import drawn_starts, read_starts

DEFAULT_LIMITS = SimulatorSettings()


def run(
    ask: SimulationAsk,
    city: SimulatedCity,
    rules: Rules,
    progress: Progress = quiet,
    limits: SimulatorSettings = DEFAULT_LIMITS,
) -> Report:
    """Simulate and report; writes report.json, trips.csv and report.html into `ask.out` where that is given.

    The same ask, files and rules give the same bytes, wall_s and speedup apart. Raises InvalidInput for an ask that
    breaks a rule and BadFile for a file that cannot be read or written.
    """
    ask = ask.checked(limits)
    beside = None if ask.beside is None else read_shown(ask.beside)
    scenario = load(ask, city, progress, limits)
    drivers = len(scenario.lat) - 2 * len(scenario.raw.at)
    net = build_net(city, progress, limits.max_posts) if ask.mode == "batch" or ask.bound else None
    bound = None
    if net is not None and ask.bound:
        trips, starts = trips_on(net, city, scenario)
        bound = hindsight_bound((trips, net.roads, starts), ask.max_wait_s, limits.max_bound_requests)
    engine: Engine | BatchEngine
    if net is not None and ask.mode == "batch":
        engine = batch_engine(ask, (city, net, scenario), rules, limits)
        batch_engine(ask, (city, net, first_of(scenario)), rules, limits).run(quiet)  # so that compiling is not counted
    else:
        engine = Engine(scenario, Terms(rules, ask.mode, ask.max_wait_s))
        _compile(scenario)
    began = time.perf_counter()  # a measurement of this machine, not a time of the simulated world
    outcomes = engine.run(progress)
    wall_s = time.perf_counter() - began
    report = make_report(scenario, outcomes, RunFacts(ask.mode, ask.seed, drivers, wall_s, bound))
    if ask.out is not None:
        shown = Shown(report, make_plots(scenario, outcomes, drivers, ask.title))
        _write(ask.out, scenario, outcomes, (shown, beside))
    return report


def load(ask: SimulationAsk, city: SimulatedCity, progress: Progress, limits: SimulatorSettings) -> Scenario:
    """Demand and starts, on the city's roads. One seed, but a stream of its own for each purpose."""
    progress("trips", 0.0)
    demand_rng, starts_rng = (np.random.default_rng([ask.seed, purpose]) for purpose in (1, 2))
    starts = None if ask.fleet is None else read_starts(ask.fleet, city, limits.max_drivers)
    drivers = ask.drivers if ask.drivers is not None else len(starts[0]) if starts is not None else 0
    if ask.trips is None:
        raw = synthetic_trips(drivers, city.road_points(), demand_rng)
    else:
        raw = _read(ask.trips, city, limits)
    progress("trips", 1.0)
    if starts is None:
        starts = drawn_starts(drivers, raw, city, starts_rng)
    return place_trips(raw, starts, city, progress)


def batch_engine(
    ask: SimulationAsk, world: tuple[SimulatedCity, Net, Scenario], rules: Rules, limits: SimulatorSettings
) -> BatchEngine:
    """A batch run of the scenario on the net's posts."""
    city, net, scenario = world
    trips, starts = trips_on(net, city, scenario)
    terms = BatchTerms(
        rules, ask.window_s, ask.max_wait_s, ask.open_until, ask.reposition,
        float(scenario.requests.at[0]) if len(scenario.requests) else 0.0,
    )  # fmt: skip
    past = None
    if ask.history is not None and ask.reposition:
        raw = _read(ask.history, city, limits)
        good = np.array([reason is None for reason in raw.reason], dtype=np.bool_)
        past = Outlook.of(raw.at[good], posts_near(net, raw.pickup_lat[good], raw.pickup_lng[good]))
    return BatchEngine((trips, net.roads, starts), terms, (limits, past), scenario.requests.direct_m)


def _read(path: Path, city: SimulatedCity, limits: SimulatorSettings) -> RawTrips:
    return read_node_trips(path, city, limits.max_rows) if names_nodes(path) else read_trips(path, limits.max_rows)


def _compile(scenario: Scenario) -> None:
    """Ask each kind of way once, so that compiling is not counted as simulating."""
    last = len(scenario.lat) - 1
    scenario.places.to_one(np.array([last]), last)
    scenario.places.one_to(last, np.array([last]))


def _write(out: Path, scenario: Scenario, outcomes: Outcomes, shown: tuple[Shown, Shown | None]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / REPORT_FILE).write_bytes(shown[0].report.to_json() + b"\n")
        write_trips(out / "trips.csv", scenario, outcomes)
        write_page(out, *shown)
    except OSError as error:
        raise BadFile(f"{out}: cannot be written: {error.strerror}") from error
