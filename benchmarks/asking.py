"""From a rider's ask to the offer on a driver's socket, in an engine with every role, at a steady rate of asks.

Drivers stand still, ping, and answer no offer; each rider calls the ride off once the first driver has seen it, so that
all of them stay free. Asks come at random times, over connections that are open already.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from benchmarks.bookings import TOKEN_S, Asks
from benchmarks.harness import (
    CannotRun,
    fail,
)
from core.geo import LatLng
from runtime.auth import Tokens
from tests.e2e.engine_process import EngineProcess
from tests.simulation.http import Http
from tests.simulation.wire import Wire

DRIVERS = 100
PER_S = 20.0
PING_S = 5.0
CONNECTIONS = 16
OFFER_S = 10.0  # the longest wait for an offer
READY_S = 30.0
_SIGNED_UP_AT_ONCE = 50
RIDERS = 400  # with an account; far more than ask at a time


class Waits:
    """When each ask began and its first offer came; drivers and riders tell it."""

    def __init__(self, give_up_s: float = OFFER_S) -> None:
        self._give_up_s = give_up_s
        self.offered: dict[str, tuple[float, Any]] = {}  # first time and message by request id
        self._news: dict[str, asyncio.Event] = {}

    def heard(self, message: dict[str, Any]) -> None:
        """A message on a driver's socket."""
        if message["type"] == "offer" and message["request_id"] not in self.offered:
            self.offered[message["request_id"]] = time.monotonic(), message
            self._event(message["request_id"]).set()

    async def first(self, request_id: str) -> tuple[float, Any]:
        """When the first offer of a request came, and the offer. Fails when none comes."""
        try:
            await asyncio.wait_for(self._event(request_id).wait(), self._give_up_s)
        except TimeoutError:
            fail(f"no driver was offered {request_id} in {self._give_up_s:.0f} s")
        return self.offered[request_id]

    def _event(self, request_id: str) -> asyncio.Event:
        return self._news.setdefault(request_id, asyncio.Event())


class Connections:
    """Connections to the API, each for one call at a time; the server closes those that idle for seconds."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def open(self) -> None:
        """Open them all."""
        for _ in range(CONNECTIONS):
            self._free.put_nowait(await asyncio.open_connection("127.0.0.1", self._port))

    def close(self) -> None:
        """Close those that are not in use; `open` may follow."""
        while not self._free.empty():
            self._free.get_nowait()[1].close()

    async def call(self, request: bytes) -> tuple[int, float, dict[str, Any]]:
        """The status of the answer, when the request was sent, and what the answer says."""
        reader, writer = await self._free.get()
        began = time.monotonic()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body: dict[str, Any] = msgspec.json.decode(await reader.readexactly(length))
        self._free.put_nowait((reader, writer))
        return int(head.split(None, 2)[1]), began, body


class Offers:
    """Asks at a steady rate, for as long as it is told to."""

    def __init__(
        self, asks: Asks, connections: Connections, waits: Waits, places: Sequence[LatLng], riders: Sequence[str]
    ) -> None:
        self._asks = asks
        self._riders = itertools.cycle(riders)
        self._connections = connections
        self._waits = waits
        self._places = places
        self._rng = random.Random(3)

    async def run(self, seconds: float, mode: str | None = None) -> list[float]:
        """The seconds from each ask to its first offer. Fails when one had none, or another ride's.

        `mode`: as an operator wants it; None leaves it to the engine.
        """
        await self._connections.open()
        end, asking = time.monotonic() + seconds, []
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < end:
                asking.append(group.create_task(self._ask(mode)))
                await asyncio.sleep(self._rng.expovariate(PER_S))
        self._connections.close()
        return [each.result() for each in asking]

    async def _ask(self, mode: str | None) -> float:
        rider_id, token = self._asks.rider() if mode is None else self._known()
        pickup, dropoff = self._rng.sample(self._places, 2)
        asker = token if mode is None else self._asks.operator()
        request = self._asks.request(rider_id, asker, pickup, dropoff, mode)
        status, began, booked = await self._connections.call(request)
        if status != 201:
            fail(f"an ask was answered {status}: {booked}")
        at, offer = await self._waits.first(booked["request_id"])
        if (
            mode not in (None, offer["mode"])
            or offer["pickup"] != pickup._asdict()
            or offer["dropoff"] != dropoff._asdict()
        ):
            fail(f"the offer for {booked['request_id']} is of another ride: {offer}")
        status, _, body = await self._connections.call(self._asks.cancelling(booked["request_id"], token))
        if status != 200:
            fail(f"a cancel was answered {status}: {body}")
        return at - began

    def _known(self) -> tuple[str, str]:
        """A rider with an account and no ride, as operators need one, and the rider's token."""
        rider_id = next(self._riders)
        return rider_id, self._asks.token(rider_id)


@asynccontextmanager
async def offers(
    engine: EngineProcess, asks: Asks, places: Sequence[LatLng], key: bytes, count: int = DRIVERS
) -> AsyncIterator[Offers]:
    """So many drivers on the sockets of an engine, and riders who ask. Raises CannotRun when they cannot connect."""
    tokens, waits, rng = Tokens(key), Waits(), random.Random(4)

    def mint(scope: Any, subject: str) -> str:
        return tokens.sign(scope, subject, TOKEN_S)

    http = Http(engine.url, mint)
    riders = [await _rider(http, number) for number in range(RIDERS)]
    drivers, welcomed = [], asyncio.Semaphore(0)
    for first in range(0, count, _SIGNED_UP_AT_ONCE):
        numbers = range(first, min(first + _SIGNED_UP_AT_ONCE, count))
        for driver_id in await asyncio.gather(*(_signed_up(http, number) for number in numbers)):
            wire = Wire(f"{engine.gateway_url}/v1/driver/ws", mint("driver", driver_id), rng)
            offset_s = len(drivers) / count * PING_S
            drivers.append(asyncio.create_task(_drive(wire, rng.choice(places), waits, offset_s, welcomed)))
    connections = Connections(engine.port)
    try:
        await _until_seen(http, places[0], drivers, welcomed)
        yield Offers(asks, connections, waits, places, riders)
    finally:
        connections.close()
        for driver in drivers:
            driver.cancel()
        await asyncio.gather(*drivers, return_exceptions=True)
        await http.close()


async def _rider(http: Http, number: int) -> str:
    made = await http.call("POST", "/v1/riders", body={"name": f"rider {number}", "phone": f"+46702{number:06d}"})
    if not made.ok:
        raise CannotRun(f"a rider could not be signed up: {made}")
    return str(made.body["rider_id"])


async def _signed_up(http: Http, number: int) -> str:
    vehicle = {"plate": f"BOOK {number}", "class": "standard", "seats": 4}
    body = {"name": f"driver {number}", "phone": f"+46701{number:06d}", "vehicle": vehicle}
    made = await http.call("POST", "/v1/drivers", body=body)
    if not made.ok:
        raise CannotRun(f"a driver could not be signed up: {made}")
    return str(made.body["driver_id"])


async def _drive(wire: Wire, at: LatLng, waits: Waits, offset_s: float, first: asyncio.Semaphore) -> None:
    """Connect, come online, and ping."""
    welcomed = asyncio.Event()

    def heard(message: dict[str, Any]) -> None:
        if message["type"] == "welcome":
            wire.send({"type": "status", "online": True})
            if not welcomed.is_set():
                first.release()
            welcomed.set()
        waits.heard(message)

    wire.heard = heard
    async with asyncio.TaskGroup() as group:
        group.create_task(wire.keep())
        await welcomed.wait()
        seq = 0
        while True:
            seq += 1
            wire.send({"type": "ping", "seq": seq, "ts": int(time.time() * 1000), "lat": at.lat, "lng": at.lng})
            await asyncio.sleep(PING_S + (offset_s if seq == 1 else 0.0))


async def _until_seen(
    http: Http, near: LatLng, drivers: Sequence[asyncio.Task[None]], welcomed: asyncio.Semaphore
) -> None:
    """Until all drivers are connected, and cabs are seen around a place."""
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_S):
            for _ in drivers:
                await welcomed.acquire()
            while True:
                seen = await http.call("GET", f"/v1/cabs?lat={near.lat}&lng={near.lng}&limit=10")
                if seen.ok and len(seen.body["items"]) >= 1:
                    await asyncio.sleep(1.0)  # the last one's first ping
                    return
                for driver in drivers:
                    if driver.done():
                        driver.result()
                await asyncio.sleep(0.2)
    raise CannotRun(f"no driver was seen within {READY_S:.0f} s")
