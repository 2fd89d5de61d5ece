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
from web.ops_socket import OpsFeed
from web.server import create_app, server_options

_CLOSE_S = 10.0  # uvicorn itself gives calls under way half of this
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # every address of the machine: this one leads there from itself


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: whoever runs the engine decides what a signal means."""
        yield

    def stop_accepting(self) -> None:
        """Close the listening sockets now, not at uvicorn's next look."""
        if self.started:
            for server in self.servers:
                server.close()


class Server:
    """Serves one engine's HTTP API, riders' and operators' sockets."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._host, self._port = settings.web.host, settings.web.port
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        app = create_app(engine, settings)
        self._hub = engine.hub
        self._feed: OpsFeed = app.state.ops_feed
        self._uvicorn = _Uvicorn(uvicorn.Config(app, loop="none", lifespan="off", **server_options(settings)))

    @property
    def url(self) -> str:
        """Where it can be reached from this machine; the port stays known after the end."""
        return f"http://{reachable(self._host)}:{self._port}"

    def open(self) -> None:
        """Take the port: callers wait until `start`. Raises Unavailable naming it."""
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
        self._port = opened.getsockname()[1]

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
        self._uvicorn.should_exit = True
        self._uvicorn.stop_accepting()
        self._hub.close()
        self._feed.close()
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=_CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self.release()


def reachable(host: str) -> str:
    """A host to listen on, as it stands in a URL of this machine."""
    host = _LOOPBACK.get(host, host)
    return f"[{host}]" if ":" in host else host
