"""One open WebSocket: a bounded queue out, a guarded stream in, and one way to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from core.clock import Clock
from core.errors import HexcabError
from runtime.settings import WebSettings
from web.errors import problem_of
from web.messages import CODECS, JSON, Codec
from web.ports import Body

log = logging.getLogger(__name__)

POLICY = 1008
TOO_BIG = 1009
TRY_LATER = 1013
CLOSE_TIMEOUT_S = 2.0


async def refuse(socket: WebSocket, error: HexcabError) -> None:
    """Answer the opening request with a problem instead of a socket."""
    await socket.send_denial_response(problem_of(error))


def codec_of(socket: WebSocket) -> tuple[Codec, str | None]:
    """The encoding to speak and the subprotocol to confirm: the first we know of those offered, JSON by default."""
    for offered in socket.scope.get("subprotocols", ()):
        if offered in CODECS:
            return CODECS[offered], offered
    return JSON, None


class Connection:
    """Sends what is told in order; closes a reader who is slower than its queue, and a sender who abuses it."""

    def __init__(self, socket: WebSocket, settings: WebSettings, wall: Clock) -> None:
        self.codec, self._subprotocol = codec_of(socket)
        self._socket = socket
        self._settings = settings
        self._wall = wall
        self._queue: asyncio.Queue[Body | bytes] = asyncio.Queue(settings.socket_queue)
        self._ending: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._tokens = float(settings.flood_burst)
        self._refilled_at = wall.now()
        self._bad: deque[float] = deque()

    async def accept(self) -> None:
        """Open the socket."""
        await self._socket.accept(self._subprotocol)

    def tell(self, message: Body | bytes) -> bool:
        """Queue a message, or bytes for a binary frame; False when closing. A full queue closes."""
        if self._ending.done():
            return False
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.close(TRY_LATER, "too slow: messages could not be delivered")
            return False
        return True

    def close(self, code: int, reason: str) -> None:
        """Begin to close; what is queued is dropped."""
        if not self._ending.done():
            self._ending.set_result((code, reason))

    async def run(self, *work: Coroutine[Any, Any, None]) -> None:
        """Serve until the peer leaves, `close` is called or a piece of work ends; then nothing of it is left."""
        tasks = [asyncio.create_task(each) for each in (*work, self._write())]
        waited: list[asyncio.Future[Any]] = [*tasks, self._ending]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [each for each in outcomes if isinstance(each, Exception) and not _left(each)]
        for error in failed:
            log.error("a socket failed", exc_info=error)
        code, reason = self._ending.result() if self._ending.done() else (1011, "internal") if failed else (1000, "")
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):  # the peer may be gone already
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code, reason)

    async def _write(self) -> None:
        while True:
            message = await self._queue.get()
            if isinstance(message, bytes):
                await self._socket.send_bytes(message)
            elif self.codec.binary:
                await self._socket.send_bytes(self.codec.encode(message))
            else:
                await self._socket.send_text(self.codec.encode(message).decode())

    async def frames(self) -> AsyncIterator[bytes]:
        """What the peer sends, until it leaves; floods are refused here."""
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            text, data = event.get("text"), event.get("bytes")
            payload = text.encode("utf-8", "surrogatepass") if text is not None else bytes(data or b"")
            if len(payload) > self._settings.max_body_bytes:
                self.close(TOO_BIG, f"a message may have {self._settings.max_body_bytes} bytes")
                return
            if self._within_rate():
                yield payload
            else:
                self.refuse_message("too_many", "too many messages; slow down", None)

    def _within_rate(self) -> bool:
        now = self._wall.now()
        earned = (now - self._refilled_at) * self._settings.max_frames_per_s
        self._tokens = min(float(self._settings.flood_burst), self._tokens + earned)
        self._refilled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def refuse_message(self, code: str, detail: str, about: str | None, more: Mapping[str, Any] | None = None) -> None:
        """Tell the peer that a message was no good; the same too often within a minute closes."""
        now = self._wall.now()
        self._bad.append(now)
        while self._bad[0] < now - 60.0:
            self._bad.popleft()
        if len(self._bad) > self._settings.max_bad_messages:
            self.close(POLICY, "too many bad messages")
            return
        told = {**(more or {}), "type": "error", "code": code, "detail": detail}
        self.tell(told | ({"about": about} if about else {}))


def _left(error: Exception) -> bool:
    return isinstance(error, WebSocketDisconnect | RuntimeError) and (
        isinstance(error, WebSocketDisconnect) or "close message" in str(error)
    )
