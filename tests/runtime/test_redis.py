"""The client of Redis on every kind of server: batches, scripts, and what fails is Unavailable."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from core.errors import InvalidInput, Unavailable
from runtime.redis import Client, Run, Script, connect
from runtime.redis_settings import RedisSettings
from tests.redis_servers import RealCluster, RealRedis, free_port, real_cluster, real_redis, soon, until

QUICK = RedisSettings(timeout_s=0.3, connect_timeout_s=0.3, deadline_s=2.0, retries=2)

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


def settings(url: str, **changes: object) -> RedisSettings:
    return msgspec.structs.replace(QUICK, url=url, **changes)


@pytest.mark.parametrize(
    "url",
    ["", "http://there", "redis://host:port", "redis+cluster://", "redis+cluster://a:b", "redis+cluster://a:1/2,b"],
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"redis\.url"):
        connect(settings(url))


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing_here"):
        connect(settings("redis://127.0.0.1", password_file=str(tmp_path / "nothing_here")))


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_where_nobody_listens_is_unavailable(scheme: str) -> None:
    client = connect(settings(f"{scheme}://127.0.0.1:1"))
    with pytest.raises(Unavailable) as failed:
        await client.ask("GET", "a")
    assert failed.value.code == "store_unavailable"
    await client.aclose()


@pytest.fixture(scope="module")
def cluster() -> object:
    with real_cluster() as made:
        yield made


@pytest.fixture(params=["one", "cluster"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    if request.param == "one":
        with real_redis() as server:
            made = connect(settings(server.url))
            yield made
            await made.aclose()
        return
    cluster: RealCluster = request.getfixturevalue("cluster")
    cluster.empty()
    made = connect(settings(cluster.url))
    yield made
    await made.aclose()


@pytest.mark.slow
async def test_answers_come_in_the_order_of_the_commands(client: Client) -> None:
    keys = [f"key{number}" for number in range(50)]
    await client.send([("SET", key, number) for number, key in enumerate(keys)])
    assert await client.send([("GET", key) for key in keys]) == [str(number).encode() for number in range(50)]
    assert await client.send([]) == []


@pytest.mark.slow
async def test_a_long_batch_goes_in_parts(client: Client) -> None:
    commands = [("SET", f"key{number}", number) for number in range(2_500)]
    assert await client.send(commands) == [True] * 2_500
    assert await client.ask("GET", "key2499") == b"2499"


@pytest.mark.slow
async def test_a_script_runs_where_it_has_never_been_seen_and_after_it_was_forgotten(client: Client) -> None:
    runs = [Run(ADD, [f"n{number}"], [number]) for number in range(20)]
    assert await client.send(runs) == list(range(20))
    assert await client.send(runs) == [2 * number for number in range(20)]


@pytest.mark.slow
async def test_a_command_that_redis_refuses_is_unavailable_and_the_client_goes_on(client: Client) -> None:
    await client.ask("SET", "text", "a")
    with pytest.raises(Unavailable, match="WRONGTYPE"):
        await client.send([("HGETALL", "text"), ("GET", "text")])
    assert await client.ask("GET", "text") == b"a"


@pytest.mark.slow
async def test_more_calls_than_connections_wait_for_each_other() -> None:
    with real_redis() as server:
        client = connect(settings(server.url, connections=2))
        answers = await asyncio.gather(*(client.ask("INCR", "n") for _ in range(40)))
        assert sorted(answers) == list(range(1, 41))  # two connections promise each other no order
        await client.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one", "cluster"])
async def test_callers_who_go_away_in_the_middle_take_no_connection_with_them(kind: str, cluster: RealCluster) -> None:
    with real_redis() as server:
        client = connect(settings(server.url if kind == "one" else cluster.url, connections=2))
        for steps in range(60):
            hasty = [asyncio.create_task(client.ask("INCR", f"n{number}")) for number in range(8)]
            for _ in range(steps % 30):
                await asyncio.sleep(0)
            for each in hasty:
                each.cancel()
            assert await client.ask("PING" if kind == "one" else "INCR", *(() if kind == "one" else ("n",)))
            await asyncio.gather(*hasty, return_exceptions=True)
        await client.aclose()


@pytest.mark.slow
async def test_a_password_comes_from_the_url_or_a_file_and_a_wrong_one_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    with real_redis("--requirepass", "secret") as server:
        good = [
            settings(f"redis://:secret@127.0.0.1:{server.port}"),
            settings(server.url, password_file=str(tmp_path / "password")),
        ]
        for each in good:
            client = connect(each)
            assert await client.ask("SET", "a", 1)
            await client.aclose()
        for bad in (server.url, f"redis://:wrong@127.0.0.1:{server.port}"):
            client = connect(settings(bad))
            with pytest.raises(Unavailable, match=r"(?i)auth|password"):
                await client.ask("SET", "a", 1)
            await client.aclose()


@pytest.mark.slow
async def test_a_paused_server_is_unavailable_within_the_deadline_and_is_found_again() -> None:
    with real_redis() as server:
        client = connect(settings(server.url))
        await client.ask("SET", "a", 1)
        server.pause()
        with pytest.raises(Unavailable):
            await client.ask("GET", "a")
        server.resume()
        assert await client.ask("GET", "a") == b"1"
        await client.aclose()


@pytest.mark.slow
async def test_a_server_that_was_killed_is_found_again_and_given_its_scripts() -> None:
    with real_redis() as server:
        client = connect(settings(server.url))
        assert await client.send([Run(ADD, ["n"], [1])]) == [1]
        server.kill()
        with pytest.raises(Unavailable):
            await client.send([Run(ADD, ["n"], [1])])
        server.start()
        assert await client.send([Run(ADD, ["n"], [1])]) == [1]
        await client.aclose()


async def _works(client: Client, key: str, worked: list[bool]) -> None:
    try:
        await client.ask("SET", key, 1)
        worked.append(True)
    except Unavailable:
        worked.append(False)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_a_cluster_that_loses_a_master_goes_on_and_the_other_masters_never_stop(fault: str) -> None:
    with real_cluster() as cluster:
        client = connect(settings(cluster.url))
        lost: RealRedis = cluster.master_of("key0")
        of_lost = [f"key{n}" for n in range(60) if cluster.master_of(f"key{n}") is lost]
        of_others = [f"key{n}" for n in range(60) if cluster.master_of(f"key{n}") is not lost]
        for key in of_lost + of_others:
            await client.ask("SET", key, 1)
        getattr(lost, fault)()
        others: list[bool] = []
        healed: list[bool] = []

        async def use_others() -> None:
            while True:
                await asyncio.gather(*(_works(client, key, others) for key in of_others))
                await asyncio.sleep(0.02)

        async def use_lost() -> None:
            while not healed or not healed[-1]:
                await _works(client, of_lost[0], healed)

        using = asyncio.create_task(use_others())
        async with asyncio.timeout(30):
            await use_lost()
            count = len(others)
            await soon(lambda: len(others) > count, "the other masters are not used")
        using.cancel()
        await asyncio.gather(using, return_exceptions=True)
        assert len(others) > len(of_others)
        assert all(others)
        assert await client.send([("GET", key) for key in of_lost]) == [b"1"] * len(of_lost)
        await client.aclose()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody has signed but itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    words += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(words, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster"])
async def test_with_tls_the_server_must_be_trusted(certificate: tuple[Path, Path], scheme: str) -> None:
    cert, key = certificate
    secure = free_port()
    options = ["--tls-port", str(secure), "--tls-cert-file", str(cert), "--tls-key-file", str(key)]
    options += ["--tls-ca-cert-file", str(cert), "--tls-auth-clients", "no"]
    if scheme.endswith("cluster"):
        options += ["--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--tls-cluster", "yes"]
    with real_redis(*options) as server:
        if scheme.endswith("cluster"):
            with server.client() as plain:
                plain.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
                until(lambda: "ok" in str(plain.execute_command("CLUSTER INFO"))[:40], "no cluster")
        url = f"{scheme}://127.0.0.1:{secure}"
        client = connect(settings(url, ca_file=str(cert)))
        assert await client.ask("SET", "a", 1)
        assert await client.ask("GET", "a") == b"1"
        await client.aclose()
        stranger = connect(settings(url))
        with pytest.raises(Unavailable, match=r"(?i)certificate"):
            await stranger.ask("GET", "a")
        await stranger.aclose()
