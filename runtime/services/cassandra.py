"""Cassandra 5.0 on Java 17; the nodes of a ring stand on 127.0.0.1, 127.0.0.2 and so on, with the same ports."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from runtime.services import cql, pins
from runtime.services.jars import class_path, find_java, have_jars, jar_folder, locked, with_maven
from runtime.services.model import Entry, NodePlan, Say, Site
from runtime.services_settings import ServicesSettings

# what Cassandra 5.0 asks of Java 17's modules (conf/jvm17-server.options of its release)
_EXPORTS = (
    *("java.base/jdk.internal.misc", "java.base/jdk.internal.ref", "java.base/sun.nio.ch", "java.base/java.lang.ref"),
    *("java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server"),
    *("java.sql/java.sql", "jdk.unsupported/sun.misc"),
)
_OPENS = (
    *("java.base/java.lang.module", "java.base/jdk.internal.loader", "java.base/jdk.internal.ref"),
    *("java.base/jdk.internal.reflect", "java.base/jdk.internal.math", "java.base/jdk.internal.module"),
    *("java.base/jdk.internal.util.jar", "jdk.management/com.sun.management.internal", "java.base/sun.nio.ch"),
    *("java.base/java.io", "java.base/java.lang", "java.base/java.lang.reflect", "java.base/java.util"),
    *("java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic", "java.base/java.nio"),
)
_LOGGING = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %level %msg \\(%logger{0}\\)%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
  <logger name="org.apache.cassandra.service" level="INFO"/>
</configuration>
"""


class Cassandra:
    """A ring without passwords; new nodes take their share without copying what others hold."""

    name = "cassandra"
    accounts: tuple[str, ...] = ("cassandra",)
    stop = signal.SIGTERM
    apart = True  # one node joins after the other

    def find(self, cache: Path, settings: ServicesSettings, say: Say) -> str:
        """See Kind. Raises BadFile for a cached file with a wrong checksum."""
        _java()
        have_jars("cassandra", cache, with_maven(settings), say)
        return pins.CASSANDRA

    def plan(self, nodes: int) -> tuple[NodePlan, ...]:
        """See Kind."""
        names = ["cassandra"] if nodes == 1 else [f"cassandra-{number}" for number in range(1, nodes + 1)]
        return tuple(NodePlan(name, f"127.0.0.{at}", ("main", "storage")) for at, name in enumerate(names, 1))

    def prepare(self, site: Site) -> None:
        """Cassandra makes its files by itself."""

    def command(self, site: Site) -> list[str]:
        """See Kind."""
        site.write(configuration := site.folder / "cassandra.yaml", _configuration(site))
        site.write(logging := site.folder / "logback.xml", _LOGGING)
        heap, folder = site.settings.cassandra_heap_mb, site.folder
        meter = next(name for name in locked("cassandra") if name.startswith("jamm-"))
        return [
            *(_java(), f"-Xms{heap}m", f"-Xmx{heap}m", "-Xss512k", "-XX:MaxDirectMemorySize=256m"),
            *("-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-XX:+PerfDisableSharedMem"),
            f"-javaagent:{jar_folder('cassandra', site.cache) / meter}",
            *(word for each in _EXPORTS for word in ("--add-exports", f"{each}=ALL-UNNAMED")),
            *(word for each in _OPENS for word in ("--add-opens", f"{each}=ALL-UNNAMED")),
            *("-Djdk.attach.allowAttachSelf=true", "-Dio.netty.tryReflectionSetAccessible=true"),
            *("-Djava.awt.headless=true", f"-Djava.io.tmpdir={folder}", f"-Djna.tmpdir={folder}"),
            *(f"-Dlogback.configurationFile={logging}", f"-Dcassandra.config=file://{configuration}"),
            *(f"-Dcassandra.storagedir={folder / 'data'}", "-Dcassandra-foreground=yes"),
            *("-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.ring_delay_ms=1000"),
            "-Dcassandra.shutdown_announce_in_ms=200",
            *("-cp", class_path("cassandra", site.cache, site.account), "org.apache.cassandra.service.CassandraDaemon"),
        ]

    def ready(self, site: Site) -> bool:
        """See Kind."""
        return cql.answers(site.node.host, site.node.ports["main"], site.settings.check_timeout_s)

    def whole(self, sites: Sequence[Site]) -> bool:
        """Every node knows every other."""
        return len(sites) == 1 or all(
            cql.known_peers(site.node.host, site.node.ports["main"], site.settings.check_timeout_s) == len(sites) - 1
            for site in sites
        )

    def join(self, sites: Sequence[Site]) -> None:
        """The nodes find each other by the first, which their configuration names."""

    def url(self, entry: Entry) -> str:
        """host,host: the port of all is that of the first."""
        return ",".join(node.host for node in entry.nodes)


def _configuration(site: Site) -> str:
    """cassandra.yaml, which JSON is as well: little memory, quick to start, patient on a busy machine."""
    first, data = site.entry.nodes[0], site.folder / "data"
    options: dict[str, Any] = {
        "cluster_name": "hexcab",
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "num_tokens": 4,
        "endpoint_snitch": "SimpleSnitch",
        "seed_provider": [
            {
                "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                "parameters": [{"seeds": f"{first.host}:{first.ports['storage']}"}],
            }
        ],
        "listen_address": site.node.host,
        "rpc_address": site.node.host,
        "storage_port": site.node.ports["storage"],
        "native_transport_port": site.node.ports["main"],
        "data_file_directories": [str(data / "data")],
        "commitlog_directory": str(data / "commitlog"),
        "hints_directory": str(data / "hints"),
        "saved_caches_directory": str(data / "saved_caches"),
        "cdc_raw_directory": str(data / "cdc_raw"),
        "auto_bootstrap": False,
        "auto_snapshot": False,
        "commitlog_sync": "batch",  # periodic, the default, loses what was acknowledged just before a kill -9
        "commitlog_segment_size": "8MiB",
        "commitlog_total_space": "256MiB",
        "memtable_heap_space": "96MiB",
        "memtable_offheap_space": "96MiB",
        "file_cache_size": "32MiB",
        "networking_cache_size": "16MiB",
        "key_cache_size": "8MiB",
        "counter_cache_size": "0MiB",
        "column_index_cache_size": "2KiB",
        "concurrent_reads": 16,
        "concurrent_writes": 16,
        "concurrent_compactors": 1,
        "compaction_throughput": "64MiB/s",
        "disk_access_mode": "mmap_index_only",
        "read_request_timeout": "10s",
        "range_request_timeout": "20s",
        "write_request_timeout": "10s",
        "request_timeout": "20s",
        "slow_query_log_timeout": "2s",
    }
    return msgspec.json.format(msgspec.json.encode(options)).decode()


def _java() -> str:
    return find_java("cassandra", lambda version: version == pins.JAVA, f"Java {pins.JAVA}")
