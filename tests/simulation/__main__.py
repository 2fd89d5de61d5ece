"""`make chaos [MINUTES=n] [SEED=s]`: rounds of faults on a real engine, a table of them, and the verdict."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from tests.simulation.cluster import Cluster
from tests.simulation.embedded import Embedded
from tests.simulation.faults import possible
from tests.simulation.nemesis import schedule
from tests.simulation.rounds import Plan, Row, Run, run

_HEAD = ("fault", "target", "s", "operations", "ok", "fail", "unknown", "acked pings", "trips", "violations", "round s")
_WIDTHS = (14, 14, 5, 11, 7, 6, 8, 12, 7, 11, 8)


def main() -> int:
    """Exit code 0 without violations, 1 with them, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--cluster", choices=["embedded"], default="embedded")
    parser.add_argument("--drivers", type=int, default=24)
    parser.add_argument("--riders", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "hexcab-chaos")
    return uvloop.run(_chaos(parser.parse_args()))


async def _chaos(options: argparse.Namespace) -> int:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _stop(asyncio.current_task()))
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed={seed} cluster={options.cluster}; the order of events in a round is not the seed's to decide")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or every start would compile every module anew
    with tempfile.TemporaryDirectory(prefix="hxc") as folder:  # short: a unix socket's path has to fit in
        cluster: Cluster = Embedded(Path(folder) / "d")
        await cluster.start()
        plan = Plan(drivers=options.drivers, riders=options.riders)
        chaos = Run(cluster, plan, seed, options.out)
        until = time.monotonic() + 60 * options.minutes
        print(_line(_HEAD))
        try:
            await run(chaos, schedule(possible(cluster), seed), lambda _: time.monotonic() < until, _tell)
        finally:
            await cluster.stop()
    return _verdict(chaos)


def _stop(task: asyncio.Task[int] | None) -> Callable[[], None]:
    """So that what was started is ended in order."""
    assert task is not None

    def stop() -> None:
        task.cancel()

    return stop


def _verdict(chaos: Run) -> int:
    for violation in chaos.violations:
        print(f"violation: {violation.rule}: {violation.about}: {violation.detail}")
    for path in chaos.kept:
        print(f"history: {path}")
    operations = chaos.history.outcomes["invoke"]
    print(f"faults={len(chaos.rows)} operations={operations} violations={len(chaos.violations)}")
    return 1 if chaos.violations else 0


def _tell(row: Row) -> None:
    fault = row.fault
    print(
        _line(
            (
                fault.kind, fault.target, fault.seconds, row.operations, row.ok, row.fail, row.unknown, row.pings,
                row.trips, row.violations, round(row.round_s, 1),
            )
        ),
        flush=True,
    )  # fmt: skip


def _line(cells: tuple[object, ...]) -> str:
    return " ".join(
        str(cell).ljust(width) if place < 2 else str(cell).rjust(width)
        for place, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True))
    )


if __name__ == "__main__":
    sys.exit(main())
