"""Clocks, tokens, tickets, the data directory, settings, logs."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest

from core.errors import BadFile, Conflict, InvalidInput, Unauthorized
from core.ids import Ids
from runtime.auth import Identity, Tokens
from runtime.clocks import ManualClock, ScaledClock
from runtime.datadir import DataDir
from runtime.redis import connect
from runtime.redis_settings import RedisSettings
from runtime.settings import Settings, load_settings
from runtime.telemetry import log_to, trip_id
from runtime.valkey import LocalValkey


async def test_sleepers_wake_in_order_of_their_time(clock: ManualClock) -> None:
    woken: list[tuple[str, float]] = []
    start = clock.now()

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now() - start))

    tasks = [asyncio.create_task(sleeper(*each)) for each in (("late", 5.0), ("soon", 1.0), ("never", 50.0))]
    await clock.advance(10)
    assert woken == [("soon", 1.0), ("late", 5.0)]
    tasks[2].cancel()


def test_a_scaled_clock_starts_where_told_and_never_goes_back() -> None:
    clock = ScaledClock(speed=1000, start=1_000.0)
    readings = [clock.now() for _ in range(100)]
    assert readings[0] >= 1_000.0
    assert readings == sorted(readings)


async def test_ids_sort_by_time(clock: ManualClock, ids: Ids) -> None:
    made = []
    for _ in range(20):
        made.append(ids.new("trip"))
        await clock.advance(0.001, settle_s=0)
    assert made == sorted(made)
    assert len(set(made)) == 20


def test_a_token_names_its_caller_until_it_expires() -> None:
    wall = [time.time() - 100.0]
    tokens = Tokens(b"k" * 32, lambda: wall[0])
    token = tokens.sign("rider", "rdr_1", 50)
    assert tokens.verify(token) == Identity("rider", "rdr_1")
    wall[0] += 51
    with pytest.raises(Unauthorized, match="expired"):
        tokens.verify(token)


CLAIMS: dict[str, object] = {"iss": "hexcab", "sub": "rdr_1", "scope": "rider", "exp": 4_102_444_800}


@pytest.mark.parametrize("header", [{}, {"typ": "JOSE"}, {"kid": "1"}])
def test_a_token_that_another_program_signed_with_the_key_is_good(header: dict[str, object]) -> None:
    made = jwt.encode(CLAIMS, b"k" * 32, "HS256", headers=header)
    assert Tokens(b"k" * 32).verify(made) == Identity("rider", "rdr_1")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"iss": "else"}, {"scope": "king"}, {"exp": 1}, {"exp": "soon"}, {"sub": None}),
        *({"iat": 4_102_444_000}, {"nbf": 4_102_444_000}),
    ],
)
def test_a_token_with_the_right_signature_must_still_say_the_right_things(wrong: dict[str, object]) -> None:
    with pytest.raises(Unauthorized):
        Tokens(b"k" * 32).verify(jwt.encode({**CLAIMS, "iat": 1, **wrong}, b"k" * 32, "HS256"))


@pytest.mark.parametrize("algorithm", ["none", "HS512"])
def test_a_token_says_nothing_by_another_algorithm(algorithm: str) -> None:
    with pytest.raises(Unauthorized):
        Tokens(b"k" * 32).verify(jwt.encode(CLAIMS, None if algorithm == "none" else b"k" * 64, algorithm))


def test_a_token_of_which_a_letter_was_changed_is_refused() -> None:
    token = Tokens(b"k" * 32).sign("rider", "rdr_1", 3600)
    for at in range(len(token) - 1):  # the last letter has bits that mean nothing
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(Unauthorized):
            Tokens(b"k" * 32).verify(changed)


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
def test_a_broken_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        Tokens(b"k" * 32).verify(token)


def test_a_token_of_another_server_is_refused() -> None:
    with pytest.raises(Unauthorized):
        Tokens(b"k" * 32).verify(Tokens(b"x" * 32).sign("ops", "ops", 60))


def test_a_second_engine_on_the_same_data_directory_is_refused(tmp_path: Path) -> None:
    with DataDir(tmp_path / "d"):
        with pytest.raises(Conflict, match=f"process {os.getpid()}"), DataDir(tmp_path / "d"):
            pass
    with DataDir(tmp_path / "d"):
        pass


def test_a_socket_path_that_is_too_long_is_refused_with_its_length(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="shorter --data-dir"), DataDir(tmp_path / ("d" * 120)):
        pass


def test_the_key_stays_and_is_its_owners_alone(tmp_path: Path) -> None:
    directory = DataDir(tmp_path / "d")
    assert directory.key() == DataDir(tmp_path / "d").key()
    assert ((tmp_path / "d" / "server.key").stat().st_mode & 0o077) == 0


def test_a_small_value_is_kept(tmp_path: Path) -> None:
    with DataDir(tmp_path / "d") as directory:
        assert directory.recall("clock") is None
        directory.remember("clock", 12.5)
        assert directory.recall("clock") == 12.5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[dispatch]\noffer_s = 'soon'", "dispatch.offer_s"),
        ("[dispatch]\noffers = 1", "offers"),
        ("[dispatch", "table declaration"),
    ],
)
def test_a_bad_settings_file_is_refused_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(BadFile, match=complaint) as raised:
        load_settings(file)
    assert str(file) in raised.value.detail


def test_settings_overlay_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[dispatch]\noffer_s = 5.0\n")
    settings = load_settings(file)
    assert settings.dispatch.offer_s == 5.0
    assert settings.location == Settings().location


def test_logs_are_json_with_the_ids_at_hand() -> None:
    stream = io.StringIO()
    handler = log_to(stream, "info")
    token = trip_id.set("trip_1")
    try:
        logging.getLogger("hexcab.test").info("matched %s", "it", extra={"driver_id": "drv_1"})
    finally:
        trip_id.reset(token)
        logging.getLogger().removeHandler(handler)
    line = json.loads(stream.getvalue())
    assert line["message"] == "matched it"
    assert line["trip_id"] == "trip_1"
    assert line["driver_id"] == "drv_1"


def test_the_audit_log_is_written_at_every_level() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before, handler = root.level, log_to(stream, "error")
    try:
        logging.getLogger("hexcab.test").warning("not so bad")
        logging.getLogger("audit").info("a driver's track was looked at", extra={"operator": "ops_1"})
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["operator"] == "ops_1"


@pytest.mark.slow
async def test_the_embedded_redis_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    server = LocalValkey(tmp_path / "s")
    for expected in (1, 2):
        await server.start()
        client = connect(RedisSettings(url=server.url))
        assert await client.ask("INCR", "starts") == expected
        await client.aclose()
        await server.stop()


_PARENT = """
import asyncio, sys
from pathlib import Path
from runtime.valkey import LocalValkey
async def main():
    server = LocalValkey(Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the death signal of a parent is Linux's")
def test_the_embedded_redis_dies_with_a_killed_engine(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    for _ in range(500):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return  # ended, and only waits to be reaped
        time.sleep(0.01)
    pytest.fail(f"the server {child} outlived its engine")
