"""Searches that wait: what 1,500 of them cost an engine while no driver is near, and how soon a driver is found.

The floor is one client that asks Redis and SQL once a second what all of them want to know, and does nothing with it.
Cost is CPU seconds of the engine and its Redis per open search and second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from benchmarks.harness import Ask, Result, Rounds, fail, machine, percentile, rounded, today, versions
from benchmarks.processes import CLIENT_CORE, SERVER_CORE, Child, children, cpu_s, needs_two_cores, python

SEARCHES = 1_500
PLACE = {"lat": 57.7041, "lng": 11.9697}
PERIOD_S = 1.0  # of the floor
WINDOW_S = 5.0  # of one round
SETTLE_S = 3.0
BOOK_S = 300.0  # the longest that the bookings may take
OFFER_S = 120.0  # the longest that a driver waits for an offer


class Engine:
    """The engine under test."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.gateway: str = child.answer()["gateway"]

    def do(self, timeout_s: float = BOOK_S, **command: Any) -> dict[str, Any]:
        """Have it done; returns what came of it."""
        self.child.write(json.dumps(command) + "\n")
        return self.child.answer(timeout_s)

    def cpu_s(self) -> float:
        """Of the engine and of its Redis."""
        return sum(cpu_s(pid) for pid in (self.child.pid, *_children(self.child.pid)))


class Floor:
    """The asker beside it."""

    def __init__(self, child: Child) -> None:
        self._child = child
        child.line()

    def cpu_s(self) -> float:
        """Of the asker alone: its questions cost Redis what the engine's would."""
        return cpu_s(self._child.pid)


def run(ask: Ask) -> Result:
    """Measure; see the module."""
    needs_two_cores()
    before = machine()
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as name, children() as running:
        folder = Path(name)
        running.append(Child(python("benchmarks.servers.searches", name), SERVER_CORE))
        engine = Engine(running[-1])
        _measure(engine, ask, rounds, "engine_without_searches")
        waits = {1: _offers(engine, ask, 1)}
        begun = engine.cpu_s()
        engine.do(book=SEARCHES)
        booking_s = engine.cpu_s() - begun
        ask.say(f"booked; {1e3 * booking_s / SEARCHES:.1f} ms CPU a booking with its first look")
        time.sleep(SETTLE_S)
        if (open_now := engine.do()["searches"]) != SEARCHES:
            fail(f"{open_now} searches are under way instead of {SEARCHES}")
        _measure(engine, ask, rounds, "engine")
        waits[SEARCHES] = _offers(engine, ask, SEARCHES)
        redis, database = str(folder / "valkey" / "s"), str(folder / "hexcab.db")
        with _asking(running, redis, database) as floor:
            _measure(floor, ask, rounds, "floor")
    ratios = {"share_of_floor": rounds.add_ratio("share_of_floor", "floor", "engine")}
    per_search = {f"{name}_us_per_search_s": 1e6 * rounds.median(name) / SEARCHES for name in ("engine", "floor")}
    figures = {name: rounded(value) for name, value in per_search.items()}
    figures["engine_share_of_core"] = rounded(rounds.median("engine"))
    figures["idle_engine_share_of_core"] = rounded(rounds.median("engine_without_searches"))
    figures["booking_cpu_ms"] = rounded(1e3 * booking_s / SEARCHES)
    for open_searches, each in waits.items():
        figures |= {f"offer_{open_searches}_p{p}_s": rounded(percentile(each, p / 100)) for p in (50, 95)}
    return Result(
        name="searches",
        figures=figures,
        ratios=ratios,
        spread={"share_of_floor": rounds.spreads()["share_of_floor"]},
        checked=sum(map(len, waits.values())),
        machine=before,
        versions=versions(),
        date=today(),
        quick=ask.quick,
        notes=[
            f"{SEARCHES:,} open searches in a town of 12 x 11 km, no driver anywhere, engine and Redis on one core.",
            f"Floor: one client asks for every segment and every open request each {PERIOD_S:g} s.",
            "offer_N: seconds from a driver's first ping to the offer on their socket, with N searches open.",
            "Before searches rested, on the same machine: all of a core, and an offer after 18.3 s with 1,500 open.",
        ],
    )


def _measure(process: Engine | Floor, ask: Ask, rounds: Rounds, name: str) -> None:
    for _ in range(ask.rounds):
        begun, at = process.cpu_s(), time.monotonic()
        time.sleep(WINDOW_S)
        rounds.add(name, (process.cpu_s() - begun) / (time.monotonic() - at))
    ask.say(f"{name}: {100 * rounds.median(name):.2f} % of a core")


def _offers(engine: Engine, ask: Ask, open_searches: int) -> list[float]:
    """Seconds from each of some drivers' first pings to the offer; each leaves before the next comes."""
    if open_searches == 1:
        engine.do(book=1)
    drivers = engine.do(hire=5 if ask.quick else 20)["drivers"]
    waits = [asyncio.run(_first_offer(engine, driver)) for driver in drivers]
    ask.say(f"an offer after {percentile(waits, 0.5):.2f} s with {open_searches} searches open")
    if open_searches == 1:
        engine.do(cancel=True)
    return waits


async def _first_offer(engine: Engine, driver: dict[str, str]) -> float:
    headers = {"Authorization": f"Bearer {driver['token']}"}
    async with asyncio.timeout(OFFER_S), connect(engine.gateway, additional_headers=headers) as socket:
        await _hear(socket, "welcome")
        await socket.send(json.dumps({"type": "status", "online": True}))
        begun = time.monotonic()
        ping = {"type": "ping", "seq": 1, "ts": int(time.time() * 1000), **PLACE}
        await socket.send(json.dumps(ping))
        await _hear(socket, "offer")
        return time.monotonic() - begun


async def _hear(socket: Any, kind: str) -> None:
    while json.loads(await socket.recv())["type"] != kind:
        pass


@contextlib.contextmanager
def _asking(running: list[Child], redis: str, database: str) -> Iterator[Floor]:
    child = Child(python("benchmarks.servers.asker", redis, database, str(PERIOD_S)), CLIENT_CORE)
    running.append(child)
    yield Floor(child)
    child.end()


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            found += map(int, (task / "children").read_text("ascii").split())
    return found
