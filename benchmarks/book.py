"""Bookings: POST /v1/ride-requests on PostgreSQL, beside pgbench running the booking's own transaction.

64 clients, a fresh rider for each booking, no drivers. Both parties have both cores, and share them with their client:
pgbench with pgbench, the engine with native/booker.c. Every turn begins on a database without rows, and with an engine
that has just started and was warmed up. Then a process with every role gets 20 requests a second and drivers: the time
from the ask to the first offer on a driver's socket, beside the same transaction by a single client.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import asking
from benchmarks.bookings import Asks, book, check, engine_cpu_s, engines, places
from benchmarks.harness import Ask, Result, Rounds, interleaved, machine, percentile, today, versions
from benchmarks.pgbench import Pgbench, Postgres, booked_rows
from benchmarks.processes import needs_two_cores
from core.geo import LatLng

CLIENTS = 64
MOST_PER_S = 12_000  # requests prepared: more than any engine took
WARM_S = 0.5
EDGES = {"process": 0, "edge": 1, "two_edges": 2}  # 0: one process with every role
NOTES = [
    f"{CLIENTS} clients. Engine, PostgreSQL and clients share both cores, as pgbench and PostgreSQL do in their turn; "
    "CPU microseconds of each party for one booking say who had how much. The engine's clients are a C program.",
    "pgbench runs the rows that the engine wrote for a booking (kept answer, ride request, event), as three prepared "
    "inserts between BEGIN and END; one_statement has them in one statement and one trip.",
    "process is `hexcab serve` with its default settings but for the database's URL, searches included; edge is the "
    "same process without searches, as `--role edge` has it, two_edges two of them. Every turn begins with a fresh "
    f"database and engine, and {WARM_S:g} s that do not count, for pgbench too.",
    "Each answered booking was found in SQL with its event and its kept answer, and nothing else was.",
    f"Offers: {asking.PER_S:g} asks a second at random times, {asking.DRIVERS} drivers, broadcast to three of them. "
    "From the ask to the first offer on a socket, seen by who asks; each offer was of the ride that was asked for.",
]


@dataclass(slots=True)
class Bench:
    """One run."""

    ask: Ask
    postgres: Postgres
    folder: Path
    rounds: Rounds = field(default_factory=Rounds)
    checked: int = 0

    @property
    def seconds(self) -> float:
        """Of a turn."""
        return 1.0 if self.ask.quick else 4.0

    async def run(self) -> Result:
        """Both parts."""
        before = machine()
        version = await self.postgres.prepare()
        where = places(self.ask.say)
        rows = await self._rows(where)
        pgbench = Pgbench(rows, self.folder)
        turns = ["pgbench", "process", "edge", *([] if self.ask.quick else ["pgbench_one_statement", "two_edges"])]
        one_statement = Pgbench(rows, self.folder, one_statement=True)
        for turn in interleaved(turns, self.ask.rounds):
            url = self.postgres.fresh()
            if turn.startswith("pgbench"):
                await self._pgbench(turn, one_statement if turn == "pgbench_one_statement" else pgbench, url)
            else:
                await self._engine(turn, url, where, EDGES[turn])
            self.postgres.drop(url)
        await self._offers(pgbench, where)
        ratios = self._ratios(turns)
        return Result(
            name="book",
            figures={name: value for name, value in self.rounds.medians().items() if name not in ratios},
            ratios=ratios,
            spread=self.rounds.spreads(),
            checked=self.checked,
            machine=before,
            versions=versions({"postgresql": version}),
            date=today(),
            quick=self.ask.quick,
            notes=[*NOTES, *_priority()],
        )

    def _ratios(self, turns: Sequence[str]) -> dict[str, float]:
        add = self.rounds.add_ratio
        ratios = {"vs_pgbench": add("vs_pgbench", "process_per_s", "pgbench_per_s")}
        for name in turns:
            if name in ("edge", "two_edges"):
                ratios[f"{name}_vs_pgbench"] = add(f"{name}_vs_pgbench", f"{name}_per_s", "pgbench_per_s")
        if "pgbench_one_statement" in turns:
            name = "vs_pgbench_one_statement"
            ratios[name] = add(name, "process_per_s", "pgbench_one_statement_per_s")
        name = "offer_p50_over_pgbench_single"
        return ratios | {name: add(name, "offer_p50_ms", "pgbench_single_p50_ms")}

    async def _rows(self, where: Sequence[LatLng]) -> dict[str, dict[str, Any]]:
        """What the engine writes for one booking."""
        url = self.postgres.fresh()
        async with engines(self.folder, url) as running:
            asks = Asks(self.folder, where)
            await asyncio.to_thread(
                book, asks.bytes(round(MOST_PER_S * WARM_S)), [running[0].port], CLIENTS, WARM_S, self.folder
            )
        rows = await booked_rows(url)
        self.postgres.drop(url)
        return rows

    async def _pgbench(self, name: str, pgbench: Pgbench, url: str) -> None:
        server = self.postgres.cpu_s()
        turn = await asyncio.to_thread(pgbench.run, url, CLIENTS, self.seconds, WARM_S)
        self._add(
            name,
            turn.per_s,
            turn.p50_ms,
            postgres=(self.postgres.cpu_s() - server) / turn.done,
            client=turn.cpu_s / turn.done,
        )

    async def _engine(self, name: str, url: str, where: Sequence[LatLng], edges: int) -> None:
        async with engines(self.folder, url, edges) as running:
            asks = Asks(self.folder, where)
            ports = [each.port for each in running]
            warm = asks.bytes(round(MOST_PER_S * WARM_S))
            cold = await asyncio.to_thread(book, warm, ports, CLIENTS, WARM_S, self.folder)
            requests = asks.bytes(round(MOST_PER_S * self.seconds))
            engine, server = engine_cpu_s(running), self.postgres.cpu_s()
            load = await asyncio.to_thread(book, requests, ports, CLIENTS, self.seconds, self.folder)
            used = {part: value - engine[part] for part, value in engine_cpu_s(running).items()}
            server = self.postgres.cpu_s() - server
        self.checked += await check(url, cold.booked | load.booked)
        self._add(
            name,
            load.answers / load.seconds,
            percentile(load.latencies_us, 0.5) / 1e3,
            engine=used["engine"] / load.answers,
            redis=used["children"] / load.answers,
            postgres=server / load.answers,
            client=load.client_cpu_s / load.answers,
        )

    async def _offers(self, pgbench: Pgbench, where: Sequence[LatLng]) -> None:
        """The second part, on one engine: it does not slow down by what it has done before."""
        url, floor = self.postgres.fresh(), self.postgres.fresh()
        async with engines(self.folder, url) as running:
            asks, key = Asks(self.folder, where), (self.folder / "token.key").read_bytes()
            async with asking.offers(running[0], asks, where, key) as riders:
                await riders.run(WARM_S)
                for turn in interleaved(["pgbench", "offers"], self.ask.rounds):
                    if turn == "pgbench":
                        done = await asyncio.to_thread(pgbench.run, floor, 1, self.seconds)
                        self.rounds.add("pgbench_single_p50_ms", done.p50_ms)
                        self.ask.say(f"pgbench, one client     p50 {done.p50_ms:.2f} ms")
                        continue
                    waits = await riders.run(self.seconds)
                    self.checked += len(waits)
                    self.rounds.add("offer_p50_ms", 1e3 * percentile(waits, 0.5))
                    self.rounds.add("offer_p95_ms", 1e3 * percentile(waits, 0.95))
                    self.ask.say(f"ask to offer            p50 {1e3 * percentile(waits, 0.5):.2f} ms")

    def _add(self, name: str, per_s: float, p50_ms: float, **cpu_s: float) -> None:
        self.rounds.add(f"{name}_per_s", per_s)
        self.rounds.add(f"{name}_p50_ms", p50_ms)
        for part, seconds in cpu_s.items():
            self.rounds.add(f"{name}_{part}_cpu_us", 1e6 * seconds)
        parts = ", ".join(f"{part} {1e6 * seconds:.0f}" for part, seconds in cpu_s.items())
        self.ask.say(f"{name:22} {per_s:7,.0f} a second, p50 {p50_ms:6.2f} ms, CPU us for each: {parts}")


def _priority() -> list[str]:
    nice = os.nice(0)
    return [f"All ran at nice {nice}, clients and servers alike, on a machine that others used too."] if nice else []


def run(ask: Ask) -> Result:
    """The benchmark."""
    needs_two_cores()
    with tempfile.TemporaryDirectory(prefix="hexcab-book-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the account that runs PostgreSQL passes through
        postgres = Postgres(folder / "services")
        postgres.start()
        try:
            return uvloop.run(Bench(ask, postgres, folder).run())
        finally:
            postgres.stop()
