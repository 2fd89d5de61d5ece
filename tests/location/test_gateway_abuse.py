"""What the gateway does to clients that are broken, hostile or slow."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from runtime.settings import LocationSettings


def settings(**changed: Any) -> LocationSettings:
    return LocationSettings(**({"tick_s": 0.01, "ack_every_s": 0.03, "close_grace_s": 0.3} | changed))


@pytest.fixture
def location_settings() -> LocationSettings:
    return settings(max_bad_messages=5)


BAD = [
    ('{"type":"ping","seq":7,"ts":1,"lat":NaN,"lng":1}', "invalid_input", "lat", 7),
    ('{"type":"ping","seq":7,"ts":1,"lat":1,"lng":Infinity}', "invalid_input", "lng", 7),
    ('{"type":"ping","seq":7,"ts":1,"lat":1,"lng":1e999}', "invalid_input", "lng", 7),
    ('{"type":"ping","seq":7,"ts":1,"lat":true,"lng":1}', "invalid_input", "lat", 7),
    ('{"type":"ping","seq":7,"ts":1,"lat":-91,"lng":1}', "invalid_input", "lat", 7),
    ('{"type":"warp"}', "unknown_type", "warp", None),
    ('{"type":"ping"', "malformed", "", None),
    ("", "malformed", "", None),
    ('"ping"', "bad_message", "", None),
]


@pytest.mark.parametrize(("text", "code", "names", "seq"), BAD)
async def test_a_bad_message_is_answered_and_the_connection_stays(
    street: Any, text: str, code: str, names: str, seq: int | None
) -> None:
    async with street.app() as app:
        await app.socket.send(text)
        error = await app.hear()
        assert (error["type"], error["code"], error.get("seq")) == ("error", code, seq)
        assert names in error["detail"]
        await app.say("ping", **street.at(1))
        await app.acked(1)
    counts = street.gateway.counts()
    assert (counts.bad_messages, counts.pings_accepted) == (1, 1)


async def test_bad_messagepack_is_answered_too(street: Any) -> None:
    async with street.app(binary=True) as app:
        await app.socket.send(b"\xc1\xff\x00")
        assert (await app.hear("error"))["code"] == "malformed"
        await app.say("ping", **street.at(1, lat=float("nan")))
        error = await app.hear("error")
        assert (error["code"], error["seq"], error["detail"][:4]) == ("invalid_input", 1, "lat:")


async def test_the_wrong_kind_of_frame_is_answered(street: Any) -> None:
    async with street.app() as app:
        await app.socket.send(b'{"type":"status","online":true}')
        assert (await app.hear("error"))["code"] == "wrong_frame"


async def test_repeated_abuse_is_closed_with_1008(street: Any) -> None:
    async with street.app() as app:
        for _ in range(6):
            await app.socket.send("nonsense")
        assert await app.closed() == 1008


async def test_a_message_in_fragments_is_one_message(street: Any) -> None:
    async with street.app() as app:
        text = '{"type":"ping","seq":1,"ts":1000,"lat":57.7,"lng":11.97}'
        await app.socket.send([text[:10], text[10:30], text[30:]])
        await app.acked(1)
    assert street.gateway.counts().pings_accepted == 1


@pytest.mark.parametrize("size", [65_537, 200_000, 400_000, 3_000_000])
async def test_an_oversized_frame_is_closed_with_1009(street: Any, size: int) -> None:
    async with street.app() as app:
        with pytest.raises(ConnectionClosed):
            await app.socket.send(" " * size)
            await app.hear()
        if size <= 4 * 65_536:
            assert await app.closed() == 1009
        await app.closed()
    assert street.gateway.counts().pings_accepted == 0


async def test_an_oversized_message_in_fragments_is_closed_with_1009(street: Any) -> None:
    async with street.app() as app:
        with pytest.raises(ConnectionClosed):
            await app.socket.send(["x" * 30_000] * 3)
            await app.hear()
        assert await app.closed() == 1009


async def test_a_batch_beyond_the_limit_is_refused(street: Any) -> None:
    async with street.app() as app:
        items = [{"seq": 1, "ts": 1, "lat": 1, "lng": 1}] * 1_001
        await app.say("pings", items=items)
        assert (await app.hear("error"))["detail"].startswith("items: ")


class TestFlood:
    @pytest.fixture
    def location_settings(self) -> LocationSettings:
        return settings(flood_burst=50, max_frames_per_s=5.0)

    async def test_a_flood_of_frames_is_closed_with_1008(self, street: Any) -> None:
        async with street.app() as app:
            with pytest.raises(ConnectionClosed):
                for seq in range(1, 1_000):
                    await app.say("ping", **street.at(seq))
                    await asyncio.sleep(0)
            assert await app.closed() == 1008
        assert street.gateway.counts().pings_accepted <= 60

    async def test_the_same_pings_in_one_batch_are_no_flood(self, street: Any) -> None:
        async with street.app() as app:
            await app.say("pings", items=[street.at(seq) for seq in range(1, 500)])
            await app.acked(499)


class TestSlowReader:
    @pytest.fixture
    def location_settings(self) -> LocationSettings:
        return settings(send_queue_bytes=100_000)

    async def test_a_client_that_does_not_read_is_cut_off_and_what_waits_is_bounded(self, street: Any) -> None:
        reader = await raw_client(street.gateway.port, receive_buffer=4_096)
        await street.until(lambda: street.gateway.connected("drv_1"))
        message = {"type": "heat", "cells": "x" * 10_000}
        sent = 0
        while street.gateway.deliver("drv_1", message) and sent < 5_000:
            sent += 1
            await asyncio.sleep(0)
        assert sent < 5_000
        assert street.gateway.counts().closed == {1008: 1}
        await street.until(lambda: street.gateway.counts().connections == 0)
        reader.close()


class TestIdle:
    @pytest.fixture
    def location_settings(self) -> LocationSettings:
        return settings(idle_timeout_s=0.3)

    async def test_a_client_that_gives_no_sign_of_life_is_closed(self, street: Any) -> None:
        silent = await raw_client(street.gateway.port)
        await street.until(lambda: street.gateway.connected("drv_1"))
        await street.until(lambda: street.gateway.counts().connections == 0)
        assert street.gateway.counts().closed == {1008: 1}
        silent.close()

    async def test_a_client_that_answers_the_probes_stays(self, street: Any) -> None:
        async with street.app() as app:
            await asyncio.sleep(1.0)
            await app.say("ping", **street.at(1))
            await app.acked(1)


async def test_a_ping_frame_is_answered(street: Any) -> None:
    async with street.app() as app:
        await asyncio.wait_for(await app.socket.ping(), 5)


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/driver/ws HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/driver/ws?ticket=%ff%00&" + b"a=1&" * 40 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/driver/ws?ticket=drv_1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_no_handshake_gets_an_http_error_and_no_driver(street: Any, noise: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", street.gateway.port)
    writer.write(noise + b"\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(1_000), 6)
    assert answer.startswith(b"HTTP/1.1 4")
    writer.close()
    assert street.gateway.counts().connections == 0


async def raw_client(port: int, receive_buffer: int = 65_536) -> socket.socket:
    """A client that shakes hands and then neither reads nor answers."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET /v1/driver/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Authorization: Bearer driver:drv_1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    await loop.sock_sendall(sock, request.encode())
    return sock
