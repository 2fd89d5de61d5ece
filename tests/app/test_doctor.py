"""`hexcab doctor`: what is wrong is named, with what to do, and nothing is changed by looking."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from app.cli import main
from app.schema import SCRIPTS, upgrade_one
from location.adapters.cassandra import TABLES as TRAIL_TABLES
from runtime.cassandra_settings import CassandraSettings
from runtime.clocks import SystemClock
from runtime.doctor.cassandra import look_at_cassandra
from runtime.doctor.findings import Examination, Finding, Standards, clock_wrong, examine
from runtime.doctor.kafka import look_at_kafka
from runtime.doctor.redis import look_at_redis
from runtime.doctor.sql import look_at_sql
from runtime.doctor_settings import DoctorSettings
from runtime.kafka.client import prepare_topics
from runtime.kafka.topics import topics_of
from runtime.kafka_settings import KafkaSettings
from runtime.redis import connect
from runtime.redis_settings import RedisSettings
from runtime.sql import Database
from runtime.sqlsettings import SqlSettings
from tests.redis_servers import real_redis
from tests.servers.engines import cassandra_session, cassandra_settings

Doctor = Callable[..., tuple[int, dict[str, dict[str, Any]]]]
STANDARDS = Standards(DoctorSettings(), SystemClock())


@pytest.fixture
def doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Exit code and findings by check, of a data directory and settings."""
    monkeypatch.setenv("HEXCAB_HOME", str(tmp_path / "home"))

    def run(settings: str = "") -> tuple[int, dict[str, dict[str, Any]]]:
        file = tmp_path / "settings.toml"
        file.write_text(settings, "utf-8")
        code = main(["doctor", "--json", "--data-dir", str(tmp_path / "data"), "--settings", str(file)])
        return code, {each["check"]: each for each in json.loads(capsys.readouterr().out)["findings"]}

    return run


def of(findings: Any, part: str) -> Finding:
    """The one finding whose detail has this part."""
    (found,) = [each for each in findings if part in each.detail]
    assert isinstance(found, Finding)
    return found


def test_a_new_machine_is_well_and_stays_untouched(doctor: Doctor, tmp_path: Path) -> None:
    code, found = doctor()
    assert code == 0
    assert found["data directory"]["status"] == "ok"
    assert found["city"]["status"] == "warn"
    assert "hexcab city add" in found["city"]["remedy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["settings.toml"]


def test_engines_that_do_not_answer_fail_each_with_what_to_do(doctor: Doctor) -> None:
    code, found = doctor(
        """
        [doctor]
        check_timeout_s = 3.0
        [sql]
        url = "postgresql+asyncpg://x:y@127.0.0.1:1/x"
        payments_url = "mariadb+asyncmy://x:y@127.0.0.1:1/x"
        [redis]
        url = "redis://127.0.0.1:1"
        [kafka]
        brokers = "127.0.0.1:1"
        [cassandra]
        hosts = "127.0.0.1"
        port = 1
        """
    )
    assert code == 1
    for name in ("sql riders drivers trips", "sql payments", "redis", "kafka", "cassandra"):
        assert found[name]["status"] == "fail", found[name]
        assert found[name]["remedy"].startswith("start")


def test_a_key_that_others_may_read_fails(doctor: Doctor, tmp_path: Path) -> None:
    key = tmp_path / "data" / "server.key"
    key.parent.mkdir()
    key.write_bytes(b"k" * 32)
    key.chmod(0o644)
    code, found = doctor()
    assert code == 1
    assert found["data directory"]["remedy"] == f"chmod 600 {key}"
    key.chmod(0o600)
    assert doctor()[0] == 0


def test_a_key_file_that_is_missing_fails(doctor: Doctor) -> None:
    code, found = doctor('[cluster]\nkey_file = "/nowhere/key"')
    assert code == 1
    assert "/nowhere/key" in found["key"]["detail"]


def test_a_database_file_is_looked_at_where_there_is_one(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "hexcab.db").write_bytes(b"no database, for longer than a header of SQLite is " * 9)
    code, found = doctor()
    assert code == 1
    assert found["sql"]["status"] == "fail"


def test_a_full_disk_and_few_files_are_warned_of(doctor: Doctor) -> None:
    code, found = doctor("[doctor]\nfree_disk_share = 0.999999\nopen_files = 100000000")
    assert code == 0
    assert "make room" in found["data directory"]["remedy"]
    assert "ulimit -n" in found["open files"]["remedy"]


def test_a_clock_that_differs_is_said_with_its_direction() -> None:
    assert clock_wrong(0.5, STANDARDS) == []
    assert "2.0 s ahead of" in clock_wrong(2.0, STANDARDS)[0][1]
    assert "2.0 s behind" in clock_wrong(-2.0, STANDARDS)[0][1]


async def test_a_check_that_hangs_or_breaks_is_a_line() -> None:
    async def hang() -> list[Finding]:
        await asyncio.sleep(60)
        return []

    async def fail() -> list[Finding]:
        raise KeyError("lost")

    (late,) = await examine(Examination("it", hang, "wait"), 0.01)
    assert late == Finding("it", "fail", "no answer within 0.01 s", "wait")
    (broken,) = await examine(Examination("it", fail, "mend"), 1.0)
    assert (broken.status, broken.remedy) == ("fail", "mend")
    assert "lost" in broken.detail


@pytest.mark.slow
async def test_redis_that_forgets_or_is_no_master_is_found() -> None:
    with real_redis() as server:
        settings = RedisSettings(url=server.url)
        client = connect(settings)
        try:
            await client.ask("CONFIG", "SET", "appendonly", "yes")
            (well,) = await look_at_redis(settings, STANDARDS)
            assert well.status == "ok"
            await client.ask("CONFIG", "SET", "appendonly", "no")
            await client.ask("CONFIG", "SET", "maxmemory", "1000000000", "maxmemory-policy", "allkeys-lru")
            found = await look_at_redis(settings, STANDARDS)
            assert of(found, "appendonly = no").status == "warn"
            assert of(found, "allkeys-lru").status == "fail"
            await client.ask("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1000")
            assert of(await look_at_redis(settings, STANDARDS), "of maxmemory are used").status == "fail"
            await client.ask("CONFIG", "SET", "maxmemory", "0")
            await client.ask("REPLICAOF", "127.0.0.1", "1")
            assert of(await look_at_redis(settings, STANDARDS), "it is a replica").status == "fail"
        finally:
            await client.aclose()


@pytest.mark.slow
async def test_a_redis_cluster_is_looked_at_as_a_whole_and_by_master(redis_cluster_url: str) -> None:
    found = await look_at_redis(RedisSettings(url=redis_cluster_url), STANDARDS)
    assert found[0].check == "redis cluster"
    assert found[0].status == "ok"
    assert len({each.check for each in found}) == 4
    node = redis_cluster_url.partition("://")[2].split(",")[0]
    alone = await look_at_redis(RedisSettings(url=f"redis://{node}"), STANDARDS)
    assert "redis+cluster://" in of(alone, "a node of a Redis Cluster").remedy


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
async def test_a_schema_that_is_missing_old_or_unknown_is_found(kind: str, request: pytest.FixtureRequest) -> None:
    database = Database(request.getfixturevalue(f"{kind}_url"), SqlSettings())

    async def look() -> Any:
        return await look_at_sql("sql", database, SCRIPTS, ["trips", "riders"], STANDARDS)

    try:
        assert of(await look(), "no tables of hexcab yet").status == "warn"
        await upgrade_one(database, ["trips"])
        lacking = of(await look(), "its schema lacks")
        assert "riders_0001" in lacking.detail
        assert "hexcab db upgrade" in lacking.remedy
        await upgrade_one(database, ["trips", "riders"])
        (well,) = await look()
        assert well.status == "ok", well
        async with database.transaction() as tx:
            await tx.connection.execute(sa.text("INSERT INTO alembic_version VALUES ('from_the_future')"))
        assert "from_the_future" in of(await look(), "of another version").detail
    finally:
        await database.close()


@pytest.mark.slow
async def test_a_database_that_may_lose_commits_fails(postgresql_url: str) -> None:
    database = Database(postgresql_url, SqlSettings())
    name = postgresql_url.rpartition("/")[2]
    try:
        async with database.transaction() as tx:
            await tx.connection.execute(sa.text(f'ALTER DATABASE "{name}" SET synchronous_commit TO off'))
        await database.close()
        found = await look_at_sql("sql", database, SCRIPTS, ["trips"], STANDARDS)
        assert of(found, "synchronous_commit = off").status == "fail"
    finally:
        async with database.transaction() as tx:
            await tx.connection.execute(sa.text(f'ALTER DATABASE "{name}" RESET synchronous_commit'))
        await database.close()


@pytest.mark.slow
async def test_topics_are_compared_with_the_settings(kafka_brokers: str, topic_prefix: str) -> None:
    settings = KafkaSettings(brokers=kafka_brokers, prefix=topic_prefix, partitions=4, location_partitions=2)
    rides = f"kafka {topic_prefix}rides"
    before = {each.check: each for each in await look_at_kafka(settings)}
    assert before[rides].detail == "it is not there yet"
    await prepare_topics(settings, topics_of(settings))
    after = {each.check: each for each in await look_at_kafka(settings)}
    assert after[rides].status == "ok", after[rides]
    assert after["kafka"].status == "warn"  # one replica
    other = msgspec.structs.replace(settings, partitions=8, rides_keep_s=5.0, replication=3, min_insync=2)
    found = await look_at_kafka(other)
    assert of(found, "it has 4 partitions, the settings say 8").status == "fail"
    assert of([each for each in found if each.check == rides], "retention.ms").status == "warn"
    assert of(found, "and kafka.replication is 3").status == "fail"


@pytest.mark.slow
async def test_cassandra_is_compared_with_the_settings(cassandra_address: tuple[str, int], keyspace: str) -> None:
    settings: CassandraSettings = cassandra_settings(cassandra_address, keyspace)
    before = await look_at_cassandra(settings, TRAIL_TABLES)
    assert of(before, "the keyspace is not there yet").status == "warn"
    async with cassandra_session(settings, TRAIL_TABLES):
        after = await look_at_cassandra(settings, TRAIL_TABLES)
    assert of(after, "it keeps 1 copies").status == "warn"
    assert not [each for each in after if each.status == "fail"], after
