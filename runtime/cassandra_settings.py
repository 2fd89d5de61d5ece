"""The settings of Cassandra: where it is, how safe a write has to be, and how long who waits for what."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Keyspace = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Replication = Annotated[str, msgspec.Meta(pattern=r"^([1-9]|[\w.-]+:[1-9](,[\w.-]+:[1-9])*)$")]


class CassandraSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Cassandra of a cluster. Without hosts, trails and the archive are in SQLite in the data directory.

    Times are wall seconds.
    """

    hosts: str = ""  # host,host
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 9042
    local_dc: str = ""  # the data centre whose nodes are used; empty: that of the hosts
    keyspace: Keyspace = "hexcab"
    replication: Replication = "3"  # copies in each data centre, or dc1:3,dc2:3; of a keyspace that is made anew
    consistency: Literal["LOCAL_QUORUM", "QUORUM"] = "LOCAL_QUORUM"  # of every read and write
    user: str = ""
    password: str = ""
    tls: bool = False
    ca_file: str = ""  # whom to trust; empty: the system's authorities
    cert_file: str = ""  # our own certificate and key, where the servers ask for one
    key_file: str = ""
    check_hostname: bool = True  # the servers' certificates name the addresses that we connect to
    connect_timeout_s: float = 5.0
    request_timeout_s: float = 5.0  # one statement, tries included
    schema_timeout_s: float = 60.0  # one table to be made
    attempts: int = 3  # of a statement that a server refused or that lost its connection
    retry_s: float = 0.1  # longest pause before the second try; doubles; drawn at random
    reconnect_s: float = 1.0  # between tries to connect, at first
    max_reconnect_s: float = 10.0
    renew_s: float = 60.0  # when nobody has answered for so long, the nodes are looked up anew
    max_in_flight: int = 128  # statements on their way
    max_waiting: int = 20_000  # statements waiting for their turn; more are refused
    batch_rows: int = 20  # in one batch
    batch_bytes: int = 4_500  # in one batch; servers warn from 5 KiB on
    page_rows: int = 5_000  # of one answer; longer ones come in pages
