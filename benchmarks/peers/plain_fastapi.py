"""The ingest peer: pings handled as a FastAPI tutorial would, on uvicorn with uvloop and websockets-sansio.

Receives JSON, validates it with pydantic, finds the H3 cell, keeps each driver's last cell, and every ACK_MS
milliseconds acknowledges to each driver what has come. No tokens, none of the gateway's checks.

    python -m benchmarks.peers.plain_fastapi ACK_MS    prints "port N"; at the end, its counters as JSON
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator
from typing import Literal

import h3
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel


class Ping(BaseModel):
    """A ping as the contract shows it."""

    type: Literal["ping"]
    seq: int
    ts: int
    lat: float
    lng: float
    heading: float
    speed: float
    accuracy: float


class Drivers:
    """What the handler knows: cells by driver, and who waits for which ack."""

    def __init__(self) -> None:
        self.cells: dict[int, str] = {}
        self.unacknowledged: dict[WebSocket, int] = {}
        self.accepted = 0
        self.cell_changes = 0

    async def acknowledge(self, every_s: float) -> None:
        """Acks in turns, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            waiting, self.unacknowledged = self.unacknowledged, {}
            for socket_, seq in waiting.items():
                with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                    await socket_.send_json({"type": "ack", "seq": seq})


def application(drivers: Drivers, ack_s: float) -> FastAPI:
    """The whole server."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(drivers.acknowledge(ack_s))
        yield
        task.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/v1/driver/ws")
    async def pings(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="hexcab.v1.json")
        driver = id(websocket)
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.receive_json()  # the status that every driver sends first
            while True:
                ping = Ping(**(await websocket.receive_json()))
                cell = h3.latlng_to_cell(ping.lat, ping.lng, 8)
                if drivers.cells.get(driver) != cell:
                    drivers.cells[driver] = cell
                    drivers.cell_changes += 1
                drivers.accepted += 1
                drivers.unacknowledged[websocket] = ping.seq

    return app


def main() -> None:
    """Serve until SIGTERM."""
    logging.disable(logging.CRITICAL)
    drivers = Drivers()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(f"port {listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        application(drivers, float(sys.argv[1]) / 1000.0),
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        log_level="critical",
        timeout_graceful_shutdown=1,
    )
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises the signal again once it has shut down
    uvicorn.Server(config).run(sockets=[listener])
    print(json.dumps({"accepted": drivers.accepted, "cell_changes": drivers.cell_changes}), flush=True)


if __name__ == "__main__":
    main()
