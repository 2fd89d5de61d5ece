"""Real engines for the tests from outside: one that most tests share, and others that a test starts for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from core.geo import LatLng
from maps.cities import City
from tests.e2e.apps import Outside
from tests.e2e.engine_process import EngineProcess


@pytest.fixture(scope="session", autouse=True)
def home(gothenburg_home: Path) -> Iterator[Path]:
    """The home of city packs, for this process and the engines that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEXCAB_HOME", str(gothenburg_home))
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # or every engine would compile every module anew
        yield gothenburg_home


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For data directories of engines that live as long as the tests; short, as a unix socket has to fit in."""
    return tmp_path_factory.mktemp("e")


@pytest.fixture(scope="session")
def outside(folder: Path) -> Iterator[Outside]:
    """The engine that most tests share, with the default settings."""
    yield from running(EngineProcess(folder / "main"))


@pytest.fixture(scope="session")
def hurried(folder: Path) -> Iterator[Outside]:
    """An engine whose clock runs 20 times as fast as the wall's; an offer lasts two seconds of the wall there."""
    yield from running(EngineProcess(folder / "fast", settings=HURRIED))


def running(engine: EngineProcess) -> Iterator[Outside]:
    """A fixture's body: the engine runs until its tests are over, and then ends well."""
    try:
        asyncio.run(engine.start())
        yield Outside(engine)
    finally:
        code = asyncio.run(engine.stop())
    assert code == 0, engine.last_words()


HURRIED = {"runtime": {"clock_speed": 20.0}, "dispatch": {"offer_s": 40.0}}


@dataclass(frozen=True, slots=True)
class Places:
    """Places in one part of the city: a pickup, where the ride goes, and crossings where cabs may stand."""

    pickup: LatLng
    dropoff: LatLng  # about a kilometre away
    cabs: list[LatLng]  # 40, 90, 140 and 190 seconds from the pickup


@pytest.fixture(scope="session")
def places(gothenburg: City) -> Places:
    """Crossings, all of which lead to each other."""
    roads, eta = gothenburg.roads, gothenburg.eta
    lat, lng = roads.node_lat, roads.node_lng
    middle = int(np.argmin((lat - gothenburg.centre.lat) ** 2 + (lng - gothenburg.centre.lng) ** 2))
    pickup = roads.node(middle)
    seconds = eta.to_one(lat, lng, pickup).seconds
    metres = eta.one_to(pickup, lat, lng).metres
    cabs = [roads.node(int(np.argmin(np.abs(seconds - wanted_s)))) for wanted_s in (40, 90, 140, 190)]
    dropoff = roads.node(int(np.argmin(np.abs(metres - 1_000))))
    return Places(pickup, dropoff, cabs)
