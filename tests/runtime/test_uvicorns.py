"""Answers that leave in one piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from runtime.uvicorns import OnePiece, Uvicorn, ended, open_port

PARTS = [b"a" * 70_000, b"b" * 70_000, b"c"]


class Sent(asyncio.Protocol):
    """A client that remembers what came, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.over = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(None)


async def _short(_: Request) -> Response:
    return Response("here")


async def _long(_: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        for part in PARTS:
            yield part

    return StreamingResponse(parts())


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listening = open_port("127.0.0.1", 0)
    app = Starlette(routes=[Route("/short", _short), Route("/long", _long)])
    options: dict[str, Any] = {"lifespan": "off", "log_config": None, "access_log": False}
    server = Uvicorn(uvicorn.Config(app, loop="none", http=OnePiece, ws="none", **options))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    yield listening.getsockname()[1]
    server.stop_accepting()
    await ended(task, 5.0)
    listening.close()


async def test_head_and_body_of_an_answer_come_in_one_piece_and_before_the_end(port: int) -> None:
    transport, client = await asyncio.get_running_loop().create_connection(Sent, "127.0.0.1", port)
    transport.write(b"GET /short HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await client.over
    assert len(client.pieces) == 1
    assert client.pieces[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert client.pieces[0].endswith(b"\r\n\r\nhere")


async def test_a_long_answer_comes_whole_and_the_connection_takes_the_next_call(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            assert (await client.get("/long")).content == b"".join(PARTS)
            assert (await client.get("/short")).text == "here"
