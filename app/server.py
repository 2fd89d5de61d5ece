"""The API's server: uvicorn in our event loop, on a socket that we opened, with signals left to us."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from core.errors import Unavailable
from runtime.settings import Settings
from web.engine import Engine
from web.server import create_app, server_options


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: whoever runs the engine decides what a signal means."""
        yield


class Server:
    """Serves one engine's HTTP API, riders' and operators' sockets."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._host, self._port = settings.web.host, settings.web.port
        self._socket: socket.socket | None = None
        options = server_options(settings)
        self._hub = engine.hub
        self._uvicorn = _Uvicorn(uvicorn.Config(create_app(engine, settings), loop="none", lifespan="off", **options))
        self._served = asyncio.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        port = self._socket.getsockname()[1] if self._socket else self._port
        return f"http://{self._host}:{port}"

    def open(self) -> None:
        """Take the port. Raises Unavailable naming it."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((self._host, self._port))
            opened.listen(2048)
        except OSError as error:
            opened.close()
            reason = error.strerror or str(error)
            raise Unavailable(
                f"port {self._port} on {self._host} cannot be opened: {reason}", code="port_unavailable"
            ) from error
        self._socket = opened

    async def serve(self) -> None:
        """Answer until closed."""
        assert self._socket is not None
        try:
            await self._uvicorn.serve(sockets=[self._socket])
        finally:
            self._served.set()

    async def close(self) -> None:
        """Stop accepting, let calls finish, close the sockets."""
        self._hub.close()
        self._uvicorn.should_exit = True
        if self._uvicorn.started:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._served.wait(), 10)
        if self._socket is not None:
            self._socket.close()
