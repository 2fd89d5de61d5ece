"""Uvicorn in our event loop: on a socket that we opened, with signals left to us."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from core.errors import Unavailable

_BACKLOG = 2_048
Written = bytes | bytearray | memoryview


class _InOnePiece(asyncio.Transport):
    """A transport that sends what is written in one turn of the loop together, in one call of the system."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._written: list[Written] = []

    def write(self, data: Written) -> None:
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def abort(self) -> None:
        self._written.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def _send(self) -> None:
        written, self._written = self._written, []
        if written and not self._transport.is_closing():
            self._transport.write(written[0] if len(written) == 1 else b"".join(written))


class OnePiece(HttpToolsProtocol):
    """HTTP whose answers leave in one piece: uvicorn sends head and body apart, which wakes the client twice."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_InOnePiece(transport, self.loop))


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
