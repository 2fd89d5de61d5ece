"""The demo's figures: live on a terminal, line by line elsewhere, and once more at the end."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from typing import Any

import psutil
from rich.console import Console
from rich.live import Live
from rich.table import Table

from app.engine import RunningEngine
from simulator.agents.recorder import Tally

_LINE_EVERY_S = 10.0
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What the clients of the demo have seen so far; waits are engine seconds from request to boarding."""

    url: str
    drivers: int
    requests: int
    offers: int
    assigned: int
    completed: int
    cancelled: int
    unserved: int
    wait_s: float | None
    pings_per_s: float
    rss_mb: float
    engine_time_s: float

    @staticmethod
    def of(engine: RunningEngine, tally: Tally) -> Summary:
        """The figures now."""
        uptime_s = max(1e-9, time.monotonic() - engine.started)
        return Summary(
            url=engine.url,
            drivers=len(tally.drivers_online),
            requests=tally.requests,
            offers=tally.offers,
            assigned=tally.assigned,
            completed=tally.completed,
            cancelled=tally.cancelled,
            unserved=tally.unserved,
            wait_s=round(sum(tally.wait_s) / len(tally.wait_s), 1) if tally.wait_s else None,
            pings_per_s=round(engine.rooms.gateway.counts().pings_accepted / uptime_s, 1),
            rss_mb=round(psutil.Process().memory_info().rss / 1e6, 1),
            engine_time_s=round(uptime_s * engine.speed),
        )

    def rows(self) -> list[tuple[str, str]]:
        """Names and figures for people."""
        wait = "-" if self.wait_s is None else f"{self.wait_s:.0f} s"
        return [
            ("drivers online", str(self.drivers)),
            ("requests", str(self.requests)),
            ("offers", str(self.offers)),
            ("assigned", str(self.assigned)),
            ("completed", str(self.completed)),
            ("cancelled", str(self.cancelled)),
            ("no cab found", str(self.unserved)),
            ("pickup wait", wait),
            ("pings/s", f"{self.pings_per_s:.0f}"),
            ("memory", f"{self.rss_mb:.0f} MB"),
        ]

    def as_text(self) -> str:
        """One line."""
        return ", ".join(f"{name} {value}" for name, value in self.rows())

    def as_json(self) -> dict[str, Any]:
        """What the contract promises, and what stands beside it."""
        return {
            "drivers": self.drivers,
            "requests": self.requests,
            "offers": self.offers,
            "assigned": self.assigned,
            "completed": self.completed,
            "wait_s": self.wait_s,
            "pings_per_s": self.pings_per_s,
            "rss_mb": self.rss_mb,
            "cancelled": self.cancelled,
            "unserved": self.unserved,
        }

    def as_table(self) -> Table:
        """For the live display."""
        minutes = self.engine_time_s // 60
        table = Table(title=f"{self.url}  -  {minutes:.0f} engine minutes", show_header=False, box=None)
        for name, value in self.rows():
            table.add_row(name, value)
        return table


async def show(engine: RunningEngine, tally: Tally, *, quiet: bool) -> None:
    """Show the figures until cancelled."""
    if quiet:
        return
    print(f"hexcab: open {engine.url} to watch the city; Ctrl-C ends", file=sys.stderr)
    if sys.stdout.isatty():
        with Live(Summary.of(engine, tally).as_table(), console=Console(), auto_refresh=False) as live:
            while True:
                live.update(Summary.of(engine, tally).as_table(), refresh=True)
                await asyncio.sleep(_LOOK_EVERY_S)
    while True:
        await asyncio.sleep(_LINE_EVERY_S)
        print(Summary.of(engine, tally).as_text(), flush=True)
