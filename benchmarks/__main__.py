"""`python -m benchmarks` lists the benchmarks; `python -m benchmarks NAME [--quick] [--json] [--keep]` runs one."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from pathlib import Path

import msgspec

from benchmarks import capacity, harness, report

BENCHMARKS = {
    "book": "bookings on PostgreSQL, beside pgbench running their own transaction; and the wait for an offer",
    "eta": "30 drivers to one rider, pairs and new weights on whole cities, beside Valhalla's matrix",
    "ingest": "drivers' pings through the gateway, beside a C floor and a plain FastAPI handler",
    "ingest-redis": "moving drivers told to Redis by the supply, beside GEOADD for every ping",
    "memory": "bytes of an idle driver's connection, beside a bare picows echo",
    "match": "thousands of requests matched to drivers at once, beside scipy's sparse solver",
    "nearest": "the ten nearest of 100k and 1M drivers, beside Redis GEOSEARCH and scipy's cKDTree",
    "offers": "from a rider's ask to the first offer with 5,000 drivers, in each mode",
    "searches": "1,500 searches while no driver is near: what waiting costs, and how soon a driver is found",
    "soak": "drivers, riders and a fault a minute: is anything lost, does memory grow, how long until an offer",
    "driven": "metres driven told from trails with holes, jumps and noise, beside Valhalla's bare match",
    "traffic": "travel times learned from pings and from trips alone, tested on later and on other trips",
    "segments": "the segment of each of half a million places, beside h3 asked for a cell at each",
    "zones": "which zone each of a million places is in, beside shapely alone",
    "scenarios": "the shared scenarios under every mode of the simulator, beside what peers reach on them",
    "simulate": "a day of Manhattan's trips in virtual time, beside ridepy",
}
MANUAL = Path(__file__).parent.parent / "docs" / "OPERATIONS.md"
PERFORMANCE = Path(__file__).parent.parent / "docs" / "PERFORMANCE.md"


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 done, 1 failed or something is missing, 2 bad usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "name",
        nargs="?",
        choices=[*BENCHMARKS, "report"],
        help="report: only write docs/PERFORMANCE.md and the capacity table",
    )
    parser.add_argument("--quick", action="store_true", help="ends within 60 s, fewer rounds")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON object on standard output")
    parser.add_argument("--keep", action="store_true", help="accept the result: results/NAME.json, docs/PERFORMANCE.md")
    parser.add_argument("--minutes", type=float, help="of soak")
    parser.add_argument("--drivers", type=int, help="of soak, with riders and rides in proportion; of offers")
    options = parser.parse_args(argv)
    if options.name is None:
        for name, summary in BENCHMARKS.items():
            print(f"{name:10} {summary}")
        return 0
    if options.name == "report":
        return _write_report()

    def say(line: str) -> None:
        print(line, file=sys.stderr if options.json else sys.stdout, flush=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that children are ended in order
    benchmark = importlib.import_module(f"benchmarks.{options.name.replace('-', '_')}")
    try:
        result: harness.Result = benchmark.run(
            harness.Ask(quick=options.quick, say=say, minutes=options.minutes, drivers=options.drivers)
        )
    except harness.CannotRun as missing:
        print(f"{options.name}: {missing}", file=sys.stderr)
        return 1
    except harness.WrongAnswer as wrong:
        print(f"{options.name}: wrong answer: {wrong}", file=sys.stderr)
        return 1
    if options.keep:
        say(f"kept in {harness.keep(result).relative_to(Path.cwd(), walk_up=True)}")
        _write_report()
    print(msgspec.json.encode(result).decode(), flush=True)
    return 0


def _write_report() -> int:
    PERFORMANCE.parent.mkdir(parents=True, exist_ok=True)
    PERFORMANCE.write_text(report.render(harness.kept(), BENCHMARKS), "utf-8")
    MANUAL.write_text(capacity.placed(MANUAL.read_text("utf-8"), harness.kept()), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
