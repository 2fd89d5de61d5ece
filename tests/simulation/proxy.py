"""A network between two processes that can be cut, stalled in one direction, delayed, slowed and reset.

Each connection has two pipes. A pipe passes bytes on at once while the network is well; otherwise they wait in it, in
order, up to a limit beyond which its source is no longer read: nothing is ever dropped out of a stream, as TCP would
send it again. What is lost when a network is cut is the connection.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from typing import Literal, cast

Direction = Literal["up", "down"]  # to the server, to the client

PIPE_BYTES = 262_144  # waiting in one pipe
MAX_CONNECTIONS = 20_000
_LINGER_NONE = struct.pack("ii", 1, 0)  # close with RST


class Proxy:
    """Listens on loopback and connects each client to the target. Call `heal` to end every fault."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.port = 0
        self.refused = 0
        self.passed = {"up": 0, "down": 0}  # bytes
        self.is_cut = False
        self.stalled: set[Direction] = set()
        self.delay_s = 0.0
        self.bytes_per_s: float | None = None  # each direction of each connection
        self.links: set[_Link] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        """Open the port, any free one by default."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Link(self).client, "127.0.0.1", port, backlog=4096)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.close()
        self.reset()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Reset what there is, and reset whoever connects."""
        self.is_cut = True
        self.reset()

    def stall(self, *directions: Direction) -> None:
        """Nothing gets through in these directions, not even that the other side has closed."""
        self.stalled |= set(directions)

    def delay(self, seconds: float) -> None:
        """Everything takes so much longer, in each direction."""
        self.delay_s = seconds

    def slow(self, bytes_per_s: float) -> None:
        """Each direction of each connection passes so many bytes a second."""
        self.bytes_per_s = bytes_per_s

    def reset(self) -> None:
        """Reset every connection that there is now; new ones are welcome."""
        for link in list(self.links):
            link.reset()

    def heal(self) -> None:
        """End all faults. What was stalled flows again, what was reset stays so."""
        self.is_cut = False
        self.stalled.clear()
        self.delay_s, self.bytes_per_s = 0.0, None
        for link in list(self.links):
            link.pump()


class _Link:
    """One client's connection and the one to the target."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.up, self.down = _Pipe(proxy, "up"), _Pipe(proxy, "down")
        self.client = _End(self, self.up, self.down)
        self.server = _End(self, self.down, self.up)
        self._dialling: asyncio.Task[None] | None = None

    def opened(self) -> None:
        """The client is here."""
        proxy = self.proxy
        if proxy.is_cut or len(proxy.links) >= MAX_CONNECTIONS:
            proxy.refused += 1
            self.client.reset()
            return
        proxy.links.add(self)
        self._dialling = asyncio.create_task(self._dial())

    async def _dial(self) -> None:
        while "up" in self.proxy.stalled:  # nor does the first packet get through
            await asyncio.sleep(0.05)
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, *self.proxy.target)
        except OSError:
            self.reset()
            return
        self.pump()

    def pump(self) -> None:
        """Pass on what may go now."""
        self.up.pump()
        self.down.pump()

    def reset(self) -> None:
        """End both sides at once."""
        self.proxy.links.discard(self)
        if self._dialling is not None and self._dialling is not asyncio.current_task():
            self._dialling.cancel()
        for end in (self.client, self.server):
            end.reset()


class _Pipe:
    """One direction of one link: bytes in order, then perhaps the end, each with the time when it is due."""

    def __init__(self, proxy: Proxy, direction: Direction) -> None:
        self._proxy = proxy
        self._direction = direction
        self._waiting: deque[tuple[float, bytes | None]] = deque()  # None: the source is gone
        self._size = 0
        self._last_due = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self.source: _End | None = None
        self.sink: _End | None = None
        self.choked = False  # the sink does not take more

    def feed(self, data: bytes | None) -> None:
        """Bytes from the source, or None when it is gone."""
        proxy = self._proxy
        well = not (proxy.stalled or proxy.delay_s or proxy.bytes_per_s or self._waiting or self.choked)
        if well and data is not None and self.sink is not None:
            self._pass(data)
            return
        now = asyncio.get_running_loop().time()
        due = max(now + proxy.delay_s, self._last_due)
        if proxy.bytes_per_s and data is not None:
            due += len(data) / proxy.bytes_per_s
        self._last_due = due
        self._waiting.append((due, data))
        self._size += len(data or b"")
        if self._size > PIPE_BYTES and self.source is not None:
            self.source.pause()
        self.pump()

    def pump(self) -> None:
        """Pass on what is due, as far as the sink takes it."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        loop = asyncio.get_running_loop()
        while (
            self._waiting and self.sink is not None and not self.choked and self._direction not in self._proxy.stalled
        ):
            due, data = self._waiting[0]
            if due > loop.time() and (self._proxy.delay_s or self._proxy.bytes_per_s):
                self._alarm = loop.call_at(due, self.pump)
                return
            self._waiting.popleft()
            if data is None:
                self.sink.finish()
                return
            self._size -= len(data)
            self._pass(data)
        if self._size <= PIPE_BYTES // 2 and self.source is not None:
            self.source.resume()

    @property
    def _flows(self) -> bool:
        return not self.choked and self._direction not in self._proxy.stalled

    def _pass(self, data: bytes) -> None:
        assert self.sink is not None
        self._proxy.passed[self._direction] += len(data)
        self.sink.write(data)


class _End(asyncio.Protocol):
    """One side's socket: it fills one pipe and is filled by the other."""

    def __init__(self, link: _Link, fills: _Pipe, filled_by: _Pipe) -> None:
        self._link = link
        self._fills = fills
        self._filled_by = filled_by
        self._transport: asyncio.Transport | None = None
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._closed:  # while it was being opened
            self.reset()
            return
        self._fills.source = self
        self._filled_by.sink = self
        if self is self._link.client:
            self._link.opened()

    def data_received(self, data: bytes) -> None:
        self._fills.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        if isinstance(exc, ConnectionResetError) and not self._link.proxy.stalled:
            self._link.reset()
            return
        self._fills.feed(None)

    def pause_writing(self) -> None:
        self._filled_by.choked = True

    def resume_writing(self) -> None:
        self._filled_by.choked = False
        self._filled_by.pump()

    def write(self, data: bytes) -> None:
        """Send bytes; whoever is gone gets none."""
        if self._transport is not None and not self._closed:
            self._transport.write(data)

    def pause(self) -> None:
        """Read no further."""
        if self._transport is not None and not self._closed and self._transport.is_reading():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._closed and not self._transport.is_reading():
            self._transport.resume_reading()

    def finish(self) -> None:
        """Close once everything is sent: the other side is gone."""
        self._link.proxy.links.discard(self._link)
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close at once, with RST."""
        self._closed = True
        if self._transport is None or self._transport.is_closing():
            return
        opened = self._transport.get_extra_info("socket")
        if opened is not None:
            with socket.socket(fileno=os.dup(opened.fileno())) as same:  # uvloop's own object cannot set options
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        self._transport.abort()
