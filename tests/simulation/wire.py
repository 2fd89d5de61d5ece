"""A client's socket, light enough that thousands fit into one process: opened again and again, with growing pauses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.simulation.history import Body

OPEN_TIMEOUT_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0
SILENCE_S = 4.0  # then a probing client asks whether somebody is there, and waits as long for the answer

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _Connection(WSListener):
    """One connection, from its handshake to its end."""

    def __init__(self, heard: Callable[[Body], None]) -> None:
        self._heard = heard
        self._transport: WSTransport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            try:
                self._heard(_decode(frame.get_payload_as_memoryview()))
            except Exception as error:  # of the client itself: the run must not go on as if it had heard
                self._end(error)
                transport.disconnect()
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        self._end(None)

    @property
    def is_open(self) -> bool:
        """Between its handshake and its end."""
        return self._transport is not None

    def send(self, payload: bytes) -> bool:
        """False when the connection has ended."""
        if self._transport is None:
            return False
        self._transport.send(WSMsgType.TEXT, payload)
        return True

    def drop(self) -> None:
        """End without a goodbye."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def _end(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None) if error is None else self.ended.set_exception(error)


class Wire:
    """Keeps one client connected. `heard` gets every message, `lost` is told of the end of each connection."""

    def __init__(self, url: str, token: str, rng: random.Random, *, probing: bool = False) -> None:
        self.heard: Callable[[Body], None] = lambda _message: None
        self.lost: Callable[[], None] = lambda: None
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Sec-WebSocket-Protocol": "hexcab.v1.json"}
        self._rng = rng
        self._probing = probing
        self._connection: _Connection | None = None
        self._pause_s = FIRST_PAUSE_S
        self.opened = self.failed = 0

    async def keep(self) -> None:
        """Connect, and again whenever the connection ends; until cancelled. Raises what `heard` raises."""
        try:
            while True:
                await self._once()
                await asyncio.sleep(self._pause_s * self._rng.uniform(0.5, 1.0))
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        finally:
            self.drop()

    def send(self, message: Any) -> bool:
        """False when there is no connection; True does not say that it arrived."""
        return self._connection is not None and self._connection.send(_encode(message))

    def settled(self) -> None:
        """The connection is good: the next pause is a short one again."""
        self._pause_s = FIRST_PAUSE_S

    def drop(self) -> None:
        """Lose the connection, as in a tunnel."""
        if self._connection is not None:
            self._connection.drop()

    async def _once(self) -> None:
        # it must be ours before the handshake is over: the welcome may come in one piece with it
        connection = self._connection = _Connection(lambda message: self.heard(message))
        try:
            await ws_connect(
                lambda: connection,
                self._url,
                extra_headers=self._headers,
                websocket_handshake_timeout=OPEN_TIMEOUT_S,
                enable_auto_ping=self._probing,
                auto_ping_idle_timeout=SILENCE_S,
                auto_ping_reply_timeout=SILENCE_S,
                read_buffer_init_size=2_048,
                max_redirects=0,
                use_aiofastnet=False,  # it trips over a file number that uvloop has just used for another socket
            )
        except (OSError, EOFError, WSError):  # TimeoutError is an OSError
            self.failed += 1
            self._connection = None
            return
        if not connection.is_open and not connection.ended.done():  # ended before its handshake: picows raises nothing
            self.failed += 1
            self._connection = None
            return
        self.opened += 1
        try:
            await connection.ended
        finally:
            connection.drop()
            self._connection = None
            self.lost()
