"""The apps outside: drivers, riders and operators who know the contract alone, and check all they say and hear."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import httpx
import msgspec
from jsonschema import Draft202012Validator
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from core.geo import LatLng
from runtime.auth import Scope, Tokens
from runtime.datadir import DataDir
from tests.e2e.engine_process import EngineProcess

_BEGINS_EARLIER_MS = 1_000  # the first ping is of this moment: a driver is as fresh as the ping says
PATIENCE_S = 45.0  # of wall time, for anything that has to happen; the machine may be busy with other things
Message = dict[str, Any]

_phones = itertools.count(random.randrange(10_000_000, 80_000_000))


def phone() -> str:
    """A number that nobody else has."""
    return f"+467{next(_phones)}"


async def until(look: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Wait until an awaitable look gives something true, and return it."""
    found = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while not (found := await look()):
                await asyncio.sleep(0.05)
            return found
    raise AssertionError(f"{what} did not happen within {PATIENCE_S} s")


class App:
    """One open socket. What is said and heard is checked against /v1/messages.json when the socket is left."""

    def __init__(self, socket: ClientConnection, schema: Message, sides: tuple[str | None, str]) -> None:
        self.socket = socket
        self.heard: list[Message | bytes] = []
        self._unread: list[Message] = []
        self._news = asyncio.Condition()
        self._binary = socket.subprotocol == "hexcab.v1.msgpack"
        self._says, self._hears = (_validator(schema, side) if side else None for side in sides)
        self._listening = asyncio.create_task(self._listen())

    async def say(self, type_: str, **fields: Any) -> None:
        """Send a message that the schema allows."""
        message = {"type": type_, **fields}
        if self._says is not None:
            self._says.validate(message)
        await self.blurt(msgspec.msgpack.encode(message) if self._binary else json.dumps(message))

    async def blurt(self, frame: str | bytes) -> None:
        """Send anything at all."""
        await self.socket.send(frame)

    async def hear(self, type_: str, **fields: Any) -> Message:
        """The first message of a type with these fields that was not asked for before."""

        def wanted(message: Message) -> bool:
            return message["type"] == type_ and all(message.get(name) == value for name, value in fields.items())

        def found() -> bool:
            return any(map(wanted, self._unread)) or self._listening.done()

        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(found), PATIENCE_S)
            except TimeoutError:
                raise AssertionError(f"no {type_} with {fields} came, but {self.heard[-8:]}") from None
        message = next(filter(wanted, self._unread), None)
        assert message is not None, f"the socket was closed before a {type_} came: {self.socket.close_code}"
        self._unread.remove(message)
        return message

    async def hear_frame(self) -> bytes:
        """A binary frame that is no message: the operators'."""

        async def look() -> bytes | None:
            return next((each for each in self.heard if isinstance(each, bytes)), None)

        return cast(bytes, await until(look, "a binary frame"))

    async def closed(self) -> int:
        """Wait for the end, and give its code."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([self._listening])
        return cast(int, self.socket.close_code)

    def all(self, type_: str) -> list[Message]:
        """Every message of a type so far."""
        return [each for each in self.heard if isinstance(each, dict) and each["type"] == type_]

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for frame in self.socket:
                if self._binary:
                    message = msgspec.msgpack.decode(cast(bytes, frame))
                else:
                    message = json.loads(frame) if isinstance(frame, str) else frame
                self.heard.append(message)
                async with self._news:
                    if isinstance(message, dict):
                        self._unread.append(message)
                    self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    async def left(self) -> None:
        """Close, and check everything that was heard."""
        await self.socket.close()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        assert self._hears is not None
        for message in self.heard:
            if isinstance(message, dict):
                self._hears.validate(message)


class DriverApp(App):
    """A driver's app: it numbers its pings and dates them by the engine's time."""

    driver_id: str
    engine_ms: Callable[[], Awaitable[int]]
    seq = 0
    ts = 0

    async def begin(self, engine_ms: Callable[[], Awaitable[int]]) -> Message:
        """Hear the welcome and go on from there."""
        welcome = await self.hear("welcome")
        self.driver_id = welcome["driver_id"]
        self.seq = welcome["last_seq"]
        self.engine_ms = engine_ms
        self.ts = await engine_ms() - _BEGINS_EARLIER_MS
        return welcome

    async def ping(self, at: LatLng, after_s: float = 1.0) -> int:
        """Send a position, so much later than the last one; returns its number."""
        await self.say("ping", **self.position(at, after_s))
        return self.seq

    def position(self, at: LatLng, after_s: float = 1.0) -> Message:
        """The next position."""
        self.seq += 1
        self.ts += int(after_s * 1000)
        return {"seq": self.seq, "ts": self.ts, "lat": at.lat, "lng": at.lng, "heading": 90, "speed": 8.3}

    async def acked(self, seq: int) -> None:
        """Wait for an ack that covers a ping."""

        async def look() -> bool:
            return any(ack["seq"] >= seq for ack in self.all("ack"))

        await until(look, f"an ack of {seq}")

    @contextlib.asynccontextmanager
    async def pinging(self, at: LatLng) -> AsyncIterator[None]:
        """Stay visible at a place, also where the engine's time runs fast."""

        async def work() -> None:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    self.ts = max(self.ts, await self.engine_ms() - 1_000)
                    await self.ping(at)
                    await asyncio.sleep(0.2)

        task = asyncio.create_task(work())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@dataclass
class Outside:
    """One running engine, as everybody outside sees it."""

    engine: EngineProcess
    schema: Message = field(default_factory=dict)

    def token(self, scope: str, subject: str) -> str:
        """What `hexcab token` prints, without starting a process."""
        return Tokens(DataDir(self.engine.data_dir).key()).sign(cast(Scope, scope), subject, 3600)

    def headers(self, scope: str, subject: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(scope, subject)}"}

    def api(self, scope: str | None = "ops", subject: str = "ops") -> httpx.AsyncClient:
        """A client that speaks as somebody, or as nobody."""
        headers = self.headers(scope, subject) if scope else {}
        return httpx.AsyncClient(base_url=self.engine.url, headers=headers, timeout=PATIENCE_S, verify=False)

    async def engine_ms(self) -> int:
        """The engine's time, as apps learn it."""
        async with self.api(None) as api:
            told = (await api.get("/v1/config")).json()["engine_time"]
        return int(datetime.fromisoformat(told).timestamp() * 1000)

    async def new_rider(self, rider_class: str | None = None) -> str:
        """A rider with an account."""
        async with self.api() as api:
            made = await api.post("/v1/riders", json={"name": "Ada", "phone": phone()})
            assert made.status_code == 201, made.text
            rider_id = str(made.json()["rider_id"])
            if rider_class is not None:
                changed = await api.patch(f"/v1/riders/{rider_id}", json={"class": rider_class})
                assert changed.json()["class"] == rider_class
        return rider_id

    async def new_driver(self, **car: Any) -> str:
        """A driver with an account, who may work."""
        vehicle = {"plate": "ABC 123", "class": "standard", "seats": 4, **car}
        async with self.api() as api:
            made = await api.post("/v1/drivers", json={"name": "Bo", "phone": phone(), "vehicle": vehicle})
        assert made.status_code == 201, made.text
        return str(made.json()["driver_id"])

    async def book(self, rider_id: str, pickup: LatLng, dropoff: LatLng, **more: Any) -> Message:
        """Ask for a ride; `mode` is asked for by an operator, everything else by the rider."""
        body = {"rider_id": rider_id, "pickup": pickup._asdict(), "dropoff": dropoff._asdict(), **more}
        scope = ("ops", "ops") if "mode" in more else ("rider", rider_id)
        async with self.api(*scope) as api:
            answer = await api.post("/v1/ride-requests", json=body)
        assert answer.status_code == 201, answer.text
        return cast(Message, answer.json())

    async def request(self, request_id: str) -> Message:
        """How a ride request stands."""
        async with self.api() as api:
            return cast(Message, (await api.get(f"/v1/ride-requests/{request_id}")).json())

    async def trip(self, trip_id: str) -> Message:
        """How a trip stands."""
        async with self.api() as api:
            return cast(Message, (await api.get(f"/v1/trips/{trip_id}")).json())

    async def metric(self, name: str, **labels: str) -> float:
        """One figure of /metrics; 0 while it is not there."""
        async with self.api(None) as api:
            lines = (await api.get("/metrics")).text.splitlines()
        for line in lines:
            if line.startswith(name) and all(f'{key}="{value}"' in line for key, value in labels.items()):
                return float(line.rpartition(" ")[2])
        return 0.0

    @contextlib.asynccontextmanager
    async def driver(self, driver_id: str, at: LatLng | None = None, **more: Any) -> AsyncIterator[DriverApp]:
        """A driver's app, welcomed; with a place also online there and seen by the riders around."""
        more.setdefault("additional_headers", self.headers("driver", driver_id))
        query = more.pop("query", "")
        async with connect(f"{self.engine.gateway_url}/v1/driver/ws{query}", **more) as socket:
            app = DriverApp(socket, await self._schema(), ("driver_to_server", "server_to_driver"))
            try:
                welcome = await app.begin(self.engine_ms)
                if at is not None:
                    await app.say("status", online=True)
                    await app.ping(at)
                    if welcome["trip"] is None:
                        await self.seen(driver_id, at)
                yield app
            finally:
                await app.left()

    @contextlib.asynccontextmanager
    async def rider(self, rider_id: str, **more: Any) -> AsyncIterator[App]:
        """A rider's app."""
        more.setdefault("additional_headers", self.headers("rider", rider_id))
        async with self._open("/v1/rider/ws", ("rider_to_server", "server_to_rider"), more) as app:
            yield app

    @contextlib.asynccontextmanager
    async def ops(self, **more: Any) -> AsyncIterator[App]:
        """An operator's console."""
        more.setdefault("additional_headers", self.headers("ops", "ops"))
        async with self._open("/v1/ops/ws", (None, "server_to_ops"), more) as app:
            yield app

    @contextlib.asynccontextmanager
    async def _open(self, path: str, sides: tuple[str | None, str], more: dict[str, Any]) -> AsyncIterator[App]:
        base, query = self.engine.url.replace("http", "ws", 1), more.pop("query", "")
        async with connect(f"{base}{path}{query}", **more) as socket:
            app = App(socket, await self._schema(), sides)
            try:
                yield app
            finally:
                await app.left()

    async def seen(self, driver_id: str, at: LatLng, *, wanted: bool = True) -> None:
        """Wait until riders around a place see a driver there, or do not."""
        async with self.api() as api:

            async def look() -> bool:
                near = await api.get("/v1/cabs", params={"lat": at.lat, "lng": at.lng, "limit": 50})
                return (driver_id in [cab["driver_id"] for cab in near.json()["items"]]) == wanted

            await until(look, "a change of the supply")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The engine runs while the block lasts, and ends well; it may be started anew in between."""
        await self.engine.start()
        try:
            yield
        except BaseException:
            self.engine.kill()
            raise
        assert await self.engine.stop() == 0, self.engine.last_words()

    async def _schema(self) -> Message:
        if not self.schema:
            async with self.api(None) as api:
                self.schema = (await api.get("/v1/messages.json")).json()
        return self.schema


def _validator(schema: Message, side: str) -> Draft202012Validator:
    return Draft202012Validator({**schema[side], "$defs": schema["$defs"]})
