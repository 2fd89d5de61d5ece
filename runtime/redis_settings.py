"""How Redis is reached."""

from __future__ import annotations

import msgspec


class RedisSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Redis of a cluster. An empty URL: the embedded one in the data directory. Times are wall seconds."""

    # redis://, rediss:// or unix://; for a Redis Cluster redis+cluster:// or rediss+cluster:// with host:port,host:port
    url: str = ""
    password_file: str = ""  # instead of a password in the URL
    ca_file: str = ""  # whom to trust with rediss; empty: the system's authorities
    cert_file: str = ""  # our own certificate, where the server asks for one
    key_file: str = ""
    connect_timeout_s: float = 1.0
    timeout_s: float = 1.0  # for one answer
    deadline_s: float = 3.0  # for a call with all its retries
    retries: int = 3
    retry_base_s: float = 0.05  # before the first retry; doubles, with jitter
    retry_max_s: float = 0.5
    connections: int = 32  # to each server, and calls at once
    batch: int = 1_000  # commands, or drivers of one script, sent at once
    look_every_s: float = 1.0  # how often the watch looks whether Redis answers and still has its data
