"""One WebSocket of an agent: connect, read messages, send them, come back after it broke."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from core.clock import Clock
from simulator.agents.patience import Backoff

SUBPROTOCOL = Subprotocol("hexcab.v1.json")

_OPEN_TIMEOUT_S = 10.0  # wall time, as the two below
_CLOSE_TIMEOUT_S = 1.0
_MAX_BYTES = 1_048_576

Heard = Callable[[dict[str, Any]], Awaitable[None]]
Lost = Callable[[], None]
Refused = Callable[[str, str], None]


class Socket:
    """A connection that is opened again and again; `serve` never ends by itself."""

    def __init__(self, url: str, token: str, clock: Clock, rng: random.Random) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._clock = clock
        self._backoff = Backoff(clock, rng)
        self._connection: ClientConnection | None = None
        self._away_until = 0.0

    async def serve(self, heard: Heard, lost: Lost, refused: Refused) -> None:
        """Pass on every message of every connection, and tell when one has ended or its handshake was refused."""
        while True:
            await self._clock.sleep(self._away_until - self._clock.now())
            try:
                async with connect(
                    self._url,
                    additional_headers=self._headers,
                    subprotocols=[SUBPROTOCOL],
                    compression=None,
                    open_timeout=_OPEN_TIMEOUT_S,
                    close_timeout=_CLOSE_TIMEOUT_S,
                    max_size=_MAX_BYTES,
                    user_agent_header=None,
                    proxy=None,
                ) as self._connection:
                    async for payload in self._connection:
                        message = msgspec.json.decode(payload)
                        if message["type"] == "welcome":
                            self._backoff.reset()
                        await heard(message)
            except InvalidStatus as error:
                refused(f"http_{error.response.status_code}", "the handshake was refused")
            except (OSError, EOFError, WebSocketException):  # TimeoutError is an OSError
                pass  # the engine is away, or the road to it: come again
            finally:
                self._connection = None
            lost()
            await self._backoff.pause()

    async def send(self, payload: bytes) -> bool:
        """Send one encoded message; False when there is no connection to take it."""
        if self._connection is None:
            return False
        try:
            await self._connection.send(payload, text=True)
        except ConnectionClosed:
            return False
        return True

    def drop(self, away_s: float) -> None:
        """Lose the connection as in a tunnel, without a goodbye, and stay away for so many engine seconds."""
        self._away_until = self._clock.now() + away_s
        if self._connection is not None:
            with contextlib.suppress(AttributeError):  # the transport may be gone already
                self._connection.transport.abort()
