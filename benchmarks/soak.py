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
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import uvloop

from benchmarks.arrivals import Arrivals, offer_waits
from benchmarks.harness import Ask, CannotRun, Result, fail, machine, percentile, rounded, today, versions
from benchmarks.memory import Memory, resident_mb, slopes
from core.geo import LatLng
from runtime.settings import MapSettings
from tests.simulation.cluster import BadEnd, Cluster
from tests.simulation.clusters import running
from tests.simulation.crowd import Crowd
from tests.simulation.embedded import SETTINGS
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
PLACES = 300
HABITS = Habits(twice=0.0, greedy=0.0, rider_cancels=0.05, driver_cancels=0.02, watch=False)
NEEDS_FILES = 3  # for each driver: its own end of the connection and both of the proxy
SPARE_FILES = 4_000
# the only process of an engine, once started anew, has no memory of its warm-up: it is spared these
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
    within_m: float  # of the city's centre
    ping_interval_s: float = 5.0


FULL = Size(
    drivers=5_000, riders=4_000, rides_per_s=20.0, minutes=10.0, fault_every_s=60.0, warm_up_s=180.0, within_m=2_500.0
)
QUICK = Size(drivers=200, riders=100, rides_per_s=2.0, minutes=0.35, fault_every_s=7.0, warm_up_s=5.0, within_m=800.0)


def size_of(ask: Ask) -> Size:
    """What is asked for. Fewer drivers have fewer rides; of a shorter run the same share is warm-up."""
    size = QUICK if ask.quick else FULL
    if ask.drivers is not None:
        share = ask.drivers / size.drivers
        riders = max(1, round(size.riders * share))
        size = replace(size, drivers=ask.drivers, riders=riders, rides_per_s=size.rides_per_s * share)
    if ask.minutes is not None:
        warm_up_s = size.warm_up_s * min(1.0, ask.minutes / size.minutes)
        size = replace(size, minutes=ask.minutes, warm_up_s=warm_up_s)
    return size


@dataclass(slots=True)
class Soak:
    """One run."""

    cluster: Cluster
    size: Size
    ask: Ask
    history: History
    memory: Memory
    faults: int = 0
    loaded_s: float = 0.0
    cpu_s: dict[tuple[str, int], float] = field(default_factory=dict)  # of each life of a process, since the load began

    async def run(self) -> Result:
        """Load, faults, rest, judgement. Raises WrongAnswer when a truth is broken."""
        http = Http(self.cluster.api_url, self.cluster.mint)
        try:
            return await self._run(http)
        finally:
            await http.close()

    async def _run(self, http: Http) -> Result:
        size, cluster, rng = self.size, self.cluster, random.Random(SEED)
        places = await open_places(http, rng, PLACES, size.within_m)
        scene = Scene(http, cluster.mint, cluster.rider_url, cluster.driver_url, self.history, places, HABITS)
        crowd = Crowd(scene, SEED)
        await _renew_roads(http, places[0])
        begun = time.monotonic()
        pool = await crowd.sign_up_all("rider", size.riders)
        await crowd.start(size.drivers, 0)
        self.ask.say(f"{size.drivers} drivers and {size.riders} riders signed up in {time.monotonic() - begun:.0f} s")
        arrivals = Arrivals(scene, pool, rng)
        try:
            async with self._beside(arrivals):
                loaded_at = time.monotonic()
                await self._strike(crowd, arrivals)
                self.loaded_s = time.monotonic() - loaded_at
            late = await arrivals.rest(REST_S)
            late += len(await crowd.rest(REST_S))
            figures = self._figures(arrivals)
            self.ask.say(f"{figures}")  # a run in which a truth is broken shows them nowhere else
            checked = await self._judge(http, late)
        finally:
            await crowd.stop()
        return self._result(figures, checked)

    @contextlib.asynccontextmanager
    async def _beside(self, arrivals: Arrivals) -> AsyncIterator[None]:
        """Riders come and memory is looked at for as long as the block lasts."""
        tasks = [asyncio.create_task(arrivals.come(self.size.rides_per_s)), asyncio.create_task(self._look())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if not isinstance(end, asyncio.CancelledError):
                raise CannotRun(f"the load or the look at memory ended by itself: {end!r}")

    async def _look(self) -> None:
        before: dict[tuple[str, int], float] = {}
        while True:
            pids = {name: member.pid for name, member in self.cluster.members.items()}
            pids |= {**self.cluster.children(), "load": os.getpid()}
            self.memory.look(pids, resident_mb)
            for name, pid in pids.items():
                with contextlib.suppress(psutil.Error):
                    # whatever was started here is a child of the load's process, and has a name of its own
                    used_s = sum(psutil.Process(pid).cpu_times()[:2]) if name == "load" else _family_cpu_s(pid)
                    before.setdefault((name, pid), used_s)
                    self.cpu_s[name, pid] = used_s - before[name, pid]
            await asyncio.sleep(LOOK_EVERY_S)

    async def _strike(self, crowd: Crowd, arrivals: Arrivals) -> None:
        """A fault at each interval, none in the last one, so that the end is calm."""
        alone = len(self.cluster.members) == 1
        chosen = [each for each in possible(self.cluster) if not (alone and each[0] in RESTARTS)]
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
            try:
                await fault.strike(self.cluster)
            except BadEnd as error:
                fail(str(error))
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

    def _figures(self, arrivals: Arrivals) -> dict[str, float]:
        waits = offer_waits(self.history.records)
        figures = {f"offer_p{share}_ms": rounded(1e3 * percentile(waits, share / 100)) for share in (50, 95, 99)}
        grown = slopes(self.memory.lives, self.size.warm_up_s)
        figures |= {f"{name.replace(' ', '_')}_mb_per_h": rounded(slope) for name, slope in grown.items()}
        last = {life.name: life.samples[-1][1] for life in self.memory.lives if life.samples}
        figures |= {f"{name.replace(' ', '_')}_mb": rounded(mb) for name, mb in sorted(last.items())}
        used: dict[str, float] = defaultdict(float)
        for (name, _), seconds in self.cpu_s.items():
            used[name] += seconds
        figures |= {f"{name.replace(' ', '_')}_cores": rounded(used[name] / self.loaded_s) for name in sorted(used)}
        done = self.history.outcomes
        figures |= {
            "rides": float(arrivals.came),
            "turned_away": float(arrivals.turned_away),
            "acked_trip_pings": float(self.history.acked_pings),
            "faults": float(self.faults),
            "operations": float(done["invoke"]),
            "unknown": float(done["invoke"] - done["ok"] - done["fail"]),
        }
        return figures

    def _result(self, figures: dict[str, float], checked: int) -> Result:
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
                "Cores are CPU seconds per second under load, of each process with its children.",
                "Every request, trip, trail and event was compared with what clients were told: nothing was lost.",
            ],
        )


def _family_cpu_s(pid: int) -> float:
    """With the children that live and those that ended. Raises psutil.Error where there is no such process."""
    process = psutil.Process(pid)
    times = [process.cpu_times()]
    for child in process.children():
        with contextlib.suppress(psutil.Error):
            times.append(child.cpu_times())
    return float(sum(each.user + each.system + each.children_user + each.children_system for each in times))


async def _renew_roads(http: Http, place: LatLng) -> None:
    """Close a street and open it again: every process takes its second set of labels, once, before memory is judged."""
    lng, lat, half = place.lng, place.lat, 1e-4
    ring = [[lng + half * x, lat + half * y] for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    closed = await http.call("POST", "/v1/roads/closures", body=feature)
    if not closed.ok:
        raise CannotRun(f"a street cannot be closed: {closed}")
    await asyncio.sleep(2 * MapSettings().roads_look_s)
    for each in closed.body["features"]:
        await http.call("DELETE", f"/v1/roads/closures/{each['id']}")
    await asyncio.sleep(2 * MapSettings().roads_look_s)


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
    size = size_of(ask)
    allow_files(NEEDS_FILES * size.drivers + SPARE_FILES)
    location = {**SETTINGS["location"], "ping_interval_s": size.ping_interval_s}
    async with running(os.environ.get("HEXCAB_SOAK", "real"), {**SETTINGS, "location": location}) as cluster:
        return await Soak(cluster, size, ask, History(), Memory()).run()
