"""Connecting: from the settings to a session of the driver. Everything here blocks and belongs into a thread."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any

from cassandra import ConsistencyLevel, ProtocolVersion
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import DCAwareRoundRobinPolicy, ExponentialReconnectionPolicy, TokenAwarePolicy
from cassandra.query import tuple_factory

from core.errors import BadFile
from runtime.cassandra.tables import Table, make_missing
from runtime.cassandra_settings import CassandraSettings

_REASON_CHARS = 300


def tls_context(settings: CassandraSettings) -> ssl.SSLContext | None:
    """What the connections are protected by; None without TLS. Raises BadFile naming a file that cannot be used."""
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise BadFile(f"{settings.ca_file}: not a certificate authority: {error.strerror or error}") from error
    context.check_hostname = settings.check_hostname
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file or None)
        except OSError as error:
            names = " and ".join(filter(None, (settings.cert_file, settings.key_file)))
            raise BadFile(f"{names}: not a certificate and its key: {error.strerror or error}") from error
    return context


def connect(settings: CassandraSettings, tls: ssl.SSLContext | None, tables: Sequence[Table]) -> Any:
    """A session, with the keyspace and every table there. Raises the driver's errors; nothing is left open then."""
    session = open_session(settings, tls)
    try:
        make_missing(session, settings, tables)
        session.default_fetch_size = settings.page_rows
    except BaseException:
        disconnect(session)
        raise
    return session


def open_session(settings: CassandraSettings, tls: ssl.SSLContext | None) -> Any:
    """A session on the nodes as they are. Raises the driver's errors; nothing is left open then."""
    cluster = _cluster(settings, tls)
    try:
        return cluster.connect()
    except BaseException:
        cluster.shutdown()
        raise


def disconnect(session: Any) -> None:
    """Close a session and everything that belongs to it; what is on its way fails."""
    session.cluster.shutdown()


def reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict) and error.errors:
        each = "; ".join(f"{host}: {_words(cause)}" for host, cause in error.errors.items())
        return f"no node can be used ({each})"[:_REASON_CHARS]
    return _words(error)[:_REASON_CHARS]


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _cluster(settings: CassandraSettings, tls: ssl.SSLContext | None) -> Any:
    nodes = DCAwareRoundRobinPolicy(settings.local_dc) if settings.local_dc else DCAwareRoundRobinPolicy()
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(nodes, shuffle_replicas=True),
        consistency_level=ConsistencyLevel.name_to_value[settings.consistency],
        request_timeout=settings.request_timeout_s,
        row_factory=tuple_factory,
    )
    login = PlainTextAuthProvider(settings.user, settings.password) if settings.user else None
    return Cluster(
        [host.strip() for host in settings.hosts.split(",") if host.strip()],
        port=settings.port,
        auth_provider=login,
        ssl_context=tls,
        protocol_version=ProtocolVersion.V5,
        compression=False,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        reconnection_policy=ExponentialReconnectionPolicy(
            settings.reconnect_s, settings.max_reconnect_s, max_attempts=None
        ),
        connect_timeout=settings.connect_timeout_s,
        control_connection_timeout=settings.connect_timeout_s,
        idle_heartbeat_interval=settings.max_reconnect_s,
        idle_heartbeat_timeout=settings.connect_timeout_s,
        monitor_reporting_enabled=False,
        application_name="hexcab",
    )
