"""Every topic of hexcab: its name, key, partitions, and how long it is kept. Declared here and nowhere else."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import NamedTuple

from runtime.kafka_settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `key` says what its messages are keyed by, `content` what a message is."""

    name: str
    key: str
    content: str
    partitions: int
    keep_s: float
    replication: int
    min_insync: int

    @property
    def config(self) -> dict[str, str]:
        """What the brokers are told besides partitions and replication."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(int(self.keep_s * 1000)),
            "min.insync.replicas": str(self.min_insync),
        }


class Topics(NamedTuple):
    """All of them."""

    rides: Topic
    dead: Topic
    locations: Topic


def topics_of(settings: KafkaSettings) -> Topics:
    """The topics under a deployment's settings."""

    def topic(name: str, key: str, content: str, partitions: int, keep_s: float) -> Topic:
        return Topic(
            settings.prefix + name, key, content, partitions, keep_s, settings.replication, settings.min_insync
        )

    return Topics(
        rides=topic(
            "rides",
            "ride request; the partition is that of the region",
            "an event (core/events.py) as JSON",
            settings.partitions,
            settings.rides_keep_s,
        ),
        dead=topic(
            "dead", "ride request", "a DeadLetter (runtime/kafka/partition.py) as JSON", 1, settings.dead_keep_s
        ),
        locations=topic(
            "locations",
            "driver",
            "a DriverMoved (core/events.py) as MessagePack",
            settings.location_partitions,
            settings.locations_keep_s,
        ),
    )


def partition_of(name: str, partitions: int) -> int:
    """The partition of a region or a driver: CRC-32 of the name, modulo how many there are.

    The same in every process and version: who reads the open requests of a partition from SQL must find those whose
    events come by it. Events without a region (`""`) share one partition.
    """
    return zlib.crc32(name.encode()) % partitions
