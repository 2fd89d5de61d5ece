"""The proxy: whom it asks, where it sends what, and that a host which drains keeps its sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import websockets
from websockets.asyncio.server import ServerConnection

from core.errors import Unavailable
from runtime.services.haproxy import Behind, Haproxy, configuration
from tests.servers.running import new_folder, remove, skip_or_fail

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE_GLOBAL = (
    "maxconn 50000",
    "log /dev/log local0",
    "user haproxy",
    "group haproxy",
    "stats socket /run/haproxy/admin.sock mode 660 level admin",
)


def test_the_example_under_deploy_is_this_configuration() -> None:
    edges = [Behind(f"edge{n}", f"10.0.0.1{n}:8000", f"10.0.0.1{n}:9000") for n in (1, 2)]
    gateways = [Behind(f"gateway{n}", f"10.0.0.2{n}:8001", f"10.0.0.2{n}:9000") for n in (1, 2)]
    assert (ROOT / "deploy" / "haproxy.cfg").read_text() == configuration(":80", edges, gateways, EXAMPLE_GLOBAL)


class Host:
    """A host of hexcab as the proxy sees it: apps' address with calls and sockets, and /readyz on another port."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = True
        self.sockets: list[ServerConnection] = []

    async def run(self) -> None:
        self._public = await websockets.serve(self._socket, "127.0.0.1", 0, process_request=self._call)
        self._internal = await asyncio.start_server(self._probe, "127.0.0.1", 0)
        self.behind = Behind(self.name, *(f"127.0.0.1:{_port(each)}" for each in (self._public, self._internal)))

    async def close(self) -> None:
        self._internal.close()
        self._public.close()
        await self._public.wait_closed()

    async def _probe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status = b"200 OK" if self.ready else b"503 Service Unavailable"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    def _call(self, connection: ServerConnection, request: websockets.Request) -> websockets.Response | None:
        if "Upgrade" in request.headers:
            return None
        return connection.respond(200, f"{self.name} {request.path}")

    async def _socket(self, connection: ServerConnection) -> None:
        self.sockets.append(connection)
        await connection.send(self.name)
        async for message in connection:
            await connection.send(f"{self.name} {message}")


def _port(server: object) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])  # type: ignore[attr-defined]


class Town:
    """Two of each behind a proxy."""

    def __init__(self, folder: Path) -> None:
        self.edges = [Host("edge1"), Host("edge2")]
        self.gateways = [Host("gateway1"), Host("gateway2")]
        self._folder = folder

    async def start(self) -> None:
        for host in (*self.edges, *self.gateways):
            await host.run()
        self.proxy = Haproxy(
            self._folder / "h", [each.behind for each in self.edges], [each.behind for each in self.gateways]
        )
        await asyncio.to_thread(self.proxy.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self.proxy.stop)
        for host in (*self.edges, *self.gateways):
            await host.close()

    def socket(self, path: str) -> websockets.connect:
        return websockets.connect(f"ws://{self.proxy.address}{path}", proxy=None)


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    folder = new_folder()
    town = Town(folder)
    try:
        await town.start()
        yield town
    except Unavailable as error:
        if error.code != "not_installed":
            raise
        skip_or_fail(error.detail)
    finally:
        await town.stop()
        remove(folder)


async def _ask(town: Town, path: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(f"http://{town.proxy.address}{path}")


async def _until(town: Town, path: str, wanted: str) -> None:
    """Until five sockets in a row are answered by the host that is wanted."""
    seen = 0
    while seen < 5:
        async with town.socket(path) as socket:
            seen = seen + 1 if await socket.recv() == wanted else 0


@pytest.mark.slow
async def test_drivers_sockets_go_to_gateways_and_everything_else_to_edges(town: Town) -> None:
    for path in ("/v1/driver/ws", "/v1/driver/ws?ticket=t"):
        async with town.socket(path) as socket:
            assert str(await socket.recv()).startswith("gateway")
    for path in ("/v1/rider/ws", "/v1/ops/ws"):
        async with town.socket(path) as socket:
            assert str(await socket.recv()).startswith("edge")
    assert (await _ask(town, "/v1/config")).text in {"edge1 /v1/config", "edge2 /v1/config"}


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
async def test_what_is_for_operators_is_not_for_apps(town: Town, path: str) -> None:
    assert (await _ask(town, path)).status_code == 404


@pytest.mark.slow
async def test_a_gateway_that_drains_keeps_its_sockets_and_gets_no_new_ones(town: Town) -> None:
    first, second = town.gateways
    second.ready = False
    await _until(town, "/v1/driver/ws", "gateway1")
    async with town.socket("/v1/driver/ws") as old:
        assert await old.recv() == "gateway1"
        theirs = first.sockets[-1]
        first.ready, second.ready = False, True
        await _until(town, "/v1/driver/ws", "gateway2")
        await old.send("still here")
        assert await old.recv() == "gateway1 still here"
        await theirs.close(1012)
        with pytest.raises(websockets.ConnectionClosed):
            await old.recv()
        assert old.close_code == 1012
    async with town.socket("/v1/driver/ws") as again:
        assert await again.recv() == "gateway2"


@pytest.mark.slow
async def test_when_no_host_is_ready_apps_are_told_when_to_come_again(town: Town) -> None:
    for edge in town.edges:
        edge.ready = False
    while (answer := await _ask(town, "/v1/config")).status_code == 200:
        await asyncio.sleep(0.05)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["code"] == "unavailable"


@pytest.mark.slow
async def test_a_proxy_that_died_is_started_again_on_its_address(town: Town) -> None:
    address = town.proxy.address
    await asyncio.to_thread(town.proxy.stop)
    assert town.proxy.pid == 0
    await asyncio.to_thread(town.proxy.start)
    assert town.proxy.address == address
    assert (await _ask(town, "/v1/config")).status_code == 200
