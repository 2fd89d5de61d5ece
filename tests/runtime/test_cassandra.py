"""The session with Cassandra: it connects by itself, says when the servers are away, and never blocks the loop."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import InvalidRequest

from core.errors import BadFile, Unavailable
from runtime.cassandra import UNSET, Cassandra, Table, Write
from runtime.cassandra.answers import Answers
from runtime.cassandra.batches import Packer
from runtime.cassandra_settings import CassandraSettings
from runtime.services.manager import Services
from tests.servers.engines import PATIENT_S, OwnCassandra, cassandra_session, cassandra_settings

NOTES = Table("notes", "name text PRIMARY KEY, body text", "comment = 'of a test'")
LINES = Table("lines", "book text, n int, body text, PRIMARY KEY ((book), n)", "comment = 'of a test'")
PUT_NOTE = "INSERT INTO KEYSPACE.notes (name, body) VALUES (?, ?)"
PUT_LINE = "INSERT INTO KEYSPACE.lines (book, n, body) VALUES (?, ?, ?)"
LIST_LINES = "SELECT n, body FROM KEYSPACE.lines WHERE book = ?"


def note(name: str, body: str = "") -> Write:
    return Write(PUT_NOTE, (name, body))


async def body_of(cassandra: Cassandra, name: str) -> str | None:
    rows = await cassandra.rows("SELECT body FROM KEYSPACE.notes WHERE name = ?", (name,))
    return rows[0][0] if rows else None


async def until(holds: Callable[[], Any], timeout_s: float = PATIENT_S) -> None:
    """Wait until a call does not raise Unavailable."""
    async with asyncio.timeout(timeout_s):
        while True:
            with contextlib.suppress(Unavailable):
                await holds()
                return
            await asyncio.sleep(0.2)


@pytest.fixture
async def cassandra(cassandra_address: tuple[str, int], keyspace: str) -> AsyncIterator[Cassandra]:
    settings = cassandra_settings(cassandra_address, keyspace, page_rows=100)
    async with cassandra_session(settings, [NOTES, LINES]) as session:
        yield session


@pytest.fixture
def own(new_servers: Callable[[], Services]) -> OwnCassandra:
    return OwnCassandra(new_servers())


@pytest.fixture
async def closing() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as stack:
        yield stack


# without a server


async def test_while_nothing_is_connected_every_call_says_so_at_once() -> None:
    cassandra = Cassandra(CassandraSettings(hosts="127.0.0.1", port=1, reconnect_s=0.05), [NOTES], random.Random(1))
    with pytest.raises(Unavailable) as caught:
        await cassandra.write([note("a")])
    assert caught.value.code == "store_unavailable"
    cassandra.start()
    with pytest.raises(Unavailable, match="no node can be used"):
        await cassandra.ready(1.0)
    with pytest.raises(Unavailable, match="no node can be used"):
        await cassandra.rows("SELECT body FROM KEYSPACE.notes", ())
    with pytest.raises(Unavailable):
        await cassandra.check()
    await cassandra.close()


async def test_a_session_that_is_not_connected_yet_can_be_closed() -> None:
    cassandra = Cassandra(CassandraSettings(hosts="no.such.host.invalid"), [NOTES], random.Random(1))
    cassandra.start()
    await asyncio.sleep(0)
    await cassandra.close()
    with pytest.raises(Unavailable, match="stops"):
        await cassandra.check()


@pytest.mark.parametrize("broken", ["missing", "nonsense"])
@pytest.mark.parametrize("setting", ["ca_file", "cert_file"])
async def test_a_tls_file_that_cannot_be_used_is_named(tmp_path: Path, setting: str, broken: str) -> None:
    file = tmp_path / "some.pem"
    if broken == "nonsense":
        file.write_text("no certificate")
    settings = CassandraSettings(hosts="127.0.0.1", tls=True, **{setting: str(file)})  # type: ignore[arg-type]
    with pytest.raises(BadFile, match=r"some\.pem"):
        Cassandra(settings, [], random.Random(1))


async def test_answers_of_another_thread_reach_those_who_still_wait() -> None:
    loop = asyncio.get_running_loop()
    answers = Answers(loop)
    futures = [loop.create_future() for _ in range(1_000)]
    futures[7].cancel()
    await asyncio.to_thread(lambda: [answers.put(future, number) for number, future in enumerate(futures)])
    async with asyncio.timeout(5):
        assert [await future for future in futures[:7] + futures[8:]] == [*range(7), *range(8, 1_000)]


def row(key: bytes, owners: str, size: int = 10) -> Any:
    return SimpleNamespace(routing_key=key, owners=owners, values=[key, b"x" * (size - len(key)), None, UNSET])


def packs(rows: list[Any], **limits: int) -> list[list[bytes]]:
    """The keys of each statement."""

    def replicas(_keyspace: str, key: bytes) -> list[Any]:
        return [SimpleNamespace(address=address) for address in owners[key]]

    owners = {each.routing_key: each.owners for each in rows}
    session = SimpleNamespace(cluster=SimpleNamespace(metadata=SimpleNamespace(get_replicas=replicas)))
    packer = Packer(session, CassandraSettings(**limits), batch=list)  # type: ignore[arg-type]
    made = [full for each in rows if (full := packer.add(each)) is not None] + list(packer.rest())
    return [[each.routing_key for each in (full if isinstance(full, list) else [full])] for full in made]


def test_rows_are_batched_with_those_of_the_same_owners_alone() -> None:
    rows = [row(b"a", "12"), row(b"b", "23"), row(b"a", "12"), row(b"c", "12"), row(b"d", "31")]
    assert sorted(packs(rows)) == [[b"a", b"a", b"c"], [b"b"], [b"d"]]


def test_a_batch_is_bounded_in_rows_bytes_and_partitions() -> None:
    one = [row(b"a", "1") for _ in range(45)]
    assert [len(each) for each in packs(one, batch_rows=20)] == [20, 20, 5]
    assert [len(each) for each in packs(one, batch_rows=40, batch_bytes=105)] == [10, 10, 10, 10, 5]
    many = [row(bytes([number]), "1") for number in range(25)]
    assert [len(each) for each in packs(many, batch_rows=100)] == [10, 10, 5]
    assert [len(each) for each in packs([row(b"a", "1", 9_000)] * 2)] == [1, 1]


# with a server


@pytest.mark.slow
async def test_rows_come_back_over_many_pages(cassandra: Cassandra) -> None:
    await cassandra.write([Write(PUT_LINE, ("long", n, "ä" * (n % 7))) for n in range(1_234)])
    await cassandra.write([Write(PUT_LINE, ("short", 1, None))])
    assert await cassandra.rows(LIST_LINES, ("long",)) == [(n, "ä" * (n % 7)) for n in range(1_234)]
    assert await cassandra.rows(LIST_LINES, ("short",)) == [(1, None)]
    assert await cassandra.rows(LIST_LINES, ("none",)) == []
    await cassandra.write([])


@pytest.mark.slow
async def test_a_statement_that_is_wrong_for_good_is_not_taken_for_an_outage(cassandra: Cassandra) -> None:
    with pytest.raises(InvalidRequest):
        await cassandra.rows("SELECT nothing FROM nowhere", ())
    await cassandra.check()


@pytest.mark.slow
async def test_no_more_statements_wait_than_may(cassandra_address: tuple[str, int], keyspace: str) -> None:
    settings = cassandra_settings(cassandra_address, keyspace, max_in_flight=1, max_waiting=5, batch_rows=1)
    async with cassandra_session(settings, [NOTES]) as cassandra:
        with pytest.raises(Unavailable, match="too many"):
            await cassandra.write([note(f"n{number}") for number in range(200)])
        await cassandra.write([note("later", "done")])
        assert await body_of(cassandra, "later") == "done"


@pytest.mark.slow
async def test_who_is_cancelled_leaves_the_session_in_order(cassandra: Cassandra) -> None:
    for _ in range(20):
        writing = asyncio.create_task(cassandra.write([note(f"n{number}") for number in range(500)]))
        await asyncio.sleep(0.003)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    await cassandra.write([note("after", "fine")])
    assert await body_of(cassandra, "after") == "fine"


MAKE = """
import asyncio, random, sys
from runtime.cassandra import Cassandra, Table
from runtime.cassandra_settings import CassandraSettings

async def main():
    settings = CassandraSettings(hosts=sys.argv[1], port=int(sys.argv[2]), keyspace=sys.argv[3], replication="1")
    tables = [Table(f"t{n}", "a text PRIMARY KEY, b text", "comment = ''") for n in range(6)]
    cassandra = Cassandra(settings, tables, random.Random(1))
    cassandra.start()
    await cassandra.ready(120)
    for table in tables:
        await cassandra.rows(f"INSERT INTO KEYSPACE.{table.name} (a, b) VALUES (?, ?)", (sys.argv[4], "x"))
    await cassandra.close()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_processes_that_make_the_tables_at_the_same_time_get_the_same_ones(
    cassandra_address: tuple[str, int], keyspace: str
) -> None:
    name = f"{keyspace}_{uuid.uuid4().hex[:6]}"[:48]
    words = [sys.executable, "-W", "error", "-c", MAKE, cassandra_address[0], str(cassandra_address[1]), name]
    processes = [await asyncio.create_subprocess_exec(*words, str(n), stderr=subprocess.PIPE) for n in range(4)]
    for process in processes:
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()
    async with cassandra_session(cassandra_settings(cassandra_address, name), []) as cassandra:
        for n in range(6):
            assert len(await cassandra.rows(f"SELECT a FROM KEYSPACE.t{n}", ())) == 4
        await cassandra.rows(f"DROP KEYSPACE {name}", ())


@pytest.mark.slow
async def test_it_connects_once_the_server_is_there_and_again_after_a_pause_and_a_kill(
    own: OwnCassandra, closing: contextlib.AsyncExitStack
) -> None:
    await own.up()
    settings = cassandra_settings(
        own.address, "outages", request_timeout_s=2.0, connect_timeout_s=2.0, reconnect_s=0.2, max_reconnect_s=1.0
    )
    await own.down()
    cassandra = Cassandra(settings, [NOTES], random.Random(1))
    closing.push_async_callback(cassandra.close)
    cassandra.start()
    with pytest.raises(Unavailable):
        await cassandra.ready(0.5)
    await own.up()
    await cassandra.ready(PATIENT_S)
    await cassandra.write([note("first", "kept")])

    own.pause()
    with pytest.raises(Unavailable):
        await cassandra.write([note("paused")])
    own.go_on()
    await until(lambda: cassandra.write([note("second", "kept")]))

    own.kill()
    for _ in range(3):
        with pytest.raises(Unavailable):
            await cassandra.write([note("killed")])
    await own.up()
    await until(cassandra.check)
    assert (await body_of(cassandra, "first"), await body_of(cassandra, "second")) == ("kept", "kept")


@pytest.mark.slow
async def test_nodes_that_are_silent_for_long_are_looked_up_anew(own: OwnCassandra) -> None:
    await own.up()
    settings = cassandra_settings(
        own.address, "renewed", request_timeout_s=1.0, connect_timeout_s=1.0, reconnect_s=0.1, renew_s=1.5
    )
    async with cassandra_session(settings, [NOTES]) as cassandra:
        before = cassandra._link.session
        own.pause()
        with pytest.raises(Unavailable):
            await cassandra.check()
        async with asyncio.timeout(PATIENT_S):
            with pytest.raises(Unavailable):
                while cassandra._link.session is before:
                    await asyncio.sleep(0.05)
        own.go_on()
        await cassandra.ready(PATIENT_S)
        await cassandra.write([note("renewed", "kept")])
        assert await body_of(cassandra, "renewed") == "kept"
        assert cassandra._link.session is not before
