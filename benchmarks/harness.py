"""What every benchmark shares: interleaved rounds, medians with their spread, and the record of one run."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import msgspec

RESULTS = Path(__file__).parent / "results"
SHOWN_VERSIONS = (
    *("asyncpg", "fastapi", "h3", "msgspec", "numba", "numpy", "picows", "pydantic", "redis", "scipy", "sqlalchemy"),
    *("uvicorn", "uvloop"),
)


class CannotRun(Exception):
    """Something a benchmark needs is missing; the message names it and how to get it."""


class WrongAnswer(Exception):
    """A program under test gave a wrong answer, so its speed means nothing."""


class Ask(msgspec.Struct, frozen=True):
    """One call of a benchmark: quick forms end within 60 s; `say` takes lines. Sizes are for soak and offers."""

    quick: bool
    say: Callable[[str], None]
    minutes: float | None = None
    drivers: int | None = None

    @property
    def rounds(self) -> int:
        """How often each program has its turn."""
        return 3 if self.quick else 9


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of one run, as printed last and kept. `spread` is the interquartile range over the median."""

    name: str
    figures: dict[str, float]
    ratios: dict[str, float]
    checked: int
    machine: dict[str, str | int | float]
    versions: dict[str, str]
    date: str
    quick: bool = False
    spread: dict[str, float] = {}
    notes: list[str] = []


def fail(message: str) -> NoReturn:
    """Stop a benchmark whose answers are wrong."""
    raise WrongAnswer(message)


class Rounds:
    """Samples by name, one per round."""

    def __init__(self) -> None:
        self.samples: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        """Note one sample."""
        self.samples.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        """The middle of a name's samples."""
        return statistics.median(self.samples[name])

    def medians(self) -> dict[str, float]:
        """The median of each name."""
        return {name: rounded(statistics.median(values)) for name, values in self.samples.items()}

    def spreads(self) -> dict[str, float]:
        """The spread of each name."""
        return {name: rounded(spread(values)) for name, values in self.samples.items()}

    def ratio(self, over: str, under: str) -> list[float]:
        """Round by round, how many times the one is the other: noise that hits both in a round cancels."""
        return [a / b for a, b in zip(self.samples[over], self.samples[under], strict=True)]

    def add_ratio(self, name: str, over: str, under: str) -> float:
        """Note the ratios of two names as a third; returns their median."""
        self.samples[name] = self.ratio(over, under)
        return rounded(self.median(name))


def interleaved[T](turns: Sequence[T], rounds: int) -> list[T]:
    """The order of turns: every one once a round, each round beginning with another, so that none always goes first."""
    return [turns[(first + i) % len(turns)] for first in range(rounds) for i in range(len(turns))]


def spread(values: Sequence[float]) -> float:
    """Interquartile range over the median; 0 for fewer than two samples."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    middle = statistics.median(values)
    return (high - low) / middle if middle else 0.0


def growth_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The b of cost = a * size**b, by least squares on logarithms: 0 constant, 1 linear.

    Raises ValueError for fewer than two sizes or a number that is not positive.
    """
    if len(set(sizes)) < 2:
        raise ValueError("a growth needs two different sizes")
    fit = statistics.linear_regression([math.log(size) for size in sizes], [math.log(cost) for cost in costs])
    return fit.slope


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def rounded(value: float) -> float:
    """Four significant digits: more would be noise."""
    return float(f"{value:.4g}") if abs(value) < 10_000 else float(round(value))


def machine() -> dict[str, str | int | float]:
    """What it ran on, and how busy that was before."""
    model = platform.processor() or platform.machine()
    memory_gb = 0.0
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
        memory_gb = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (OSError, ValueError):
        pass  # not Linux: the processor's own name must do
    return {
        "processor": model,
        "cores": os.cpu_count() or 1,
        "memory_gb": memory_gb,
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Versions of Python and of the packages that figures depend on."""
    found = {"python": platform.python_version()}
    for name in SHOWN_VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found | dict(extra or {})


def today() -> str:
    """The date of a run, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def keep(result: Result, folder: Path = RESULTS) -> Path:
    """Make the result the accepted one of its name. Returns its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return path


def kept(folder: Path = RESULTS) -> list[Result]:
    """The accepted results by name."""
    return [msgspec.json.decode(path.read_bytes(), type=Result) for path in sorted(folder.glob("*.json"))]
