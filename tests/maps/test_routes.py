"""Map matching and routes survive noise, hangs, deaths and floods."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidInput, Unavailable
from core.geo import FloatArray, LatLng, haversine_m
from maps.cities import City
from maps.drives import DriveReader
from maps.paths import NoRoute
from maps.paths import Path as Drive
from maps.routes import RouteWorkers
from runtime.settings import MapSettings
from runtime.traffic_settings import TrafficSettings

pytestmark = pytest.mark.slow

QUICK = MapSettings(route_timeout_s=1.0, route_queue=2)


@pytest.fixture
async def workers(gothenburg: City) -> AsyncIterator[RouteWorkers]:
    workers = RouteWorkers(gothenburg.valhalla_config)
    yield workers
    await workers.aclose()


def drive(city: City, seed: int, least_m: float = 2_000.0) -> Drive:
    """A drive between two random junctions."""
    rng = np.random.default_rng(seed)
    while True:
        a, b = rng.integers(0, city.roads.node_count, 2).tolist()
        path = city.paths.path(city.roads.node(a), city.roads.node(b))
        if path.distance_m > least_m:
            return path


def trail(path: Drive, noise_m: float, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Pings every 5 s of a drive, with GPS noise."""
    rng = np.random.default_rng(seed)
    at_s = np.append(np.arange(0.0, path.duration_s, 5.0), path.duration_s)
    noise = rng.normal(0, noise_m / 111_195, (2, len(at_s)))
    lat = np.interp(at_s, path.at_s, path.lat) + noise[0]
    lng = np.interp(at_s, path.at_s, path.lng) + noise[1] / np.cos(np.radians(57.7))
    return lat, lng, at_s


async def test_a_noisy_trail_gives_the_distance_that_was_driven(gothenburg: City, workers: RouteWorkers) -> None:
    for seed in range(5):
        path = drive(gothenburg, seed)
        matched = await workers.match(*trail(path, 6.0, seed))
        (part,) = matched.parts
        assert part.distance_m == pytest.approx(path.distance_m, rel=0.03, abs=40)
        assert haversine_m(part.shape[0], path.point(0)) < 60


async def test_a_trail_with_a_hole_comes_in_two_parts(gothenburg: City, workers: RouteWorkers) -> None:
    lat, lng, at_s = trail(drive(gothenburg, 3, 9_000.0), 4.0, 3)
    third = len(lat) // 6
    matched = await workers.match(
        np.concatenate([lat[:third], lat[-third:]]),
        np.concatenate([lng[:third], lng[-third:]]),
        np.concatenate([at_s[:third], at_s[-third:]]),
    )
    assert [(part.first, part.last) for part in matched.parts] == [(0, third - 1), (third, 2 * third - 1)]
    assert all(part.distance_m > 100 for part in matched.parts)


async def test_a_trail_far_from_any_road_has_no_parts(workers: RouteWorkers) -> None:
    assert (await workers.match(np.array([60.0, 60.01]), np.array([5.0, 5.0]), np.array([0.0, 60.0]))).parts == []


async def test_one_ping_fits_no_road_and_needs_no_worker(workers: RouteWorkers) -> None:
    assert (await workers.match(np.array([57.7]), np.array([11.97]), np.array([0.0]))).parts == []
    assert workers.pids() == []


async def test_a_trail_longer_than_the_limit_is_thinned_and_still_right(gothenburg: City) -> None:
    async with aclosing(RouteWorkers(gothenburg.valhalla_config, MapSettings(match_points=60))) as workers:
        path = drive(gothenburg, 8, 6_000.0)
        pings = trail(path, 3.0, 8)
        (part,) = (await workers.match(*pings)).parts
        assert part.distance_m == pytest.approx(path.distance_m, rel=0.04)
        assert (part.first, part.last) == (0, len(pings[0]) - 1)


@pytest.mark.parametrize(
    ("lat", "at_s"), [([57.7, np.nan], [0.0, 1.0]), ([57.7, 57.71], [1.0, 0.0]), ([57.7, 57.71, 57.72], [0.0, 1.0])]
)
async def test_a_trail_that_is_none_is_refused(workers: RouteWorkers, lat: list[float], at_s: list[float]) -> None:
    with pytest.raises(InvalidInput):
        await workers.match(np.array(lat), np.array([11.97, 11.97]), np.array(at_s))


async def test_a_route_is_about_as_long_as_the_fastest_path(gothenburg: City, workers: RouteWorkers) -> None:
    path = drive(gothenburg, 1)
    route = await workers.route(path.point(0), path.point(len(path.lat) - 1))
    assert route.distance_m == pytest.approx(path.distance_m, rel=0.3)
    assert route.duration_s > 0.7 * path.duration_s
    with pytest.raises(NoRoute):
        await workers.route(LatLng(60.0, 5.0), LatLng(60.01, 5.0))


async def test_a_worker_that_hangs_is_replaced_after_the_time_out(gothenburg: City) -> None:
    async with aclosing(RouteWorkers(gothenburg.valhalla_config, QUICK)) as workers:
        ping_trail = trail(drive(gothenburg, 1), 4.0, 1)
        await workers.match(*ping_trail)
        (hung,) = workers.pids()
        os.kill(hung, signal.SIGSTOP)
        with pytest.raises(Unavailable, match="no route answer"):
            await workers.match(*ping_trail)
        assert len((await workers.match(*ping_trail)).parts) == 1
        assert hung not in workers.pids()


async def test_a_worker_that_dies_is_replaced_without_anybody_noticing(gothenburg: City) -> None:
    async with aclosing(RouteWorkers(gothenburg.valhalla_config)) as workers:
        ping_trail = trail(drive(gothenburg, 1), 4.0, 1)
        await workers.match(*ping_trail)
        (victim,) = workers.pids()
        os.kill(victim, signal.SIGKILL)
        assert len((await workers.match(*ping_trail)).parts) == 1
        assert victim not in workers.pids()


async def test_a_worker_that_grew_too_large_is_replaced_between_questions(gothenburg: City) -> None:
    async with aclosing(RouteWorkers(gothenburg.valhalla_config, MapSettings(route_worker_rss_mb=1))) as workers:
        ping_trail = trail(drive(gothenburg, 1), 4.0, 1)
        for _ in range(2):
            assert len((await workers.match(*ping_trail)).parts) == 1
            assert workers.pids() == []


async def test_a_question_given_up_does_not_answer_the_next_one(gothenburg: City, workers: RouteWorkers) -> None:
    long, short = trail(drive(gothenburg, 3, 9_000.0), 4.0, 3), trail(drive(gothenburg, 1), 4.0, 1)
    expected = await workers.match(*short)
    asking = asyncio.create_task(workers.match(*long))
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert await workers.match(*short) == expected


async def test_more_questions_than_the_queue_holds_are_refused(gothenburg: City) -> None:
    async with aclosing(RouteWorkers(gothenburg.valhalla_config, QUICK)) as workers:
        ping_trail = trail(drive(gothenburg, 1), 4.0, 1)
        answers = await asyncio.gather(*(workers.match(*ping_trail) for _ in range(6)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Unavailable)]
        assert len(refused) == 3
        assert all(error.code == "routes_busy" for error in refused)
        assert all(not isinstance(answer, Exception) for answer in answers if answer not in refused)


async def test_a_question_waits_for_a_busy_worker_only_so_long(gothenburg: City) -> None:
    settings = MapSettings(route_timeout_s=5.0, route_wait_s=0.2)
    async with aclosing(RouteWorkers(gothenburg.valhalla_config, settings)) as workers:
        ping_trail = trail(drive(gothenburg, 1), 4.0, 1)
        await workers.match(*ping_trail)
        (hung,) = workers.pids()
        os.kill(hung, signal.SIGSTOP)
        first = asyncio.create_task(workers.match(*ping_trail))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="busy") as refused:
            await workers.isochrone(gothenburg.centre, 5)
        assert refused.value.code == "routes_busy"
        os.kill(hung, signal.SIGCONT)
        assert len((await first).parts) == 1
        assert (await workers.isochrone(gothenburg.centre, 5)).coordinates


async def test_a_config_that_is_none_fails_clearly(tmp_path: Path) -> None:
    (tmp_path / "valhalla.json").write_text("{}", "utf-8")
    async with aclosing(RouteWorkers(tmp_path / "valhalla.json")) as workers:
        with pytest.raises(Unavailable, match="could not start"):
            await workers.route(LatLng(57.7, 11.9), LatLng(57.7, 11.9))
    with pytest.raises(Unavailable, match="closed"):
        await workers.route(LatLng(57.7, 11.9), LatLng(57.7, 11.9))


_OWNER = """
import asyncio, sys
from pathlib import Path
from core.geo import LatLng
from maps.routes import RouteWorkers

async def main():
    workers = RouteWorkers(Path(sys.argv[1]))
    await workers.route(LatLng(57.7041, 11.9697), LatLng(57.7000, 11.9800))
    print(workers.pids()[0], flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_a_worker_dies_with_its_engine(gothenburg: City, stopped: bool) -> None:
    command = [sys.executable, "-c", _OWNER, str(gothenburg.valhalla_config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        worker = int(owner.stdout.readline())
        if stopped:
            if sys.platform != "linux":
                owner.kill()
                pytest.skip("a stopped process notices its parent's death on Linux only")
            os.kill(worker, signal.SIGSTOP)
        owner.kill()
    for _ in range(1_000):
        if not _alive(worker):
            return
        time.sleep(0.01)
    pytest.fail("the worker outlived its engine")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return not stat.exists() or stat.read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_trail_is_traced_to_the_edges_that_were_driven(gothenburg: City, workers: RouteWorkers) -> None:
    roads, settings = gothenburg.roads, TrafficSettings()
    reader = DriveReader(roads, settings)
    for seed in range(5):
        path = drive(gothenburg, seed)
        lat, lng, at_s = trail(path, 4.0, seed)
        traced = await workers.trace(lat, lng, 2 * at_s)  # half as fast as free flow
        assert traced is not None
        drives = reader.read(traced, 2 * at_s)
        driven_m = float((roads.metres[drives.edge] * drives.share).sum())
        assert driven_m == pytest.approx(path.distance_m, rel=0.1)
        free_s = float((roads.seconds[drives.edge] * drives.share).sum())
        assert 1.4 < drives.seconds.sum() / free_s < 3.0  # turns take a part of it
    assert await workers.trace(np.array([57.0, 57.0]), np.array([10.0, 10.01]), np.array([0.0, 5.0])) is None
