"""Bookings over HTTP: engines on a database, requests made before the clock starts, answers held against SQL."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import psutil
import sqlalchemy as sa

from benchmarks.harness import CannotRun, fail
from benchmarks.packs import HOME, city_of
from benchmarks.pgbench import TABLES
from benchmarks.processes import compiled, cpu_s
from core.errors import InvalidInput
from core.geo import LatLng
from runtime.auth import Tokens
from runtime.sql import Database
from tests.e2e.engine_process import EngineProcess

CITY = "gothenburg"
PLACES, WITHIN_M = 200, 4_000.0
TOKEN_S = 86_400.0
_METRES_PER_DEGREE = 111_195.0


class EdgeProcess(EngineProcess):
    """An engine in the role of an edge alone."""

    def command(self) -> list[str]:
        """Its command line."""
        serve = super().command()
        return [sys.executable, "-m", "benchmarks.servers.edge", *serve[serve.index("--city") :]]


class Load(NamedTuple):
    """What the clients saw: answers by request id, latencies in microseconds."""

    answers: int
    seconds: float
    client_cpu_s: float
    latencies_us: list[float]
    booked: dict[str, str]  # rider by request id


def places(say: Callable[[str], None]) -> list[LatLng]:
    """Places around the centre of the city, between all of which roads lead."""
    city = city_of(CITY, say)
    rng, centre, found = random.Random(1), city.centre, [city.centre]
    while len(found) < PLACES:
        north, east = (rng.uniform(-1, 1) * WITHIN_M / _METRES_PER_DEGREE for _ in range(2))
        lng = centre.lng + east / math.cos(math.radians(centre.lat))
        place = LatLng(round(centre.lat + north, 6), round(lng, 6))
        with contextlib.suppress(InvalidInput):  # in the water
            ways = (
                city.eta.to_one(np.array([a.lat]), np.array([a.lng]), b) for a, b in ((place, centre), (centre, place))
            )
            if all(np.isfinite(way.seconds[0]) for way in ways):
                found.append(place)
    return found


@contextlib.asynccontextmanager
async def engines(folder: Path, url: str, edges: int = 0) -> AsyncIterator[list[EngineProcess]]:
    """A process with every role, or so many edges, on this database; all other settings are the defaults.

    Raises CannotRun when one does not start.
    """
    key = folder / "token.key"
    if not key.exists():
        key.write_bytes(random.Random(1).randbytes(32))
    settings = {"sql": {"url": url}, "cluster": {"key_file": str(key)}}
    kind = EdgeProcess if edges else EngineProcess
    name = url.rpartition("/")[2]
    running = [kind(folder / f"{name}_{n}", CITY, settings, home=HOME) for n in range(max(1, edges))]
    try:
        await asyncio.gather(*(each.start() for each in running))
    except AssertionError as error:
        _stop(running)
        raise CannotRun(str(error)) from error
    try:
        yield running
    finally:
        _stop(running)


def _stop(running: Sequence[EngineProcess]) -> None:
    for each in running:  # nothing of it is needed any more, and thousands of searches take seconds to stop
        if each.process is not None and each.process.poll() is None:
            each.kill()


def engine_cpu_s(running: Sequence[EngineProcess]) -> dict[str, float]:
    """CPU seconds of the engines so far, and of their children such as the embedded Redis."""
    own = children = 0.0
    for each in running:
        assert each.process is not None
        own += cpu_s(each.process.pid)
        for child in psutil.Process(each.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                children += cpu_s(child.pid)
    return {"engine": own, "children": children}


class Asks:
    """Requests for rides: each of a rider of its own with a token of its own, between places of the city."""

    def __init__(self, folder: Path, places: Sequence[LatLng]) -> None:
        self._tokens = Tokens((folder / "token.key").read_bytes())
        self._places = places
        self._rng = random.Random(2)
        self._count = 0

    def rider(self) -> tuple[str, str]:
        """A new rider's id and token."""
        self._count += 1
        rider_id = f"rdr_{self._count:026d}"
        return rider_id, self.token(rider_id)

    def token(self, rider_id: str) -> str:
        """A rider's token."""
        return self._tokens.sign("rider", rider_id, TOKEN_S)

    def bytes(self, count: int) -> bytes:
        """So many requests as native/booker.c takes them."""
        return b"".join(struct.pack("=I", len(each)) + each for each in (self._one() for _ in range(count)))

    def _one(self) -> bytes:
        return self.request(*self.rider(), *self._rng.sample(self._places, 2))

    def operator(self) -> str:
        """An operator's token, who may choose the mode."""
        return self._tokens.sign("ops", "benchmark", TOKEN_S)

    def request(self, rider_id: str, token: str, pickup: LatLng, dropoff: LatLng, mode: str | None = None) -> bytes:
        """POST /v1/ride-requests, with a key of its own."""
        asked = {"rider_id": rider_id, "pickup": pickup._asdict(), "dropoff": dropoff._asdict()}
        body = msgspec.json.encode(asked if mode is None else asked | {"mode": mode})
        return _post("/v1/ride-requests", token, body, f"Idempotency-Key: {self._rng.getrandbits(128):032x}\r\n")

    def cancelling(self, request_id: str, token: str) -> bytes:
        """POST /v1/ride-requests/{id}/cancel."""
        return _post(f"/v1/ride-requests/{request_id}/cancel", token, b"{}")


def _post(path: str, token: str, body: bytes, more: str = "") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def book(requests: bytes, ports: Sequence[int], clients: int, seconds: float, folder: Path) -> Load:
    """Send them, as many as the engines take in these seconds. Fails when one is refused or they run out."""
    file = folder / "answers"
    words = [str(compiled("booker")), str(clients), str(seconds), str(file), *map(str, ports)]
    ended = subprocess.run(words, input=requests, capture_output=True, check=False)
    if ended.returncode != 0:
        raise CannotRun(ended.stderr.decode().strip())
    said = msgspec.json.decode(ended.stdout)
    if said["ran_out"]:
        raise CannotRun("the requests that were prepared did not last: the engine is faster than was thought possible")
    latencies, booked = [], {}
    for line in file.read_bytes().splitlines():
        _, status, micros, body = line.split(b" ", 3)
        if status != b"201":
            fail(f"a booking was answered {status.decode()}: {body[:200].decode()}")
        answer = msgspec.json.decode(body)
        booked[answer["request_id"]] = answer["rider_id"]
        latencies.append(float(micros))
    if len(booked) != said["answers"]:
        fail(f"{said['answers']} answers name {len(booked)} ride requests")
    return Load(said["answers"], said["seconds"], said["cpu_s"], latencies, booked)


async def check(url: str, booked: dict[str, str]) -> int:
    """Hold the answers against the database: each booking with its event and its kept answer, and no others."""
    database = Database(url)
    try:
        async with database.reading() as connection:
            answers, requests, outbox = TABLES
            stored = dict((await connection.execute(sa.select(requests.c.request_id, requests.c.rider_id))).all())
            announced = (
                await connection.execute(sa.select(outbox.c.key).where(outbox.c.event_id.like("ride-requested:%")))
            ).scalars()
            if set(announced) != set(booked):
                fail("the events in the outbox are not those of the bookings that were answered")
            kept = (await connection.execute(sa.select(answers.c.status, answers.c.body))).all()
    finally:
        await database.close()
    if stored != booked:
        fail(
            f"{len(booked)} bookings were answered and {len(stored)} are in SQL, "
            f"of which {len(stored.items() & booked.items())} are the same"
        )
    if {msgspec.json.decode(body)["request_id"] for status, body in kept if status == 201} != set(booked):
        fail("the kept answers are not those that were given")
    return len(booked)
