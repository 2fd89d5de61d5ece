"""Two clusters of one deployment: each goes on when the other is lost, and says where apps should go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.engine_process import EngineProcess

pytestmark = pytest.mark.slow

PLACES = {"west": (57.70, 11.97), "east": (59.33, 18.07)}


def settings_of(engines: dict[str, EngineProcess]) -> dict[str, Any]:
    geographies = [
        {"name": name, "lat": lat, "lng": lng, "api_url": engines[name].url, "gateway_url": engines[name].gateway_url}
        for name, (lat, lng) in PLACES.items()
    ]
    return {"cluster": {"probe_every_s": 0.1, "geographies": geographies}}


async def told(engine: EngineProcess, lat: float, lng: float) -> list[str]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{engine.url}/v1/config", params={"lat": lat, "lng": lng})
    return [host["name"] for host in answer.json()["hosts"]]


async def test_losing_one_geography_leaves_the_other_working_and_named(tmp_path: Path) -> None:
    engines = {name: EngineProcess(tmp_path / name) for name in PLACES}
    for engine in engines.values():
        engine.settings = settings_of(engines)
    west, east = engines["west"], engines["east"]
    try:
        await asyncio.gather(west.start(), east.start())
        async with asyncio.timeout(20):
            while await told(west, *PLACES["east"]) != ["east", "west"]:
                await asyncio.sleep(0.05)
            east.kill()
            while await told(west, *PLACES["east"]) != ["west"]:
                await asyncio.sleep(0.05)
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"{west.url}/readyz")).status_code == 200
            await east.start()
            while await told(west, *PLACES["east"]) != ["east", "west"]:
                await asyncio.sleep(0.05)
    finally:
        for engine in engines.values():
            engine.kill()
