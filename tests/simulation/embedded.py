"""The simplest cluster: one process with every room, on embedded stores."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import psutil

from runtime.auth import Scope, Tokens
from runtime.datadir import DataDir
from tests.e2e.engine_process import EngineProcess
from tests.simulation.cluster import Disturbance, EngineMember
from tests.simulation.history import Body
from tests.simulation.http import Mint
from tests.simulation.proxy import Proxy

# short lives, so that a round sees every ending, and an archiver that always has something on the move
SETTINGS: dict[str, dict[str, Any]] = {
    "location": {"max_frames_per_s": 100.0},
    "dispatch": {"offer_s": 3.0, "request_s": 20.0, "retry_s": 1.0, "busy_shown_s": 2.0},
    "trips": {"archive_every_s": 7.0},
    "runtime": {"relay_max_retry_s": 5.0},
}
_TOKEN_S = 86_400.0


class Embedded:
    """Riders and drivers have a network each."""

    def __init__(self, data_dir: Path, home: Path | None = None, *, ping_interval_s: float = 1.0) -> None:
        location = {**SETTINGS["location"], "ping_interval_s": ping_interval_s}
        self._process = EngineProcess(data_dir, settings={**SETTINGS, "location": location}, home=home)
        self._engine = EngineMember("engine", self._process, data_dir.parent)
        self.members: Mapping[str, EngineMember] = {"engine": self._engine}
        self.links: Mapping[str, Proxy] = {
            "riders": Proxy("127.0.0.1", self._process.port),
            "drivers": Proxy("127.0.0.1", self._process.gateway_port),
        }

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.links['riders'].port}"

    @property
    def rider_url(self) -> str:
        return f"ws://127.0.0.1:{self.links['riders'].port}/v1/rider/ws"

    @property
    def driver_url(self) -> str:
        return f"ws://127.0.0.1:{self.links['drivers'].port}/v1/driver/ws"

    @property
    def mint(self) -> Mint:
        tokens = Tokens(DataDir(self._process.data_dir).key())
        return lambda scope, subject: tokens.sign(cast(Scope, scope), subject, _TOKEN_S)

    async def start(self) -> None:
        for link in self.links.values():
            await link.start()
        await self._engine.start()

    async def stop(self) -> None:
        for link in self.links.values():
            await link.close()
        await self._engine.drain()

    def children(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for child in psutil.Process(self._engine.pid).children():
            words = " ".join(child.cmdline())
            if "route_worker" in words:
                found["route worker"] = child.pid
            elif "valkey" in words or "redis" in words:
                found["redis"] = child.pid
        return found

    async def events(self) -> list[Body]:
        return await asyncio.to_thread(self._read_outbox)

    async def delivered(self) -> set[str] | None:
        return None  # its bus is in memory

    def disturbances(self) -> Mapping[str, Disturbance]:
        return {}

    def logs(self) -> Sequence[Path]:
        return [self._process.log]

    def _read_outbox(self) -> list[Body]:
        connection = sqlite3.connect(f"file:{self._process.data_dir / 'hexcab.db'}?mode=ro", uri=True, timeout=10)
        try:
            rows = connection.execute("SELECT body, state FROM outbox ORDER BY seq").fetchall()
        finally:
            connection.close()
        return [{**json.loads(body), "state": state} for body, state in rows]
