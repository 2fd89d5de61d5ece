"""From a rider's ask to the first offer, with thousands of drivers and each mode in its turn on one engine.

The guide for a batch is its window and 200 ms more.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import uvloop

from benchmarks.asking import PER_S, PING_S, offers
from benchmarks.bookings import Asks, engine_cpu_s, engines
from benchmarks.bookings import places as places_of
from benchmarks.harness import Ask, Result, Rounds, interleaved, machine, percentile, rounded, today, versions
from benchmarks.pgbench import Postgres
from benchmarks.processes import needs_two_cores
from benchmarks.soak import allow_files
from runtime.batch_settings import BatchSettings

MANY = 5_000  # drivers
MODES = ("best", "broadcast", "batch")
WARM_S = 5.0
WINDOW = BatchSettings()
GUIDE_S = WINDOW.window_s + 0.2
_FILES_EACH, _SPARE_FILES = 2, 2_000


def run(ask: Ask) -> Result:
    """The benchmark; see the module."""
    needs_two_cores()
    count = ask.drivers or (200 if ask.quick else MANY)
    allow_files(_FILES_EACH * count + _SPARE_FILES)
    with tempfile.TemporaryDirectory(prefix="hexcab-offers-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the account that runs PostgreSQL passes through
        postgres = Postgres(folder / "services")
        postgres.start()
        try:
            return uvloop.run(_run(ask, postgres, folder, count))
        finally:
            postgres.stop()


async def _run(ask: Ask, postgres: Postgres, folder: Path, count: int) -> Result:
    before, rounds, checked = machine(), Rounds(), 0
    version, where = await postgres.prepare(), places_of(ask.say)
    waited: dict[str, list[float]] = {mode: [] for mode in MODES}
    async with engines(folder, postgres.fresh()) as running:
        asks, key = Asks(folder, where), (folder / "token.key").read_bytes()
        async with offers(running[0], asks, where, key, count) as asking:
            ask.say(f"{count} drivers are connected")
            await asking.run(WARM_S)
            for mode in interleaved(MODES, ask.rounds):
                begin, used = time.monotonic(), sum(engine_cpu_s(running).values())
                waits = await asking.run(4.0 if ask.quick else 12.0, mode)
                used = sum(engine_cpu_s(running).values()) - used
                rounds.add(f"{mode}_engine_cores", used / (time.monotonic() - begin))
                rounds.add(f"{mode}_p50_ms", 1e3 * percentile(waits, 0.5))
                rounds.add(f"{mode}_p95_ms", 1e3 * percentile(waits, 0.95))
                waited[mode] += waits
                checked += len(waits)
                ask.say(
                    f"{mode:10} p50 {1e3 * percentile(waits, 0.5):7.1f} ms, p95 {1e3 * percentile(waits, 0.95):7.1f}"
                )
    figures = rounds.medians() | {"drivers": float(count), "asks_per_s": PER_S, "guide_ms": 1e3 * GUIDE_S}
    figures |= {f"{mode}_p95_of_all_ms": rounded(1e3 * percentile(waited[mode], 0.95)) for mode in MODES}
    return Result(
        name="offers",
        figures=figures,
        ratios={"batch_p95_of_guide": rounded(percentile(waited["batch"], 0.95) / GUIDE_S)},
        spread=rounds.spreads(),
        checked=checked,
        machine=before,
        versions=versions({"postgresql": version}),
        date=today(),
        quick=ask.quick,
        notes=[
            f"{count} drivers, a ping every {PING_S:g} s each, {PER_S:g} asks a second at random times; one process "
            "with every role on PostgreSQL. Drivers and riders are one more process on the same cores.",
            f"guide: the window of {WINDOW.window_s:g} s plus 200 ms, for the p95 of batch; below 1 it is kept.",
            "Each first offer was of the ride and the mode that were asked for.",
        ],
    )
