"""The API's server."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from runtime.settings import Settings
from runtime.uvicorns import OnePiece, Uvicorn, ended, open_port
from web.engine import Engine
from web.ops_socket import OpsFeed
from web.server import create_app, server_options

_CLOSE_S = 10.0  # uvicorn itself gives calls under way half of this
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # every address of the machine: this one leads there from itself


class Server:
    """Serves one engine's HTTP API, riders' and operators' sockets."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._host, self._port = settings.web.host, settings.web.port
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        app = create_app(engine, settings)
        self._hub = engine.hub
        self._feed: OpsFeed = app.state.ops_feed
        self._uvicorn = Uvicorn(
            uvicorn.Config(app, loop="none", http=OnePiece, lifespan="off", **server_options(settings))
        )

    @property
    def url(self) -> str:
        """Where it can be reached from this machine; the port stays known after the end."""
        return f"http://{reachable(self._host)}:{self._port}"

    def open(self) -> None:
        """Take the port: callers wait until `start`. Raises Unavailable naming it."""
        self._socket = open_port(self._host, self._port)
        self._port = self._socket.getsockname()[1]

    def release(self) -> None:
        """Give the port back; repeating is harmless."""
        if self._socket is not None:
            self._socket.close()

    def start(self) -> asyncio.Task[None]:
        """Answer from now on; the task ends with `close`, or when the server fails."""
        assert self._socket is not None
        self._task = asyncio.create_task(self._uvicorn.serve(sockets=[self._socket]), name="the API's server")
        return self._task

    async def close(self) -> None:
        """Stop accepting, say goodbye on the sockets, let calls finish; whatever takes longer is cut off."""
        self._uvicorn.stop_accepting()
        self._hub.close()
        self._feed.close()
        if self._task is not None:
            await ended(self._task, _CLOSE_S)
        self.release()


def reachable(host: str) -> str:
    """A host to listen on, as it stands in a URL of this machine."""
    host = _LOOPBACK.get(host, host)
    return f"[{host}]" if ":" in host else host
