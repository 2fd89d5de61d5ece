"""The memory peer: a picows server on uvloop that echoes, and knows nothing of its connections.

python -m benchmarks.peers.bare_picows    prints "port N", serves until SIGTERM
"""

from __future__ import annotations

import asyncio
import signal

import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)


class Echo(WSListener):
    """Sends back what comes."""

    __slots__ = ()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        transport.send(frame.msg_type, frame.get_payload_as_bytes())


def answer(_request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
    """Everyone may come in."""
    chosen = {"Sec-WebSocket-Protocol": "hexcab.v1.json"}
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(chosen), Echo())


async def serve() -> None:
    """Serve until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    # the same first buffer as the gateway's, and nothing else of its own
    server = await ws_create_server(answer, "127.0.0.1", 0, backlog=4096, read_buffer_init_size=4096)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await stopping.wait()


if __name__ == "__main__":
    uvloop.run(serve())
