"""Many requests matched to drivers at once, beside scipy's sparse solver on the same pairs.

Riders and drivers lie in the plane, most of them around a centre; each rider knows the nearest 24 drivers, the nearest
first. Where drivers are ample nearly everybody gets the nearest; where they are contested they are as many as the
riders, or fewer. Each answer is a valid assignment and costs exactly what scipy's costs, or the run fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

from benchmarks.harness import (
    Ask,
    Result,
    Rounds,
    fail,
    growth_exponent,
    interleaved,
    machine,
    rounded,
    today,
    versions,
)
from core.geo import FloatArray, IntArray
from dispatch.matching import NOBODY, Pairs, match

EACH = 24  # candidates of a rider
SPEED_MPS = 8.0
LEAVING_MS = 10_000_000  # more than any ride to a pickup: as many as possible are served
AMPLE = ((1_000, 5_000), (5_000, 20_000), (10_000, 100_000))
CONTESTED = ((5_000, 5_000), (10_000, 8_000))
GROWTH = (1, 4, 16)  # times 1,000 riders
WINDOW = 40  # riders of one live window at 20 requests a second
COMPARED = (("vs_scipy", "scipy", "ours"), ("vs_scipy_solve", "solve", "ours"), ("vs_scipy_mixed", "scipy", "mixed"))
LEAST_S = 0.005  # a turn repeats what is faster than this, and counts the mean


@dataclass(frozen=True)
class Case:
    """One crowd: its pairs, and what both solvers need to know."""

    name: str
    pairs: Pairs
    leaving: IntArray
    n_drivers: int

    @staticmethod
    def of(riders: int, drivers: int, seed: int = 7) -> Case:
        """A crowd of this size. Drivers whom no rider knows are left out, for either solver."""
        rng = np.random.default_rng(seed)
        from_places, to_places = _places(riders, rng), _places(drivers, rng)
        metres, near = cKDTree(to_places).query(from_places, min(EACH, drivers))
        known, driver = np.unique(near.ravel(), return_inverse=True)
        cost = (metres.ravel() / SPEED_MPS * 1_000).astype(np.int64) + 1  # scipy takes 0 for no pair
        first = np.arange(riders + 1, dtype=np.int64) * near.shape[1]
        pairs = Pairs(first, driver.astype(np.int64), cost)
        return Case(f"{riders}x{drivers}", pairs, np.full(riders, LEAVING_MS), len(known))

    def mixed(self) -> Case:
        """The same with each rider's pairs in any order."""
        row = np.repeat(np.arange(len(self.leaving)), np.diff(self.pairs.first))
        order = np.lexsort((np.random.default_rng(8).random(len(row)), row))
        pairs = Pairs(self.pairs.first, self.pairs.driver[order], self.pairs.cost[order])
        return Case(self.name, pairs, self.leaving, self.n_drivers)

    def ours(self) -> IntArray:
        """The pair of each rider, by what the engine uses."""
        return match(self.pairs, self.leaving, self.n_drivers)

    def table(self) -> csr_array:
        """What scipy asks for: each rider may also take a column of its own, at the cost of being left."""
        first, count = self.pairs.first, len(self.leaving)
        own = first[1:] + np.arange(count)
        is_pair = np.ones(len(self.pairs.cost) + count, dtype=np.bool_)
        is_pair[own] = False
        cost, column = np.empty(len(is_pair)), np.empty(len(is_pair), dtype=np.int32)
        cost[own], column[own] = self.leaving, self.n_drivers + np.arange(count)
        cost[is_pair], column[is_pair] = self.pairs.cost, self.pairs.driver
        return csr_array((cost, column, first + np.arange(count + 1)), shape=(count, self.n_drivers + count))

    def check(self, chosen: IntArray, least: int) -> None:
        """Fails unless this is a valid assignment that costs no more than the least."""
        served = np.flatnonzero(chosen != NOBODY)
        rows = np.searchsorted(self.pairs.first, chosen[served], side="right") - 1
        drivers = self.pairs.driver[chosen[served]]
        if (rows != served).any() or len(np.unique(drivers)) != len(drivers):
            fail(f"{self.name}: not an assignment")
        cost = int(self.pairs.cost[chosen[served]].sum()) + LEAVING_MS * (len(chosen) - len(served))
        if cost != least:
            fail(f"{self.name}: costs {cost}, and scipy's answer {least}")


def _places(count: int, rng: np.random.Generator) -> FloatArray:
    """Metres, (count, 2): seven of ten around the centre, the others all over 30 km."""
    central = int(count * 0.7)
    return np.concatenate([rng.normal(0, 4_000, (central, 2)), rng.uniform(-15_000, 15_000, (count - central, 2))])


def _cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of one call, in the mean of as many as LEAST_S has room for."""
    calls, begin = 0, time.process_time()
    while (spent := time.process_time() - begin) < LEAST_S or calls == 0:
        work()
        calls += 1
    return spent / calls


def _by_scipy(case: Case) -> Callable[[], object]:
    return lambda: min_weight_full_bipartite_matching(case.table())


def _solve(case: Case) -> Callable[[], object]:
    table = case.table()
    return lambda: min_weight_full_bipartite_matching(table)


def run(ask: Ask) -> Result:
    """Measure; see the module."""
    before, rounds, checked = machine(), Rounds(), 0
    sizes = (AMPLE[:2], CONTESTED[:1]) if ask.quick else (AMPLE, CONTESTED)
    cases = [Case.of(*size) for size in (*sizes[0], *sizes[1])]
    Case.of(50, 20).ours()  # compiles
    for case in cases:
        table = case.table()
        least = int(table[min_weight_full_bipartite_matching(table)].sum())
        mixed = case.mixed()
        mixed.check(mixed.ours(), least)
        ways = {"ours": case.ours, "mixed": mixed.ours, "scipy": _by_scipy(case), "solve": _solve(case)}
        for way in interleaved(list(ways), ask.rounds):
            rounds.add(f"{case.name}_{way}_ms", _cpu_s(ways[way]) * 1e3)
            case.check(case.ours(), least)
            checked += 1
        rounds.add(f"{case.name}_left", float(np.count_nonzero(case.ours() == NOBODY)))
        ask.say(f"{case.name}: " + ", ".join(f"{way} {rounds.median(f'{case.name}_{way}_ms'):.3g} ms" for way in ways))
    ratios: dict[str, float] = {}
    for key, over, under in COMPARED:
        for kind, chosen in zip(("ample", "contested"), sizes, strict=True):
            names = [f"{riders}x{drivers}" for riders, drivers in chosen]
            each = {f"{key}_{name}": rounds.add_ratio(f"{key}_{name}", f"{name}_{over}_ms", f"{name}_{under}_ms")
                    for name in names}  # fmt: skip
            ratios |= {f"{key}_{kind}": min(each.values())} | each
    window = Case.of(WINDOW, 10 * WINDOW)
    for _ in range(ask.rounds):
        rounds.add("window_us", _cpu_s(window.ours) * 1e6)
    figures = rounds.medians()
    if not ask.quick:
        figures["growth_exponent_ample"] = _growth(5)
        figures["growth_exponent_contested"] = _growth(1)
    return Result(
        name="match",
        figures=figures,
        ratios=ratios,
        spread=rounds.spreads(),
        checked=checked,
        machine=before,
        versions=versions(),
        date=today(),
        quick=ask.quick,
        notes=[
            f"{EACH} candidates a rider; CPU time of one thread; the first ratio of each kind is the worst of its "
            "cases.",
            "Both start from the same arrays of pairs. scipy knows no cost of leaving a rider, so it needs a table "
            "with a column more for each, and making that counts (vs_scipy); vs_scipy_solve leaves it out.",
            "Pairs come the nearest first, as a ranking has them, which ours makes use of; mixed: in any order.",
            f"left: riders without a driver. window: {WINDOW} riders and ten times as many drivers, as one live "
            "window.",
        ],
    )


def _growth(drivers_each: int) -> float:
    """The exponent of our cost against the number of riders, with so many drivers for each."""
    sizes = [1_000 * times for times in GROWTH]
    costs = []
    for size in sizes:
        case = Case.of(size, drivers_each * size)
        costs.append(float(np.median([_cpu_s(case.ours) for _ in range(3)])))
    return rounded(growth_exponent(sizes, costs))
