"""The steps of a ride that many tests take."""

from __future__ import annotations

import asyncio
from typing import Any

from core.geo import LatLng
from maps.cities import City
from tests.e2e.apps import DriverApp, Message, Outside, until
from tests.e2e.conftest import Places

_EVERY_S = 4.0
_HURRY = 2.0  # a car goes so many times as fast as roads allow; the engine must still believe it


def along(city: City, start: LatLng, end: LatLng) -> list[LatLng]:
    """Where a car is every few seconds of its way."""
    path = city.paths.path(start, end)
    count = int(path.duration_s / _EVERY_S) + 1
    return [*(path.at(row * _EVERY_S).position for row in range(count)), end]


async def drive(outside: Outside, driver: DriverApp, way: list[LatLng]) -> None:
    """Ping along a way as time goes by, and wait until the engine has all of it."""
    driver.ts = max(driver.ts, await outside.engine_ms())
    for here in way:
        await driver.ping(here, _EVERY_S / _HURRY)
        while driver.ts > await outside.engine_ms():
            await asyncio.sleep(0.02)
    await driver.acked(driver.seq)


async def take(outside: Outside, driver: DriverApp, rider_id: str, places: Places, **more: Any) -> Message:
    """Book a ride and let a driver accept it; the trip as the driver is told of it."""
    booked = await outside.book(rider_id, places.pickup, places.dropoff, **more)
    offer = await driver.hear("offer", request_id=booked["request_id"])
    await driver.say("accept", offer_id=offer["offer_id"])
    return await driver.hear("trip", request_id=booked["request_id"], status="assigned")


async def start_code(outside: Outside, trip: Message) -> str:
    """What the rider tells the driver."""
    async with outside.api("rider", trip["rider_id"]) as api:
        return str((await api.get(f"/v1/trips/{trip['trip_id']}")).json()["start_code"])


async def ride(outside: Outside, driver: DriverApp, trip: Message) -> None:
    """From the pickup to the dropoff without a metre driven, until the fare is fixed."""
    named = {"trip_id": trip["trip_id"]}
    await driver.say("arrive", **named)
    await driver.say("board", start_code=await start_code(outside, trip), **named)
    await driver.say("complete", **named)

    async def priced() -> bool:
        return (await outside.trip(trip["trip_id"]))["fare"] is not None

    await until(priced, "the fare")
