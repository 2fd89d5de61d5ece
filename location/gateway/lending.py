"""The WebSocket library's sockets, lent to another reader and taken back."""

from __future__ import annotations

import asyncio
from typing import cast

from picows import WSTransport


def lend(transport: WSTransport) -> int:
    """Let another read the socket until it is taken back: its descriptor, or -1 where TLS ends here."""
    if transport.is_secure:
        return -1
    under = transport.underlying_transport
    under.pause_reading()
    return int(under.get_extra_info("socket").fileno())


def take_back(transport: WSTransport) -> None:
    """The library reads the socket again."""
    if not transport.underlying_transport.is_closing():
        transport.underlying_transport.resume_reading()


def feed(transport: WSTransport, data: bytes) -> None:
    """Bytes that were read from the socket elsewhere, for the library."""
    protocol = cast(asyncio.BufferedProtocol, transport.underlying_transport.get_protocol())
    while data and not transport.is_disconnected:
        room = memoryview(protocol.get_buffer(len(data)))
        size = min(len(room), len(data))
        room[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]
