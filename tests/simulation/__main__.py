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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import uvloop

from core.errors import Unavailable
from tests.simulation.clusters import NAMES, faults_of, running
from tests.simulation.nemesis import schedule
from tests.simulation.rounds import Plan, Row, Run, run

SHARES = {"real": 2, "three": 1}  # of the time; what runs by default
_HEAD = ("fault", "target", "s", "operations", "ok", "fail", "unknown", "acked pings", "trips", "violations", "round s")
_WIDTHS = (14, 14, 5, 11, 7, 6, 8, 12, 7, 11, 8)


def main() -> int:
    """Exit code 0 without violations, 1 with them, 2 for a wrong call or a server that is not installed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="of rounds, shared by the clusters")
    parser.add_argument("--seed", type=int, help="another one each time if it is not given")
    parser.add_argument(
        "--clusters", nargs="+", choices=NAMES, default=list(SHARES), help="one after the other; see clusters.py"
    )
    parser.add_argument("--drivers", type=int, default=24)
    parser.add_argument("--riders", type=int, default=30)
    parser.add_argument("--judge-every", type=int, default=2, help="so many faults come before all ride to an end")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "hexcab-chaos")
    try:
        return uvloop.run(_chaos(parser.parse_args()))
    except Unavailable as missing:
        print(f"{missing}; `--clusters embedded` needs no servers", file=sys.stderr)
        return 2


async def _chaos(options: argparse.Namespace) -> int:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _stop(asyncio.current_task()))
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed={seed}; it decides which fault comes when, and nothing decides the order of events in a round")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or every start would compile every module anew
    runs = []
    for name in options.clusters:
        print(f"\nstarting the cluster {name!r}", flush=True)
        async with running(name) as cluster:
            plan = Plan(drivers=options.drivers, riders=options.riders, judge_every=options.judge_every)
            chaos = Run(cluster, plan, seed, options.out / name)
            runs.append(chaos)
            print(_line(_HEAD))
            until = time.monotonic() + 60 * options.minutes * _share(name, options.clusters)
            await run(chaos, schedule(faults_of(name, cluster), seed), partial(_before, until), _tell)
    return _verdict(runs)


def _share(name: str, names: Sequence[str]) -> float:
    return SHARES.get(name, 1) / sum(SHARES.get(each, 1) for each in names)


def _before(until: float, _: Run) -> bool:
    return time.monotonic() < until


def _stop(task: asyncio.Task[int] | None) -> Callable[[], None]:
    """So that what was started is ended in order."""
    assert task is not None

    def stop() -> None:
        task.cancel()

    return stop


def _verdict(runs: Sequence[Run]) -> int:
    for chaos in runs:
        for violation in chaos.violations:
            print(f"violation: {violation.rule}: {violation.about}: {violation.detail}")
        for path in chaos.kept:
            print(f"history: {path}")
    faults = sum(len(chaos.rows) for chaos in runs)
    operations = sum(chaos.history.outcomes["invoke"] for chaos in runs)
    violations = sum(len(chaos.violations) for chaos in runs)
    print(f"faults={faults} operations={operations} violations={violations}")
    return 1 if violations else 0


def _tell(row: Row) -> None:
    fault = row.fault
    print(
        _line(
            (
                fault.kind, fault.target, fault.seconds, row.operations, row.ok, row.fail, row.unknown, row.pings,
                *("later" if each is None else each for each in (row.trips, row.violations)), round(row.round_s, 1),
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
