"""Two questions in Cassandra's native protocol (version 4): is a node ready, and whom does it know.

A driver would open pools and threads for them, and look for the other nodes by itself.
"""

from __future__ import annotations

import socket
import struct

_FRAME = struct.Struct(">BBhBi")  # version, flags, stream, opcode, length of the body
_VERSION = 4
_ERROR, _STARTUP, _READY, _OPTIONS, _SUPPORTED, _QUERY, _RESULT = 0x00, 0x01, 0x02, 0x05, 0x06, 0x07, 0x08
_CONSISTENCY_ONE = 1
_ROWS = 2


def answers(host: str, port: int, timeout_s: float) -> bool:
    """Whether the node serves clients, which it does once it is a member of its ring."""
    try:
        with socket.create_connection((host, port), timeout_s) as link:
            return _ask(link, _OPTIONS, b"")[0] == _SUPPORTED
    except (OSError, struct.error):
        return False


def known_peers(host: str, port: int, timeout_s: float) -> int:
    """How many other nodes the node knows; 0 where it does not answer."""
    text = b"SELECT data_center FROM system.peers_v2"
    startup = struct.pack(">h", 1) + _text(b"CQL_VERSION") + _text(b"3.0.0")
    query = struct.pack(">i", len(text)) + text + struct.pack(">hB", _CONSISTENCY_ONE, 0)
    try:
        with socket.create_connection((host, port), timeout_s) as link:
            if _ask(link, _STARTUP, startup)[0] != _READY:
                return 0
            opcode, body = _ask(link, _QUERY, query)
            return _rows(body) if opcode == _RESULT else 0
    except (OSError, struct.error):
        return 0


def _rows(body: bytes) -> int:
    """The number of rows of an answer with one column: kind, flags, columns, keyspace, table, name, type, count."""
    kind, _flags, _columns = struct.unpack_from(">iii", body)
    if kind != _ROWS:
        return 0
    at = 12
    for _ in range(3):
        at += 2 + struct.unpack_from(">h", body, at)[0]
    return int(struct.unpack_from(">i", body, at + 2)[0])


def _ask(link: socket.socket, opcode: int, body: bytes) -> tuple[int, bytes]:
    link.sendall(_FRAME.pack(_VERSION, 0, 0, opcode, len(body)) + body)
    *_, answer, length = _FRAME.unpack(_read(link, _FRAME.size))
    return answer, _read(link, length)


def _read(link: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        if not (more := link.recv(size - len(read))):
            raise ConnectionError("the node closed the connection")
        read += more
    return read


def _text(word: bytes) -> bytes:
    return struct.pack(">h", len(word)) + word
