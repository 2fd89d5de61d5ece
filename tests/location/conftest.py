"""A gateway on a free port with every neighbour faked, and drivers' apps to talk to it over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

from core.errors import Forbidden, Unauthorized, Unavailable
from location.adapters.memory import MemorySupply, MemoryTrail
from location.gateway import Gateway, GatewayParts
from location.live import LiveDrivers
from location.model import DriverState, LastPosition, TrailPoint
from location.ports import Roll, SupplyStore, UseTicket
from location.supply import Supply
from maps.segments import segment_of
from runtime.auth import Identity
from runtime.clocks import ManualClock
from runtime.settings import LocationSettings

QUICK = LocationSettings(
    tick_s=0.01, ack_every_s=0.03, idle_trail_s=0.02, trail_retry_s=0.02, last_position_wait_s=0.1, close_grace_s=0.3
)


class GatedTrail(MemoryTrail):
    """A trail log whose appends wait for a gate, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.away = False

    async def append(self, points: Sequence[TrailPoint]) -> None:
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        if self.away:
            raise Unavailable("away")
        await super().append(points)

    async def last_position(self, driver_id: str) -> LastPosition | None:
        await self.gate.wait()
        if self.away:
            raise Unavailable("away")
        return await super().last_position(driver_id)


class FakeDesk:
    """Notes every call; fails those that it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.errors: dict[str, Exception] = {}
        self.states: dict[str, DriverState] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def state(self, driver_id: str) -> DriverState:
        await self._note("state", driver_id)
        return self.states.get(driver_id, DriverState())

    async def status(self, driver_id: str, online: bool) -> None:
        await self._note("status", driver_id, online)

    async def disconnected(self, driver_id: str) -> None:
        await self._note("disconnected", driver_id)

    async def accept(self, driver_id: str, offer_id: str) -> None:
        await self._note("accept", driver_id, offer_id)

    async def decline(self, driver_id: str, offer_id: str, reason: str | None) -> None:
        await self._note("decline", driver_id, offer_id, reason)

    async def arrive(self, driver_id: str, trip_id: str) -> None:
        await self._note("arrive", driver_id, trip_id)

    async def board(self, driver_id: str, trip_id: str, start_code: str) -> None:
        await self._note("board", driver_id, trip_id, start_code)

    async def complete(self, driver_id: str, trip_id: str) -> None:
        await self._note("complete", driver_id, trip_id)

    async def cancel(self, driver_id: str, trip_id: str, reason: str) -> None:
        await self._note("cancel", driver_id, trip_id, reason)

    async def _note(self, name: str, *args: Any) -> None:
        if name != "state":
            await self.gate.wait()
        self.calls.append((name, *args))
        if name in self.errors:
            raise self.errors[name]


def authorize(token: str | None, ticket: str | None) -> Identity:
    """Tokens are `scope:subject`; a ticket is the subject of a driver."""
    if token == "blocked":
        raise Forbidden("this driver is suspended")
    if ticket is not None and token is None:
        return Identity("driver", ticket)
    if token is None or ":" not in token:
        raise Unauthorized("the token is not valid here", code="bad_token")
    scope, _, subject = token.partition(":")
    return Identity(scope, subject)  # type: ignore[arg-type]


class App:
    """A driver's app."""

    def __init__(self, socket: ClientConnection, binary: bool) -> None:
        self.socket = socket
        self._binary = binary

    async def say(self, type_: str, **fields: Any) -> None:
        message = {"type": type_, **fields}
        await self.socket.send(msgspec.msgpack.encode(message) if self._binary else json.dumps(message))

    async def hear(self, type_: str | None = None) -> dict[str, Any]:
        """The next message, or the next of a type."""
        async with asyncio.timeout(5):
            while True:
                data = await self.socket.recv()
                if self._binary:
                    assert isinstance(data, bytes)
                    message = msgspec.msgpack.decode(data)
                else:
                    assert isinstance(data, str)
                    message = json.loads(data)
                if type_ is None or message["type"] == type_:
                    return dict(message)

    async def acked(self, seq: int) -> None:
        """Wait until every ping up to `seq` is acknowledged."""
        while (await self.hear("ack"))["seq"] < seq:
            pass

    async def closed(self) -> int:
        """The close code, once the connection is closed."""
        async with asyncio.timeout(5):
            await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code


class Street:
    """A gateway and all that is around it."""

    def __init__(
        self,
        clock: ManualClock,
        settings: LocationSettings,
        *,
        store: SupplyStore | None = None,
        roll: Roll | None = None,
        use_ticket: UseTicket | None = None,
    ) -> None:
        self.clock = clock
        self.settings = settings
        self.roll, self.use_ticket = roll, use_ticket
        self.desk = FakeDesk()
        self.trail = GatedTrail()
        self.live = LiveDrivers()
        self.store = store or MemorySupply()
        self.supply = Supply(self.live, self.store, clock, fresh_s=settings.fresh_s)
        self.gateway = self.new_gateway()

    def new_gateway(self, port: int = 0) -> Gateway:
        parts = GatewayParts(
            authorize=authorize,
            desk=self.desk,
            supply=self.supply,
            trail=self.trail,
            clock=self.clock,
            settings=self.settings,
            segment_of=segment_of,
            inside=lambda lat, lng: lat < 80,
            use_ticket=self.use_ticket,
            roll=self.roll,
        )
        return Gateway(parts, "127.0.0.1", port)

    @contextlib.asynccontextmanager
    async def app(
        self,
        driver_id: str = "drv_1",
        *,
        binary: bool = False,
        welcome: bool = True,
        ticket: str | None = None,
        **options: Any,
    ) -> AsyncIterator[App]:
        headers = {"Authorization": f"Bearer driver:{driver_id}"}
        options = {"additional_headers": headers, "compression": None, "ping_interval": None} | options
        if binary:
            options["subprotocols"] = ["hexcab.v1.msgpack"]
        query = f"?ticket={ticket}" if ticket else ""
        if ticket:
            del options["additional_headers"]
        async with connect(f"ws://127.0.0.1:{self.gateway.port}/v1/driver/ws{query}", **options) as socket:
            app = App(socket, binary)
            if welcome:
                assert (await app.hear())["type"] == "welcome"
            yield app

    def at(self, seq: int, **fields: Any) -> dict[str, Any]:
        """A good ping: half a second and a few metres after the one before; fresh up to the 110th."""
        ts = int(self.clock.now() * 1000) - 25_000 + 500 * seq
        return {"seq": seq, "ts": ts, "lat": 57.7 + seq * 1e-4, "lng": 11.97, **fields}

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.005)

    async def in_supply(self) -> list[str]:
        await self.supply.flush()
        return (await self.store.in_segments([segment_of(57.7, 11.97)])).driver_ids


@pytest.fixture
def location_settings() -> LocationSettings:
    return QUICK


@pytest.fixture
async def street(clock: ManualClock, location_settings: LocationSettings) -> AsyncIterator[Street]:
    street = Street(clock, location_settings)
    await street.gateway.start()
    try:
        yield street
    finally:
        street.trail.gate.set()
        street.desk.gate.set()
        await street.gateway.close()
