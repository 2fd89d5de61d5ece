"""A soak: thousands of connected drivers, riders at a steady rate, a fault a minute; nothing may be lost.

Afterwards every truth of tests/simulation is judged from what the clients were told. Figures are the time from a
rider's ask to a driver's offer, faults included, and the growth of each process's memory after its warm-up. The load
comes from this one process, through the faults' proxies, on the same cores as the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks.arrivals import Arrivals, offer_waits
from benchmarks.harness import Ask, CannotRun, Result, fail, machine, percentile, rounded, today, versions
from benchmarks.memory import Memory, resident_mb, slopes
from tests.simulation.cluster import Cluster
from tests.simulation.crowd import Crowd, sign_up
from tests.simulation.embedded import Embedded
from tests.simulation.facts import FactReader
from tests.simulation.faults import possible
from tests.simulation.history import History
from tests.simulation.http import Http
from tests.simulation.nemesis import schedule
from tests.simulation.rules import judge
from tests.simulation.scene import Habits, Scene, open_places

SEED = 1
LOOK_EVERY_S = 5.0
REST_S = 180.0
SETTLE_S = 120.0
PLACES, WITHIN_M = 300, 4_000.0
HABITS = Habits(twice=0.0, greedy=0.0, rider_cancels=0.05, driver_cancels=0.02, watch=False)
NEEDS_FILES = 3  # for each driver: its own end of the connection and both of the proxy
SPARE_FILES = 4_000
# a process that is started anew has no memory of the warm-up: those faults are for `make chaos`
RESTARTS = ("kill", "kill twice", "drain")


@dataclass(frozen=True, slots=True)
class Size:
    """How much, for how long. Times are wall seconds."""

    drivers: int
    riders: int
    rides_per_s: float
    minutes: float
    fault_every_s: float
    warm_up_s: float
    ping_interval_s: float = 5.0


FULL = Size(drivers=5_000, riders=4_000, rides_per_s=20.0, minutes=10.0, fault_every_s=60.0, warm_up_s=180.0)
QUICK = Size(drivers=200, riders=100, rides_per_s=2.0, minutes=0.4, fault_every_s=12.0, warm_up_s=5.0)


@dataclass(slots=True)
class Soak:
    """One run."""

    cluster: Cluster
    size: Size
    ask: Ask
    history: History
    memory: Memory
    faults: int = 0

    async def run(self) -> Result:
        """Load, faults, rest, judgement. Raises WrongAnswer when a truth is broken."""
        http = Http(self.cluster.api_url, self.cluster.mint)
        try:
            return await self._run(http)
        finally:
            await http.close()

    async def _run(self, http: Http) -> Result:
        size, cluster, rng = self.size, self.cluster, random.Random(SEED)
        places = await open_places(http, rng, PLACES, WITHIN_M)
        scene = Scene(http, cluster.mint, cluster.rider_url, cluster.driver_url, self.history, places, HABITS)
        crowd = Crowd(scene, SEED)
        begun = time.monotonic()
        pool = await asyncio.gather(*(sign_up(scene, "rider", rng) for _ in range(size.riders)))
        await crowd.start(size.drivers, 0)
        self.ask.say(f"{size.drivers} drivers and {size.riders} riders signed up in {time.monotonic() - begun:.0f} s")
        arrivals = Arrivals(scene, pool, rng)
        try:
            async with self._beside(arrivals):
                await self._strike(crowd, arrivals)
            late = await arrivals.rest(REST_S)
            late += len(await crowd.rest(REST_S))
            checked = await self._judge(http, late)
        finally:
            await crowd.stop()
        return self._result(arrivals, checked)

    @contextlib.asynccontextmanager
    async def _beside(self, arrivals: Arrivals) -> AsyncIterator[None]:
        """Riders come and memory is looked at for as long as the block lasts."""
        tasks = [asyncio.create_task(arrivals.come(self.size.rides_per_s)), asyncio.create_task(self._look())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            pids = {name: member.pid for name, member in self.cluster.members.items()}
            self.memory.look({**pids, **self.cluster.children(), "load": os.getpid()}, resident_mb)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _strike(self, crowd: Crowd, arrivals: Arrivals) -> None:
        """A fault at each interval, none in the last one, so that the end is calm."""
        chosen = [each for each in possible(self.cluster) if each[0] not in RESTARTS]
        began, end = time.monotonic(), time.monotonic() + 60 * self.size.minutes
        for number, fault in enumerate(schedule(chosen, SEED), 1):
            at = began + number * self.size.fault_every_s
            while time.monotonic() < min(at, end):
                crowd.check()
                arrivals.check()
                await asyncio.sleep(0.5)
            if at + self.size.fault_every_s > end:
                await asyncio.sleep(max(0.0, end - time.monotonic()))
                return
            self.ask.say(
                f"{at - began:.0f} s: {fault.kind} {fault.target} for {fault.seconds} s, {arrivals.came} rides"
            )
            await fault.strike(self.cluster)
            self.faults += 1

    async def _judge(self, http: Http, late: int) -> int:
        if late:
            fail(f"{late} riders and drivers are still under way after {REST_S:.0f} s of rest")
        reader = FactReader(http, self.cluster.events)
        until = time.monotonic() + SETTLE_S
        facts = await reader.read(self.history.records)
        while (found := judge(self.history.records, facts)) and time.monotonic() < until:
            facts = await reader.read(self.history.records)
        if found:
            path = Path(tempfile.gettempdir()) / "hexcab-soak.jsonl"
            self.history.write(path)
            fail(f"{len(found)} truths are broken, such as {found[0]}; the history is in {path}")
        return len(facts.requests) + len(facts.trips) + self.history.acked_pings

    def _result(self, arrivals: Arrivals, checked: int) -> Result:
        waits = offer_waits(self.history.records)
        figures = {f"offer_p{share}_ms": rounded(1e3 * percentile(waits, share / 100)) for share in (50, 95, 99)}
        grown = slopes(self.memory.lives, self.size.warm_up_s)
        figures |= {f"{name.replace(' ', '_')}_mb_per_h": rounded(slope) for name, slope in grown.items()}
        last = {life.name: life.samples[-1][1] for life in self.memory.lives if life.samples}
        figures |= {f"{name.replace(' ', '_')}_mb": rounded(mb) for name, mb in sorted(last.items())}
        done = self.history.outcomes
        figures |= {
            "rides": float(arrivals.came),
            "turned_away": float(arrivals.turned_away),
            "acked_trip_pings": float(self.history.acked_pings),
            "faults": float(self.faults),
            "operations": float(done["invoke"]),
            "unknown": float(done["invoke"] - done["ok"] - done["fail"]),
        }
        size = self.size
        return Result(
            name="soak",
            figures=figures,
            ratios={},
            checked=checked,
            machine=machine(),
            versions=versions(),
            date=today(),
            quick=self.ask.quick,
            notes=[
                f"{size.drivers:,} drivers pinging every {size.ping_interval_s:.0f} s, {size.rides_per_s:g} rides a "
                f"second for {size.minutes:g} minutes, a fault every {size.fault_every_s:.0f} s.",
                f"Memory after {size.warm_up_s:.0f} s of warm-up, by least squares over the longest life of a process.",
                "Every request, trip, trail and event was compared with what clients were told: nothing was lost.",
            ],
        )


def run(ask: Ask) -> Result:
    """The benchmark."""
    return uvloop.run(_soak(ask))


def allow_files(wanted: int) -> None:
    """Let this process and its children open so many files. Raises CannotRun where the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise CannotRun(f"the soak opens {wanted} files and the system allows {hard}: raise ulimit -Hn")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _soak(ask: Ask) -> Result:
    size = QUICK if ask.quick else FULL
    allow_files(NEEDS_FILES * size.drivers + SPARE_FILES)
    with tempfile.TemporaryDirectory(prefix="hxc") as folder:
        cluster: Cluster = Embedded(Path(folder) / "d", ping_interval_s=size.ping_interval_s)
        await cluster.start()
        try:
            return await Soak(cluster, size, ask, History(), Memory()).run()
        finally:
            await cluster.stop()
