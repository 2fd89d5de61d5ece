"""The settings of `hexcab services`."""

from __future__ import annotations

import msgspec


class ServicesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The real servers that `hexcab services` runs on this machine. Times are wall seconds."""

    start_timeout_s: float = 180.0  # for one node to answer, and then for its nodes to work as one
    start_tries: int = 3  # a server killed just before may need a moment until its last processes are gone
    stop_timeout_s: float = 30.0  # for an orderly end; then it is killed
    check_timeout_s: float = 5.0  # for an answer to one question
    poll_s: float = 0.1  # between questions to a server that starts
    tool_timeout_s: float = 120.0  # for one helper program, such as one that makes an empty database
    fetch_timeout_s: float = 1_200.0  # for the Java servers' files, once
    busy_timeout_s: float = 600.0  # for another command on the same directory to end
    max_nodes: int = 5  # of Kafka or Cassandra
    kafka_heap_mb: int = 384
    cassandra_heap_mb: int = 512
