"""Uvicorn in our event loop: on a socket that we opened, with signals left to us."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from core.errors import Unavailable

_BACKLOG = 2_048


class Uvicorn(uvicorn.Server):
    """A server that takes no signals; call `serve` with a socket of `open_port`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: whoever runs the engine decides what a signal means."""
        yield

    def stop_accepting(self) -> None:
        """Close the listening sockets now, not at uvicorn's next look."""
        self.should_exit = True
        if self.started:
            for server in self.servers:
                server.close()


async def ended(task: asyncio.Task[None], within_s: float) -> None:
    """Wait for the end of a server's task; what takes longer is cut off."""
    _, late = await asyncio.wait([task], timeout=within_s)
    for each in late:
        each.cancel()
    await asyncio.gather(*late, return_exceptions=True)


def open_port(host: str, port: int) -> socket.socket:
    """Take a port, 0 for any free one: callers wait until it is served. Raises Unavailable naming it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        reason = error.strerror or str(error)
        raise Unavailable(f"port {port} on {host} cannot be opened: {reason}", code="port_unavailable") from error
    return opened
