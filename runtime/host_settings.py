"""How the hosts of a cluster know and reach each other."""

from __future__ import annotations

from typing import Annotated

import msgspec

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]  # 0: any free one


class HostSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The internal server of a host, its calls to others, and presence."""

    host: str = "127.0.0.1"  # where the internal server listens: calls between hosts, health, metrics
    host_port: Port = 0
    address: str = ""  # host:port at which the other hosts reach it; empty: where it listens
    beat_s: float = 1.0  # wall time between signs of life in Redis
    host_expires_s: float = 5.0  # wall time without one; then the host counts as dead
    presence_wait_s: float = 0.5  # wall time that a welcome waits until the other hosts can find who connected
    presence_cache_s: Annotated[float, msgspec.Meta(le=30)] = 5.0  # wall time that a driver's host is remembered
    presence_cache_max: int = 100_000
    presence_batch: int = 1_000  # arrivals and departures told to Redis at once
    presence_again_s: float = 60.0  # wall time in which a host tells of everybody who hangs on it anew
    presence_keep_s: float = 600.0  # wall time that Redis keeps what is not told anew
    call_timeout_s: float = 1.0  # wall time for a call to another host
    calls: int = 256  # to all other hosts at once
    calls_waiting: int = 4_096  # more are refused
    max_call_bytes: int = 1_048_576
