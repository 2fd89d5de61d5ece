"""Every kind of server, in the order in which they are shown."""

from __future__ import annotations

from typing import Final

from runtime.services.cassandra import Cassandra
from runtime.services.kafka import Kafka
from runtime.services.mariadb import Mariadb
from runtime.services.model import Kind
from runtime.services.postgresql import Postgresql
from runtime.services.redis import Redis
from runtime.services.redis_cluster import RedisCluster

_ALL: Final[tuple[Kind, ...]] = (Redis(), RedisCluster(), Postgresql(), Mariadb(), Kafka(), Cassandra())

KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in _ALL}
NAMES: Final[tuple[str, ...]] = tuple(KINDS)
