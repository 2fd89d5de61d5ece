"""The fixtures give what their docstring says."""

from __future__ import annotations

import asyncmy
import asyncpg
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import RoundRobinPolicy
from redis.cluster import ClusterNode, RedisCluster
from sqlalchemy.engine import make_url

from tests.servers.isolated import database
from tests.servers.running import Servers

pytestmark = pytest.mark.slow


def test_redis_is_an_empty_database_of_this_module(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        assert client.set("a", "1")


def test_the_redis_cluster_takes_keys_of_every_slot(redis_cluster_url: str) -> None:
    login, _, nodes = redis_cluster_url.removeprefix("redis+cluster://:").partition("@")
    hosts = [ClusterNode(*each.split(":")) for each in nodes.split(",")]
    assert len(hosts) == 6
    with RedisCluster(startup_nodes=hosts, password=login) as client:
        for number in range(100):
            assert client.set(f"key{number}", str(number))
        assert client.get("key57") == b"57"
        assert len(client.get_primaries()) == 3


async def test_postgresql_is_an_empty_database_that_may_be_written(postgresql_url: str) -> None:
    assert postgresql_url.startswith("postgresql+asyncpg://hexcab:")
    link = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    try:
        await link.execute("CREATE TABLE a (b text PRIMARY KEY)")
        assert await link.fetchval("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'") == 1
    finally:
        await link.close()


async def test_mariadb_is_an_empty_database_that_may_be_written(mariadb_url: str) -> None:
    url = make_url(mariadb_url)
    assert url.drivername == "mysql+asyncmy"
    link = await asyncmy.connect(
        host=url.host, port=url.port, user=url.username, password=url.password, database=url.database
    )
    try:
        async with link.cursor() as cursor:
            await cursor.execute("CREATE TABLE a (b varchar(9) PRIMARY KEY)")
            await cursor.execute("SHOW TABLES")
            assert await cursor.fetchall() == (("a",),)
    finally:
        await link.ensure_closed()


async def test_kafka_keeps_what_was_sent(kafka_brokers: str, topic_prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_brokers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(f"{topic_prefix}a", num_partitions=2, replication_factor=1)])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=kafka_brokers, enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(f"{topic_prefix}a", b"word", key=b"k")
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(
        f"{topic_prefix}a", bootstrap_servers=kafka_brokers, group_id=topic_prefix, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        assert (await consumer.getone()).value == b"word"
    finally:
        await consumer.stop()


def test_cassandra_keeps_what_was_written(cassandra_address: tuple[str, int], keyspace: str) -> None:
    host, port = cassandra_address
    profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy())
    with Cluster([host], port=port, protocol_version=4, execution_profiles={EXEC_PROFILE_DEFAULT: profile}) as cluster:
        session = cluster.connect()
        session.execute(
            f"CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}}"
        )
        session.execute(f"CREATE TABLE {keyspace}.a (b text PRIMARY KEY)")
        session.execute(f"INSERT INTO {keyspace}.a (b) VALUES ('c')")
        assert [row.b for row in session.execute(f"SELECT b FROM {keyspace}.a")] == ["c"]


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
async def test_a_server_may_be_asked_for_from_within_a_running_loop(servers: Servers, name: str) -> None:
    with database(servers.running(name), __name__) as url, database(servers.running(name), __name__) as other:
        assert url != other
