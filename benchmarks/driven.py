"""Metres driven told from trails, beside Valhalla's match as it comes and the pings from place to place.

Drives along Porto's fastest ways give trails whose true length is known, and each is spoilt in one way at a time. Of
Porto's real traces the truth is unknown: the length is compared with that of the pings, and with what is told when the
middle of the trace is missing or every second ping is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from benchmarks.harness import Ask, Result, fail, machine, percentile, rounded, today, versions
from benchmarks.packs import city_of, shared_data
from core.geo import IntArray
from maps.cities import City
from maps.driven import Odometer, Ride, WayDriven, length_m
from maps.paths import NoRoute, Path
from maps.routes import RouteWorkers
from maps.trails import DrivenTrail
from payments.fares import TRUSTED_GRADES
from runtime.driven_settings import DrivenSettings

SEED = 20
EVERY_S = 5.0
NOISE_M, MUCH_NOISE_M = 5.0, 20.0
LEAST_DRIVE_M = 3000.0
LEAST_TRACE_M, LEAST_PINGS = 500.0, 8  # of a real trace: about a taxi that hardly moved the pings say nothing
METRES_PER_DEGREE = 111_195.0

Random = np.random.Generator
Spoil = Callable[[DrivenTrail, Random], DrivenTrail]


@dataclass(frozen=True)
class Told:
    """One trail's length as three tell it, and what it is measured against, in metres."""

    against: float
    ours: WayDriven
    bare: float
    pings: float


def run(ask: Ask) -> Result:
    """Measure; see the module."""
    before = machine()
    city = city_of("porto", ask.say)
    figures = asyncio.run(_measured(city, ask))
    return Result(
        name="driven",
        figures={name: rounded(value) for name, value in figures.items()},
        ratios=_ratios(figures),
        checked=int(figures["drives"]) * len(SPOILT) + int(figures["traces"]),
        machine=before,
        versions=versions(),
        date=today(),
        quick=ask.quick,
        notes=_NOTES,
    )


_NOTES = [
    "error: |told - true| / true of one drive, its median and 95th percentile over the drives",
    "bare: the sum of the stretches that Valhalla's trace_route matched; pings: straight from ping to ping",
    "the ratios compare the means of 95th percentiles: over all spoilt drives, and over the traces with pings missing",
    "true ways are fastest ways, as is what fills a hole: of a driver who went another way a hole hides more",
    "traces: of taxis, a ping every 15 s; trace_ratio is the length told over that of the pings, which cut corners",
    "traces with pings missing are compared with what is told of them whole; trusted: by a grade that fares go by",
]


def _ratios(figures: Mapping[str, float]) -> dict[str, float]:
    def wrong(names: Iterable[str], who: str) -> float:
        return sum(figures[f"{name}_{who}_p95_pct"] for name in names)

    traces = [f"trace_{name}" for name in MISSING]
    ratios = {"drives_vs_bare_p95": wrong(SPOILT, "bare") / wrong(SPOILT, "ours")}
    for who in ("bare", "pings"):
        ratios[f"traces_vs_{who}_p95"] = wrong(traces, who) / wrong(traces, "ours")
    return {name: rounded(ratio) for name, ratio in ratios.items()}


async def _measured(city: City, ask: Ask) -> dict[str, float]:
    workers = RouteWorkers(city.valhalla_config)
    try:
        meter = Meter(Odometer(workers.match, city.paths, DrivenSettings()), workers)
        return await _drives(city, meter, ask) | await _traces(meter, ask)
    finally:
        await workers.aclose()


@dataclass(frozen=True)
class Meter:
    """Tells lengths in each way."""

    odometer: Odometer
    workers: RouteWorkers

    async def tell(self, trail: DrivenTrail, ride: Ride, against: float) -> Told:
        """Of one trail."""
        bare = await self.workers.match(trail.lat, trail.lng, trail.at_s)
        metres = sum(part.distance_m for part in bare.parts)
        return Told(against, await self.odometer.read(trail, ride), metres, length_m(trail.points()))


async def _drives(city: City, meter: Meter, ask: Ask) -> dict[str, float]:
    """Errors of each way to spoil a trail."""
    random, told = np.random.default_rng(SEED), dict[str, list[Told]]()
    count = 12 if ask.quick else 150
    for path in _ways(city, random, count):
        ride = Ride(path.point(0), 0.0, path.point(len(path.lat) - 1), path.duration_s)
        for name, (noise_m, spoil) in SPOILT.items():
            trail = spoil(_trail(path, noise_m, random), random)
            until = Ride(ride.start, 0.0, ride.end, max(path.duration_s, float(trail.at_s[-1])))
            told.setdefault(name, []).append(await meter.tell(trail, until, path.distance_m))
    figures = {"drives": float(count)}
    for name, each in told.items():
        ask.say(f"{name}: {dict(Counter(one.ours.grade for one in each))}")
        for who, metres in _by_who(each).items():
            errors = [100 * abs(m - one.against) / one.against for m, one in zip(metres, each, strict=True)]
            figures[f"{name}_{who}_median_pct"] = float(np.median(errors))
            figures[f"{name}_{who}_p95_pct"] = percentile(errors, 0.95)
    if figures["plain_ours_median_pct"] > 2.0:
        fail("trails that nothing is wrong with are told wrong")
    return figures


def _by_who(each: list[Told]) -> dict[str, list[float]]:
    return {
        "ours": [one.ours.distance_m for one in each],
        "bare": [one.bare for one in each],
        "pings": [one.pings for one in each],
    }


async def _traces(meter: Meter, ask: Ask) -> dict[str, float]:
    """Real trails, whole and with pings missing."""
    whole, grades = list[float](), Counter[str]()
    missing, trusted = dict[str, list[float]](), dict[str, list[float]]()
    for trail in _real(60 if ask.quick else 600):
        ride = Ride(trail.point(0), float(trail.at_s[0]), trail.point(len(trail) - 1), float(trail.at_s[-1]))
        told = await meter.tell(trail, ride, length_m(trail.points()))
        grades[told.ours.grade] += 1
        whole.append(told.ours.distance_m / told.against)
        for name, left in MISSING.items():
            part = await meter.tell(trail.take(left(len(trail))), ride, told.ours.distance_m)
            if part.ours.grade in TRUSTED_GRADES:
                trusted.setdefault(name, []).append(100 * abs(part.ours.distance_m / part.against - 1))
            for who, metres in _by_who([part]).items():
                missing.setdefault(f"{name}_{who}", []).append(100 * abs(metres[0] / part.against - 1))
    figures = {"traces": float(len(whole))}
    figures |= {f"trace_ratio_p{share:.0f}": percentile(whole, share / 100) for share in (5, 50, 95)}
    figures |= {f"trace_share_{grade}": count / len(whole) for grade, count in sorted(grades.items())}
    for name, errors in trusted.items():
        figures[f"trace_{name}_trusted_share"] = len(errors) / len(whole)
        figures[f"trace_{name}_trusted_p95_pct"] = percentile(errors, 0.95)
    for name, errors in missing.items():
        figures[f"trace_{name}_median_pct"] = float(np.median(errors))
        figures[f"trace_{name}_p95_pct"] = percentile(errors, 0.95)
    return figures


def _real(count: int) -> Iterator[DrivenTrail]:
    """Traces of Porto, drawn by a seed."""
    table = pq.read_table(shared_data() / "porto_traces.parquet").sort_by(
        [("trip_id", "ascending"), ("seq", "ascending")]
    )
    trip = np.array(table["trip_id"].to_pylist())
    at_s = table["time"].to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    lat, lng = (table[name].to_numpy() for name in ("lat", "lng"))
    edges = np.append(np.flatnonzero(np.append([True], trip[1:] != trip[:-1])), len(trip))
    for number in np.random.default_rng(SEED).permutation(len(edges) - 1):
        rows = slice(int(edges[number]), int(edges[number + 1]))
        trail = DrivenTrail(*(np.ascontiguousarray(column[rows]) for column in (lat, lng, at_s)))
        if len(trail) >= LEAST_PINGS and length_m(trail.points()) >= LEAST_TRACE_M:
            yield trail
            count -= 1
            if not count:
                return


def _ways(city: City, random: Random, count: int) -> Iterator[Path]:
    """Fastest ways between junctions."""
    while count:
        start, end = random.integers(0, city.roads.node_count, 2).tolist()
        try:
            path = city.paths.path(city.roads.node(start), city.roads.node(end))
        except NoRoute:
            continue
        if path.distance_m >= LEAST_DRIVE_M:
            yield path
            count -= 1


def _trail(path: Path, noise_m: float, random: Random) -> DrivenTrail:
    at_s = np.append(np.arange(0.0, path.duration_s, EVERY_S), path.duration_s)
    lat, lng = np.interp(at_s, path.at_s, path.lat), np.interp(at_s, path.at_s, path.lng)
    return _noisy(DrivenTrail(lat, lng, at_s), noise_m, random)


def _noisy(trail: DrivenTrail, metres: float, random: Random) -> DrivenTrail:
    north, east = random.normal(0, metres / METRES_PER_DEGREE, (2, len(trail)))
    return DrivenTrail(trail.lat + north, trail.lng + east / np.cos(np.radians(trail.lat)), trail.at_s)


def _hole(trail: DrivenTrail, _: Random) -> DrivenTrail:
    """As in a tunnel: the middle half is missing."""
    return trail.take(_ends(len(trail), len(trail) // 4))


def _seldom(trail: DrivenTrail, _: Random) -> DrivenTrail:
    """A ping every half minute."""
    return trail.take(_every(len(trail), 6))


def _ends(count: int, each: int) -> IntArray:
    """The rows of the first and the last pings."""
    return np.append(np.arange(each), np.arange(count - each, count))


def _every(count: int, step: int) -> IntArray:
    """Rows a step apart, and the last one."""
    return np.union1d(np.arange(0, count, step), [count - 1])


def _late(trail: DrivenTrail, _: Random) -> DrivenTrail:
    return trail.take(slice(len(trail) // 4, None))


def _early(trail: DrivenTrail, _: Random) -> DrivenTrail:
    return trail.take(slice(None, len(trail) - len(trail) // 4))


def _jumps(trail: DrivenTrail, random: Random) -> DrivenTrail:
    """One ping of twenty is kilometres off."""
    lat = trail.lat.copy()
    rows = np.arange(1, len(trail) - 1)
    off = random.choice(rows, len(trail) // 20, replace=False)
    lat[off] += random.choice([-1, 1], len(off)) * random.uniform(0.05, 1.0, len(off))
    return DrivenTrail(lat, trail.lng, trail.at_s)


def _elsewhere(trail: DrivenTrail, _: Random) -> DrivenTrail:
    """For its first minute the receiver is in the city where it was switched off."""
    lat = trail.lat.copy()
    lat[:12] -= 2.5
    return DrivenTrail(lat, trail.lng, trail.at_s)


def _standing(trail: DrivenTrail, random: Random) -> DrivenTrail:
    """Half an hour at one place on the way, the receiver wandering about."""
    at, pings = len(trail) // 3, 360
    place = trail.take(np.full(pings, at))
    still = _noisy(place, 12.0, random)
    waited = trail.at_s[at] + EVERY_S * np.arange(pings)
    rest = trail.take(slice(at, None))
    return DrivenTrail(
        np.concatenate([trail.lat[:at], still.lat, rest.lat]),
        np.concatenate([trail.lng[:at], still.lng, rest.lng]),
        np.concatenate([trail.at_s[:at], waited, rest.at_s + EVERY_S * pings]),
    )


def _as_it_is(trail: DrivenTrail, _: Random) -> DrivenTrail:
    return trail


SPOILT: dict[str, tuple[float, Spoil]] = {
    "plain": (NOISE_M, _as_it_is),
    "noisy": (MUCH_NOISE_M, _as_it_is),
    "seldom": (NOISE_M, _seldom),
    "hole": (NOISE_M, _hole),
    "late": (NOISE_M, _late),
    "early": (NOISE_M, _early),
    "jumps": (NOISE_M, _jumps),
    "elsewhere": (NOISE_M, _elsewhere),
    "standing": (NOISE_M, _standing),
}

MISSING: dict[str, Callable[[int], IntArray]] = {
    "hole": lambda count: _ends(count, count // 3),
    "every_second": lambda count: _every(count, 2),
}
