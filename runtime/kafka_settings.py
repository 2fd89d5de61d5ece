"""The settings of Kafka: where it is, how its topics are made, and how long who waits for what."""

from __future__ import annotations

from typing import Literal

import msgspec


class KafkaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Kafka of a cluster. Without brokers the bus is in memory, which only one process can use.

    Times are wall seconds: they bound real work.
    """

    brokers: str = ""  # host:port,host:port
    prefix: str = "hexcab."  # of the topics and groups, so that two engines can share a Kafka
    partitions: int = 32  # of the rides: regions are shared out by it, so it cannot be changed on a running cluster
    location_partitions: int = 16
    replication: int = 1  # 3 wherever a broker may be lost
    min_insync: int = 1  # replicas that have an event before it counts as safe; 2 with a replication of 3
    rides_keep_s: float = 604_800.0
    dead_keep_s: float = 2_592_000.0
    locations_keep_s: float = 3_600.0

    tls: bool = False
    ca_file: str = ""  # empty: the certificates that the system trusts
    cert_file: str = ""  # of this client, where the brokers ask for one
    key_file: str = ""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_user: str = ""  # empty: no SASL
    sasl_password: str = ""

    request_timeout_s: float = 10.0  # for an answer of a broker
    retry_backoff_s: float = 0.5  # between tries of the client itself
    linger_s: float = 0.002  # how long an event may wait for others to share a request with
    delivery_s: float = 10.0  # how long the relay waits for one event before it hears Unavailable
    produce_window: int = 1_000  # events on their way to the brokers

    session_s: float = 7.0  # silent for longer, a process loses its partitions to others; brokers take no less than 6
    heartbeat_s: float = 2.0
    rebalance_s: float = 15.0  # for the processes of a group to agree on who has which partitions
    drain_s: float = 4.0  # for events in hand to be finished before their partition goes to another process
    group_window: int = 64  # events of one partition in hand; it is read no further meanwhile
    fetch_records: int = 200  # events taken at a time, over all partitions
    fetch_bytes: int = 1_048_576  # read ahead, per partition
    commit_every_s: float = 0.5
    recent_ids: int = 50_000  # handled events that a group remembers, to pass over repeated ones
    watch_s: float = 2.0  # between looks at the lag and at whether Kafka answers
    alone_after_s: float = 30.0  # a dispatch worker that has reached no Kafka since its start serves every region then

    positions_every_s: float = 1.0  # between batches of the drivers' positions
    positions_window: int = 200_000  # drivers whose position waits; further ones are dropped and counted
    positions_timeout_s: float = 5.0  # for a batch to arrive; then it is dropped and counted
