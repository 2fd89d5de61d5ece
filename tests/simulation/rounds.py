"""Rounds: load, a fault under it, repair, rest, and the judgement of everything so far."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation.cluster import BadEnd, Cluster
from tests.simulation.crowd import Crowd
from tests.simulation.facts import FactReader, Facts, is_settled
from tests.simulation.faults import Fault
from tests.simulation.history import History
from tests.simulation.http import Http
from tests.simulation.rules import judge
from tests.simulation.scene import Habits, Scene, open_places
from tests.simulation.violation import Violation

_PLACES, _WITHIN_M = 60, 500.0
_REST_S = 150.0  # for rides under way to end: an ailing engine may need several of its own time-outs
_SETTLE_S = 120.0  # for the events and prices that follow


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a run is."""

    drivers: int = 24
    riders: int = 30
    before_s: float = 5.0  # load before the fault
    after_s: float = 6.0  # and after it
    judge_every: int = 1  # so many faults, one soon after the other, make a round
    habits: Habits = field(default_factory=Habits)


@dataclass(frozen=True, slots=True)
class Row:
    """What a round did."""

    fault: Fault
    operations: int
    ok: int
    fail: int
    unknown: int
    pings: int
    trips: int | None  # known, and judged with all the rest, once the round is over
    violations: int | None
    round_s: float


@dataclass(slots=True)
class Run:
    """A run over one cluster. `begin`, then `round` by `round`, then `finish`."""

    cluster: Cluster
    plan: Plan
    seed: int
    folder: Path  # for histories that break a truth
    history: History = field(default_factory=History)
    rows: list[Row] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    _under: list[str] = field(default_factory=list)  # faults since the last judgement
    _bad: list[Violation] = field(default_factory=list)
    _crowd: Crowd | None = None
    _reader: FactReader | None = None
    _http: Http | None = None

    async def begin(self) -> None:
        """Let everybody come."""
        cluster = self.cluster
        self._http = http = Http(cluster.api_url, cluster.mint)
        places = await open_places(http, random.Random(f"{self.seed} places"), _PLACES, _WITHIN_M)
        scene = Scene(http, cluster.mint, cluster.rider_url, cluster.driver_url, self.history, places, self.plan.habits)
        self._crowd = Crowd(scene, self.seed)
        self._reader = FactReader(http, cluster.events)
        await self._crowd.start(self.plan.drivers, self.plan.riders)

    async def round(self, fault: Fault) -> Row:
        """A fault, and what the round's last one adds: rest and judgement. Violations are kept with their history."""
        assert self._crowd is not None
        began, before, pings = time.monotonic(), self.history.outcomes.copy(), self.history.acked_pings
        await asyncio.sleep(self.plan.before_s)
        self._bad += await self._strike(fault)
        await asyncio.sleep(self.plan.after_s)
        self._under.append(f"{fault.kind} {fault.target}")
        found: int | None = None
        trips: int | None = None
        if len(self._under) >= self.plan.judge_every:
            found, trips = await self._judge()
            self._crowd.go_on()
        done = self.history.outcomes - before
        row = Row(
            fault=fault,
            operations=done["invoke"],
            ok=done["ok"],
            fail=done["fail"],
            unknown=done["unknown"],  # also of calls that were made under the fault before
            pings=self.history.acked_pings - pings,
            trips=trips,
            violations=found,
            round_s=time.monotonic() - began,
        )
        self.rows.append(row)
        return row

    async def _strike(self, fault: Fault) -> list[Violation]:
        try:
            await fault.strike(self.cluster)
        except BadEnd as error:
            return [Violation("a_member_ends_well", fault.target, str(error))]
        return []

    async def finish(self) -> None:
        """Judge everything once more, read anew from the engine, and let everybody go."""
        self._under.append("the end")
        await self._judge(everything=True)

    async def close(self) -> None:
        """Hang up; raises what went wrong in a client itself."""
        if self._crowd is not None:
            await self._crowd.stop()
        if self._http is not None:
            await self._http.close()

    async def _judge(self, *, everything: bool = False) -> tuple[int, int]:
        assert self._crowd is not None
        where, self._under = ", ".join(self._under), []
        found, self._bad = self._bad, []
        busy = await self._crowd.rest(_REST_S)
        facts = await self._settled(everything)
        facts.delivered = await self.cluster.delivered()
        found += [Violation("it_comes_to_rest", who, "still under way") for who in busy]
        found += judge(self.history.records, facts)
        new = [each for each in found if each not in self.violations]
        if new:
            self._keep(where, new)
        return len(new), len(facts.trips)

    async def _settled(self, everything: bool) -> Facts:
        assert self._reader is not None
        until = time.monotonic() + _SETTLE_S
        while True:
            facts = await self._reader.read(self.history.records, everything=everything)
            waiting = any(event["state"] == "waiting" for event in facts.events)
            if (not waiting and all(map(is_settled, facts.trips.values()))) or time.monotonic() > until:
                return facts
            await asyncio.sleep(0.5)

    def _keep(self, where: str, found: Sequence[Violation]) -> None:
        self.violations += found
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"history-{self.seed}-{len(self.kept) + 1}.jsonl"
        self.history.write(path)
        lines = [f"{each.rule}: {each.about}: {each.detail}" for each in found]
        path.with_suffix(".txt").write_text("\n".join([f"seed {self.seed}, {where}", *lines, ""]))
        for log in self.cluster.logs():
            shutil.copy(log, self.folder / f"{path.stem}-{log.name}")
        self.kept.append(path)


async def run(run_: Run, faults: Iterator[Fault], more: Callable[[Run], bool], tell: Callable[[Row], None]) -> None:
    """Round after round while `more` says so."""
    try:
        await run_.begin()
        while more(run_):
            tell(await run_.round(next(faults)))
        await run_.finish()
    finally:
        await run_.close()
