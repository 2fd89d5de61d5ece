"""The engine is killed at random moments under load and started again on the same data: its truths hold every time.

The clients are the demo's own drivers and riders, over the real sockets and API; a ledger keeps what they were told.
What is judged afterwards is the ledger against the stores, read from outside.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from pathlib import Path
from typing import cast

import pytest

from app.demo import random_place
from core.geo import LatLng, haversine_m
from maps.cities import City
from runtime.auth import Scope, Tokens
from runtime.clocks import ScaledClock
from runtime.datadir import DataDir
from simulator.agents.codes import StartCodes
from simulator.agents.fleet import Fleet, FleetPlan
from simulator.agents.recorder import Body, Kind, Silent
from simulator.agents.world import DriverHabits, RiderHabits, World
from tests.e2e.engine_process import EngineProcess
from tests.e2e.truths import Truths

KILLS = int(os.environ.get("HEXCAB_KILLS", "20"))
SEED = int(os.environ.get("HEXCAB_KILL_SEED", "1"))
SPEED = 6.0
RADIUS_M = 900.0
CALM_S = 90.0  # wall time for what is under way to end

pytestmark = pytest.mark.slow


class Ledger(Silent):
    """Everything that was acknowledged to a client."""

    def __init__(self) -> None:
        self.booked_by: dict[str, str] = {}  # request: rider
        self.request_status: dict[str, str] = {}  # request: the last status its rider was told
        self.trips: dict[str, Body] = {}  # the last that anybody was told of it
        self.told: dict[str, set[tuple[Kind, str]]] = {}  # trip: whom
        self.statuses: dict[str, set[str]] = {}  # trip: every status that was told
        self.accepts: set[str] = set()

    def booked(self, rider_id: str, request_id: str) -> None:
        self.booked_by[request_id] = rider_id

    def request_seen(self, rider_id: str, request: Body) -> None:
        self.request_status[request["request_id"]] = request["status"]

    def accepting(self, driver_id: str, offer_id: str) -> None:
        self.accepts.add(offer_id)

    def trip_seen(self, kind: Kind, person_id: str, trip: Body) -> None:
        self.trips[trip["trip_id"]] = trip
        self.told.setdefault(trip["trip_id"], set()).add((kind, person_id))
        self.statuses.setdefault(trip["trip_id"], set()).add(trip["status"])


def _clock_of(data_dir: Path) -> ScaledClock:
    """The engine's time as its data directory has it: an app knows it from /v1/config, to the millisecond here."""
    mark = json.loads((data_dir / "clock.json").read_text())
    return ScaledClock(mark["speed"], mark["engine"] + (time.time() - mark["wall"]) * mark["speed"])


def _world(engine: EngineProcess, city: City, ledger: Ledger) -> World:
    tokens = Tokens(DataDir(engine.data_dir).key())

    def place(rng: random.Random) -> LatLng:
        while haversine_m(found := random_place(city, rng), city.centre) > RADIUS_M:
            pass
        return found

    return World(
        clock=_clock_of(engine.data_dir),
        base_url=engine.url,
        gateway_url=engine.gateway_url,
        mint=lambda scope, subject: tokens.sign(cast(Scope, scope), subject, 86_400),
        path=city.paths.path,
        place=place,
        recorder=ledger,
        codes=StartCodes(),
        driver_habits=DriverHabits(drop_out_every_s=600.0, rest_s=30.0),
        rider_habits=RiderHabits(cancel=0.15),
    )


async def _kill_and_restart(engine: EngineProcess, rng: random.Random) -> int:
    """Kill at a random moment; one time in four again while the engine is still starting. Returns the kills."""
    kills = 0
    await asyncio.sleep(rng.uniform(0.2, 4.0))
    engine.kill()
    kills += 1
    if rng.random() < 0.25:
        engine.process = engine.spawn()
        await asyncio.sleep(rng.uniform(0.3, 3.0))
        engine.kill()
        kills += 1
    await engine.start()
    return kills


async def _until_over(fleet: Fleet, engine: EngineProcess) -> None:
    """No new riders; wait until nobody rides or waits and the outbox is empty."""
    fleet.send_no_more_riders()
    until = time.monotonic() + CALM_S
    while fleet.riding and time.monotonic() < until:
        await asyncio.sleep(0.5)
    while time.monotonic() < until and await engine.metric("hexcab_outbox_waiting") != 0:
        await asyncio.sleep(0.5)


async def test_the_truths_hold_over_kills_at_random_moments(
    tmp_path: Path, gothenburg: City, gothenburg_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(SEED)
    settings = {
        "runtime": {"clock_speed": SPEED},
        "trips": {"archive_every_s": 60.0},
        "web": {"max_frames_per_s": 200.0},
    }
    engine = EngineProcess(tmp_path / "d", settings=settings, home=gothenburg_home)
    ledger = Ledger()
    await engine.start()
    fleet = Fleet(FleetPlan(drivers=40, requests_per_h=700, seed=SEED), _world(engine, gothenburg, ledger))
    fleet.start()
    kills = 0
    try:
        await asyncio.sleep(8)  # so that the first kill already hits rides of every stage
        while kills < KILLS:
            kills += await _kill_and_restart(engine, rng)
        await _until_over(fleet, engine)
    finally:
        await fleet.stop()
        exit_code = await engine.stop()
    assert exit_code == 0, engine.last_words()

    truths = Truths(engine.data_dir)
    with capsys.disabled():
        print(f"\nkills={kills} seed={SEED} booked={len(ledger.booked_by)} {truths.figures()}")
    assert len(ledger.booked_by) >= 2 * KILLS, "too little load to say anything"
    assert truths.count("completed") >= KILLS / 2, "too few rides came to their end to say anything"
    truths.check()
    truths.check_against(ledger.booked_by, ledger.request_status, ledger.told, ledger.statuses)
