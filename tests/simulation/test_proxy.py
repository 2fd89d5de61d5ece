"""The proxy's faults are what they say, and whatever passes is what was sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.simulation.proxy import PIPE_BYTES, Proxy

PATIENCE_S = 20.0


class Echo:
    """A server that sends back what it gets."""

    def __init__(self) -> None:
        self.heard = 0
        self.port = 0
        self._server: asyncio.Server

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                self.heard += len(data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def close(self) -> None:
        self._server.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    server = Echo()
    await server.start()
    yield server
    server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    between = Proxy("127.0.0.1", echo.port)
    await between.start()
    yield between
    await between.close()


class Client:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def echoed(self, data: bytes) -> bool:
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(len(data)) == data

    async def is_silent(self) -> bool:
        try:
            return not await asyncio.wait_for(self.reader.read(1), 0.3)
        except TimeoutError:
            return True

    async def is_reset(self) -> bool:
        async with asyncio.timeout(PATIENCE_S):
            try:
                return not await self.reader.read(1)
            except ConnectionResetError:
                return True


Dial = Callable[[], Awaitable[Client]]


@pytest.fixture
async def dial(proxy: Proxy) -> AsyncIterator[Dial]:
    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", proxy.port)))
        return clients[-1]

    yield connect
    for client in clients:
        client.writer.close()
        with contextlib.suppress(ConnectionError):
            await client.writer.wait_closed()


async def test_what_passes_is_what_was_sent_over_many_connections(proxy: Proxy, dial: Dial) -> None:
    clients = [await dial() for _ in range(200)]
    answers = await asyncio.gather(*(client.echoed(bytes([n]) * 10_000) for n, client in enumerate(clients)))
    assert all(answers)
    assert proxy.passed == {"up": 2_000_000, "down": 2_000_000}


async def test_a_large_stream_is_neither_lost_nor_held_in_memory(proxy: Proxy, dial: Dial) -> None:
    client = await dial()
    data = bytes(range(256)) * 20_000
    proxy.stall("down")
    writing = asyncio.create_task(client.echoed(data))
    await asyncio.sleep(0.3)
    (link,) = proxy.links
    held = link.up._size + link.down._size
    proxy.heal()
    assert await writing
    assert held < 4 * PIPE_BYTES


async def test_a_cut_resets_connections_and_refuses_new_ones_until_it_is_healed(proxy: Proxy, dial: Dial) -> None:
    client = await dial()
    assert await client.echoed(b"before")
    proxy.cut()
    assert await client.is_reset()
    assert await (await dial()).is_reset()
    proxy.heal()
    assert await (await dial()).echoed(b"after")


async def test_a_reset_ends_only_the_connections_that_there_are(proxy: Proxy, dial: Dial) -> None:
    client = await dial()
    assert await client.echoed(b"before")
    proxy.reset()
    assert await client.is_reset()
    assert await (await dial()).echoed(b"after")


async def test_one_direction_may_be_stalled_while_the_other_flows(proxy: Proxy, echo: Echo, dial: Dial) -> None:
    client = await dial()
    assert await client.echoed(b"before")
    proxy.stall("down")
    client.writer.write(b"hello")
    assert await client.is_silent()
    assert echo.heard == len(b"before") + len(b"hello")
    proxy.heal()
    assert await client.reader.readexactly(5) == b"hello"


async def test_who_connects_while_the_way_up_is_stalled_is_served_after_it(
    proxy: Proxy, echo: Echo, dial: Dial
) -> None:
    proxy.stall("up")
    client = await dial()
    client.writer.write(b"hello")
    assert await client.is_silent()
    assert echo.heard == 0
    proxy.heal()
    async with asyncio.timeout(PATIENCE_S):
        assert await client.reader.readexactly(5) == b"hello"


async def test_a_delay_holds_bytes_back_and_keeps_their_order(proxy: Proxy, dial: Dial) -> None:
    client = await dial()
    assert await client.echoed(b"before")
    proxy.delay(0.4)
    client.writer.write(b"one")
    assert await client.is_silent()
    client.writer.write(b"two")
    async with asyncio.timeout(PATIENCE_S):
        assert await client.reader.readexactly(6) == b"onetwo"
    proxy.delay(3_600.0)
    client.writer.write(b"three")
    assert await client.is_silent()
    proxy.heal()
    async with asyncio.timeout(PATIENCE_S):
        assert await client.reader.readexactly(5) == b"three"


async def test_a_slow_network_passes_everything_late(proxy: Proxy, dial: Dial) -> None:
    client = await dial()
    assert await client.echoed(b"before")
    proxy.slow(1.0)
    client.writer.write(bytes(5))
    assert await client.is_silent()
    proxy.slow(1e9)
    proxy.heal()
    async with asyncio.timeout(PATIENCE_S):
        assert await client.reader.readexactly(5) == bytes(5)


async def test_the_end_of_one_side_reaches_the_other_unless_it_is_stalled(proxy: Proxy, dial: Dial) -> None:
    client = await dial()
    assert await client.echoed(b"before")
    proxy.stall("up")
    client.writer.close()
    await asyncio.sleep(0.1)
    assert len(proxy.links) == 1
    proxy.heal()
    async with asyncio.timeout(PATIENCE_S):
        while proxy.links:
            await asyncio.sleep(0.01)


async def test_a_target_that_is_away_looks_like_a_reset(echo: Echo, proxy: Proxy, dial: Dial) -> None:
    echo.close()
    proxy.target = ("127.0.0.1", 1)
    client = await dial()
    assert await client.is_reset()
    assert not proxy.links
