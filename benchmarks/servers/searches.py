"""A whole embedded engine whose riders are booked and whose drivers are hired by command.

    python -m benchmarks.servers.searches DATA_DIR

Answers lines of JSON: {"book": n} books n rides at places of the city, {"hire": n} makes n drivers with tokens,
{"cancel": true} ends every search. Its first line says where it is.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from app.clock import engine_clock
from app.engine import RunningEngine, running_engine
from app.serve import stop_signal
from app.stores import Start
from benchmarks.packs import city_of
from core.errors import HexcabError
from core.geo import LatLng
from dispatch.model import RequestRide
from runtime.datadir import DataDir
from runtime.settings import DispatchSettings, Settings, WebSettings

SEED = 20
TOWN = (57.66, 11.85, 57.76, 12.05)  # south, west, north, east: Gothenburg, as its drivers know it
LIFE_S = 3_600.0  # nobody's search ends by itself
SETTINGS = Settings(web=WebSettings(port=0, gateway_port=0), dispatch=DispatchSettings(request_s=LIFE_S))
AT_ONCE = 16  # bookings


class Hands:
    """What a command does."""

    def __init__(self, engine: RunningEngine) -> None:
        self._rooms = engine.rooms
        self._mint = engine.mint
        self._rng = random.Random(SEED)
        self._booked: list[str] = []

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do it, and say what came of it."""
        if "book" in command:
            todo = [self._book() for _ in range(command["book"])]
            for start in range(0, len(todo), AT_ONCE):
                await asyncio.gather(*todo[start : start + AT_ONCE])
        if "hire" in command:
            return {"drivers": [await self._hire() for _ in range(command["hire"])]}
        if "cancel" in command:
            for request_id in self._booked:
                try:
                    await self._rooms.rides.cancel(request_id, None)
                except HexcabError:
                    continue  # it has a trip
            self._booked.clear()
        return {"searches": len(self._rooms.rides.searches), "booked": len(self._booked)}

    async def _book(self) -> None:
        while True:
            ask = RequestRide(
                rider_id=f"rdr_{self._rng.randrange(1 << 40)}", pickup=self._place(), dropoff=self._place()
            )
            try:
                request = await self._rooms.rides.request_ride(ask)
            except HexcabError as error:
                if error.code not in ("not_on_road", "no_route", "outside_city"):
                    raise
            else:
                self._booked.append(request.request_id)
                return

    def _place(self) -> LatLng:
        south, west, north, east = TOWN
        return LatLng(self._rng.uniform(south, north), self._rng.uniform(west, east))

    async def _hire(self) -> dict[str, str]:
        phone = f"+4670{self._rng.randrange(10**7):07}"
        new = {"name": "Bo", "phone": phone, "vehicle": {"plate": "ABC123", "class": "standard", "seats": 4}}
        driver = await self._rooms.edge.accounts.create_driver(new, approved=True)
        return {"id": driver["driver_id"], "token": self._mint("driver", driver["driver_id"])}


async def serve(folder: Path) -> None:
    """Run until SIGTERM."""
    stopping = stop_signal()
    city = city_of("gothenburg", lambda _: None)
    with DataDir(folder) as data:
        async with running_engine(Start(city, data, SETTINGS, engine_clock(data, 1.0))) as engine:
            reader = asyncio.StreamReader()
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
            )
            hands = Hands(engine)
            print(msgspec.json.encode({"gateway": engine.gateway_url}).decode(), flush=True)

            async def listen() -> None:
                while line := await reader.readline():
                    answer = await hands.obey(msgspec.json.decode(line))
                    print(msgspec.json.encode(answer).decode(), flush=True)

            listening = asyncio.create_task(listen())
            await engine.run_until(stopping)
            listening.cancel()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
