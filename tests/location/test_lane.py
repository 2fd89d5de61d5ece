"""Frames however they come: in pieces, together, between others. Every ping counts once and in its order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.location.conftest import Street

BASE = {"lat": 57.7, "lng": 11.95}


def frame(message: dict[str, Any] | bytes, opcode: int = 1, fin: bool = True) -> bytes:
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    mask = os.urandom(4)
    size = bytes([128 | len(payload)]) if len(payload) < 126 else bytes([254]) + len(payload).to_bytes(2, "big")
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([128 * fin | opcode]) + size + mask + masked


class RawApp:
    """A driver's app that writes bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @staticmethod
    async def come(port: int, driver_id: str) -> RawApp:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /v1/driver/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: hexcab.v1.json\r\nAuthorization: Bearer driver:"
            + driver_id.encode()
            + b"\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        app = RawApp(reader, writer)
        assert (await app.hear())["type"] == "welcome"
        return app

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            _, size = await self._reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await self._reader.readexactly(2), "big")
            message: dict[str, Any] = json.loads(await self._reader.readexactly(size))
            return message

    async def acked(self, seq: int) -> None:
        while (await self.hear()).get("seq", 0) < seq:
            pass

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.02)


def pings(street: Street, first: int, count: int) -> list[bytes]:
    ts = int(street.clock.now() * 1000) - 100_000
    return [frame({"type": "ping", "seq": n, "ts": ts + n * 1_000, **BASE}) for n in range(first, first + count)]


@pytest.fixture
async def app(street: Street) -> AsyncIterator[RawApp]:
    app = await RawApp.come(street.gateway.port, "drv_raw")
    try:
        yield app
    finally:
        app.writer.close()
        with contextlib.suppress(ConnectionError):
            await app.writer.wait_closed()


async def test_a_ping_in_pieces_counts_like_any_other(street: Street, app: RawApp) -> None:
    await app.say(*pings(street, 1, 2))
    one, two, three = pings(street, 3, 3)
    await app.say(one[:1], one[1:9], one[9:] + two[:40], two[40:] + three)
    await app.say(*pings(street, 6, 1))
    await app.acked(6)
    assert street.gateway.counts().pings_accepted == 6


async def test_many_at_once_count_each(street: Street, app: RawApp) -> None:
    await app.say(b"".join(pings(street, 1, 60)))
    await app.acked(60)
    counts = street.gateway.counts()
    assert (counts.pings_accepted, counts.frames_in) == (60, 60)


async def test_other_messages_between_pings_keep_their_place(street: Street, app: RawApp) -> None:
    before, after = pings(street, 1, 5), pings(street, 6, 5)
    await app.say(before[0])
    status = frame({"type": "status", "online": True})
    await app.say(b"".join(before[1:]) + status + frame(b"", 9) + after[0] + frame({"type": "nonsense"}) + after[1])
    halves = frame(b'{"type":"ping","seq":30,"ts":%d,' % int(street.clock.now() * 1000), fin=False)
    await app.say(b"".join(after[2:]) + halves, frame(b'"lat":57.7,"lng":11.95}', 0))
    async with asyncio.timeout(5):
        while street.gateway.counts().pings_accepted < 11:
            await asyncio.sleep(0.01)
    driver = street.live.driver("drv_raw")
    assert (driver.seq, driver.online) == (30, True)
    assert street.gateway.counts().bad_messages == 1


async def test_a_socket_that_ends_in_the_middle_is_gone(street: Street, app: RawApp) -> None:
    first, second = pings(street, 1, 2)
    await app.say(first, second[:20])
    app.writer.close()
    async with asyncio.timeout(5):
        while street.gateway.counts().connections:
            await asyncio.sleep(0.01)
    assert street.gateway.counts().pings_accepted == 1


async def test_a_reset_socket_is_gone(street: Street, app: RawApp) -> None:
    await app.say(*pings(street, 1, 2))
    app.writer.transport.abort()
    async with asyncio.timeout(5):
        while street.gateway.counts().connections:
            await asyncio.sleep(0.01)


async def test_a_flood_of_plain_pings_is_closed(street: Street, app: RawApp) -> None:
    await app.say(b"".join(pings(street, 1, 2_000)))
    async with asyncio.timeout(5):
        while street.gateway.counts().connections:
            await asyncio.sleep(0.01)
    assert street.gateway.counts().closed == {1008: 1}
