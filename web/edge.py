"""What every endpoint reaches through its request: the engine, the settings, and the state of this edge."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

from starlette.requests import HTTPConnection

from runtime.settings import Settings
from web.engine import Engine


@dataclass(slots=True)
class KeyLocks:
    """One lock per key in use, so that two calls with the same Idempotency-Key do not run side by side."""

    _held: dict[str, tuple[asyncio.Lock, int]] = field(default_factory=dict)

    def take(self, key: str) -> asyncio.Lock:
        """The key's lock; every `take` is followed by a `leave`."""
        lock, users = self._held.get(key, (asyncio.Lock(), 0))
        self._held[key] = (lock, users + 1)
        return lock

    def leave(self, key: str) -> None:
        """Forget the lock when nobody uses it any more."""
        lock, users = self._held.pop(key)
        if users > 1:
            self._held[key] = (lock, users - 1)


@dataclass(frozen=True, slots=True)
class Edge:
    """The edge's own bundle, kept in the application's state."""

    engine: Engine
    settings: Settings
    locks: KeyLocks


def edge_of(connection: HTTPConnection) -> Edge:
    """The edge a request or socket came in by."""
    return cast(Edge, connection.app.state.edge)


def engine_of(connection: HTTPConnection) -> Engine:
    """The engine behind a request or socket."""
    return edge_of(connection).engine
