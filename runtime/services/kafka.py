"""Kafka without ZooKeeper (KRaft); each node is broker and controller."""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from runtime.services import pins
from runtime.services.jars import class_path, find_java, have_jars, with_maven
from runtime.services.model import Entry, Node, NodePlan, Say, Site
from runtime.services_settings import ServicesSettings

_CLUSTER = "aGV4Y2FiLWhleGNhYi1oZQ"  # 16 bytes in base64: the clusters of two directories never meet
_MAJORITY_OF_THREE = 2

_LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %m (%c{1})%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server
logger.server.level = info
"""


class Kafka:
    """A broker for every node; topics of a single node have one copy, those of three or more have three."""

    name = "kafka"
    accounts: tuple[str, ...] = ("kafka",)
    stop = signal.SIGTERM
    apart = False

    def find(self, cache: Path, settings: ServicesSettings, say: Say) -> str:
        """See Kind. Raises BadFile for a cached file with a wrong checksum."""
        _java()
        have_jars("kafka", cache, with_maven(settings), say)
        return pins.KAFKA

    def plan(self, nodes: int) -> tuple[NodePlan, ...]:
        """See Kind."""
        names = ["kafka"] if nodes == 1 else [f"kafka-{number}" for number in range(1, nodes + 1)]
        return tuple(NodePlan(name, "127.0.0.1", ("main", "controller")) for name in names)

    def prepare(self, site: Site) -> None:
        """See Kind."""
        site.run(
            [
                *(_java(), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                *("-cp", class_path("kafka", site.cache, site.account), "kafka.tools.StorageTool", "format"),
                *("--cluster-id", _CLUSTER, "--config", str(_configuration(site))),
            ]
        )

    def command(self, site: Site) -> list[str]:
        """See Kind."""
        site.write(logging := site.folder / "log4j2.properties", _LOGGING)
        heap = site.settings.kafka_heap_mb
        return [
            *(_java(), f"-Xms{heap}m", f"-Xmx{heap}m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"),
            *("-Djava.awt.headless=true", f"-Djava.io.tmpdir={site.folder}", f"-Dlog4j2.configurationFile={logging}"),
            *("-cp", class_path("kafka", site.cache, site.account), "kafka.Kafka", str(_configuration(site))),
        ]

    def ready(self, site: Site) -> bool:
        """A broker answers its clients only when the controllers have let it in."""
        return _answers(site.node, site.settings.check_timeout_s)

    def whole(self, sites: Sequence[Site]) -> bool:
        """A node that is ready has been let in."""
        return True

    def join(self, sites: Sequence[Site]) -> None:
        """The nodes know each other from their configuration."""

    def url(self, entry: Entry) -> str:
        """host:port of every broker."""
        return entry.address


def _configuration(site: Site) -> Path:
    nodes = site.entry.nodes
    own = [node.name for node in nodes].index(site.node.name) + 1
    voters = ",".join(f"{at}@{node.host}:{node.ports['controller']}" for at, node in enumerate(nodes, 1))
    copies = min(3, len(nodes))
    host = site.node.host
    options = {
        "process.roles": "broker,controller",
        "node.id": own,
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CLIENT://{site.node.address},CONTROLLER://{host}:{site.node.ports['controller']}",
        "advertised.listeners": f"CLIENT://{site.node.address}",
        "inter.broker.listener.name": "CLIENT",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": site.folder / "data",
        "num.partitions": 6,
        "default.replication.factor": copies,
        "min.insync.replicas": min(copies, _MAJORITY_OF_THREE),
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 6,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": min(copies, _MAJORITY_OF_THREE),
        "transaction.state.log.num.partitions": 3,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": min(copies, _MAJORITY_OF_THREE),
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        "auto.create.topics.enable": "false",  # every topic is declared
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.dedupe.buffer.size": 16_777_216,
        "broker.session.timeout.ms": 6_000,
        "controlled.shutdown.enable": "true",
    }
    file = site.folder / "server.properties"
    site.write(file, "".join(f"{name}={value}\n" for name, value in options.items()))
    return file


def _answers(node: Node, timeout_s: float) -> bool:
    """Whether the broker answers ApiVersions, which every client asks first, without an error."""
    try:
        with socket.create_connection((node.host, node.ports["main"]), timeout_s) as link:
            link.sendall(struct.pack(">ihhih", 10, 18, 0, 1, 0))
            head = b""
            while len(head) < 10:
                if not (more := link.recv(10 - len(head))):
                    return False
                head += more
    except OSError:
        return False
    _size, correlation, error = struct.unpack(">iih", head)
    return bool(correlation == 1 and error == 0)


def _java() -> str:
    return find_java("kafka", lambda version: version >= pins.JAVA, f"Java {pins.JAVA} or newer")
