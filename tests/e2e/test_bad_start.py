"""Engines that cannot start, run out of disk, are read too slowly or die: what is said, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import connect

from tests.e2e.apps import Message, Outside, until
from tests.e2e.conftest import Places, running
from tests.e2e.engine_process import EngineProcess, free_port, hexcab
from tests.e2e.rides import take

pytestmark = pytest.mark.slow

_DISK_MB = 24


def refused(data_dir: Path, *words: str) -> str:
    """What `hexcab serve` says when it must not start; it has left no process behind."""
    ports = [] if "--port" in words else ["--port", str(free_port()), "--gateway-port", str(free_port())]
    done = hexcab("serve", "--data-dir", str(data_dir), *ports, *words)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert not done.stdout
    assert "Traceback" not in done.stderr
    assert not servers_of(data_dir)
    return done.stderr.strip().splitlines()[-1]


def servers_of(data_dir: Path) -> list[str]:
    """Processes that serve a data directory."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or ())
        if f"{data_dir}/" in words:
            found.append(words)
    return found


async def test_a_second_engine_on_the_same_data_names_the_first(outside: Outside, folder: Path) -> None:
    first = outside.engine.process
    assert first is not None
    words = ("serve", "--data-dir", str(outside.engine.data_dir), "--port", str(free_port()))
    done = await asyncio.to_thread(hexcab, *words)
    assert done.returncode == 1
    assert f"process {first.pid}" in done.stderr
    assert str(outside.engine.data_dir) in done.stderr
    async with outside.api(None) as api:
        assert (await api.get("/readyz")).status_code == 200


@pytest.mark.parametrize("which", ["--port", "--gateway-port"])
def test_a_busy_port_is_named_and_nothing_is_left_running(tmp_path: Path, which: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        other = {"--port": str(free_port()), "--gateway-port": str(free_port()), which: port}
        said = refused(tmp_path / "d", *(word for pair in other.items() for word in pair))
    assert f"port {port} " in said
    assert "Address already in use" in said


def test_a_data_directory_whose_socket_would_not_fit_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90) / "e"
    said = refused(deep)
    assert "too long" in said
    assert "--data-dir" in said
    assert not deep.exists()


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert str(tmp_path / "file" / "d") in refused(tmp_path / "file" / "d")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[dispatch]\noffers = 3\n", "offers"),
        ("[runtime]\nclock_speed = nan\n", "clock_speed"),
        (None, "cannot be read"),
    ],
)
def test_a_settings_file_that_is_wrong_is_named_with_the_place(tmp_path: Path, text: str | None, named: str) -> None:
    file = tmp_path / "settings.toml"
    if text is not None:
        file.write_text(text)
    said = refused(tmp_path / "d", "--settings", str(file))
    assert str(file) in said
    assert named in said
    assert not (tmp_path / "d" / "hexcab.db").exists()


def test_a_data_directory_of_another_city_is_refused(outside: Outside, folder: Path) -> None:
    copy = folder / "copy"
    copy.mkdir()
    shutil.copy(outside.engine.data_dir / "city.json", copy)
    said = refused(copy, "--city", "atlantis")
    assert "gothenburg" in said
    assert "atlantis" in said


@pytest.fixture(scope="module")
def strained(folder: Path) -> Iterator[Outside]:
    """An engine on a small disk of its own, whose riders are told of cabs much too often."""
    data_dir = folder / "small"
    data_dir.mkdir()
    mounted = _mounted(data_dir)
    settings = {"web": {"cabs_every_s": 0.001, "socket_queue": 4}, "location": {"fresh_s": 600.0}}
    try:
        yield from running(EngineProcess(data_dir, settings=settings))
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(data_dir)], check=False)


def _mounted(folder: Path) -> bool:
    """Make a folder a small disk; False where that is not allowed."""
    with contextlib.suppress(FileNotFoundError):
        words = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m,mode=700", "tmpfs", str(folder)]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    return False


@contextlib.contextmanager
def _full_disk(engine: EngineProcess) -> Iterator[str]:
    """While the block lasts, no file of the engine can grow; gives the code that riders are told."""
    assert engine.process is not None
    if engine.data_dir.is_mount():
        filler = engine.data_dir / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        try:
            yield "disk_full"
        finally:
            filler.unlink()
        return
    process = psutil.Process(engine.process.pid)
    if not hasattr(process, "rlimit"):
        pytest.skip("neither may a small disk be mounted nor a running process be limited here")
    _, most = process.rlimit(resource.RLIMIT_FSIZE)
    process.rlimit(resource.RLIMIT_FSIZE, (4096, most))
    try:
        yield "store_unavailable"  # a limit is no full disk to SQLite
    finally:
        process.rlimit(resource.RLIMIT_FSIZE, (most, most))


async def test_on_a_full_disk_nothing_is_acknowledged_and_nothing_is_lost(strained: Outside, places: Places) -> None:
    riding, driver_id = await strained.new_rider(), await strained.new_driver()
    ends = {"pickup": places.pickup._asdict(), "dropoff": places.dropoff._asdict()}
    kept: dict[str, str] = {}
    async with strained.driver(driver_id, places.cabs[0]) as driver:
        trip = await take(strained, driver, riding, places)
        await driver.ping(places.cabs[0])
        await driver.acked(driver.seq)
        with _full_disk(strained.engine) as code:
            for number in range(2_000):  # what is allocated already may still be used
                rider_id = f"rdr_{number}"
                async with strained.api("rider", rider_id) as api:
                    answer = await api.post("/v1/ride-requests", json={**ends, "rider_id": rider_id})
                if answer.status_code != 201:
                    break
                kept[answer.json()["request_id"]] = rider_id
            assert (answer.status_code, answer.json()["code"]) == (503, code), answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            async with strained.rider("rdr_socket") as rider:
                await rider.say("book", **ends)
                assert (await rider.hear("error", about="book"))["code"] == code
            await driver.say("arrive", trip_id=trip["trip_id"])
            assert (await driver.hear("error", about="arrive"))["code"] == code
            refused_id = rider_id
            async with strained.api(None) as api:
                assert (await api.get("/healthz")).status_code == 200

        async def booked() -> Message | None:
            async with strained.api("rider", refused_id) as api:
                answer = await api.post("/v1/ride-requests", json={**ends, "rider_id": refused_id})
            return answer.json() if answer.status_code == 201 else None

        kept[(await until(booked, "booking again"))["request_id"]] = refused_id
        await driver.ping(places.cabs[0])
        await driver.acked(driver.seq)
        await driver.say("arrive", trip_id=trip["trip_id"])
        await driver.hear("trip", status="arrived")
        for request_id, rider_id in kept.items():
            assert (await strained.request(request_id))["rider_id"] == rider_id
            async with strained.api("rider", rider_id) as api:
                await api.post(f"/v1/ride-requests/{request_id}/cancel")
        async with strained.rider("rdr_socket") as rider:
            assert (await rider.hear("welcome"))["request"] is None, "what was refused was not kept"
        await driver.say("cancel", trip_id=trip["trip_id"])
        await driver.hear("trip", status="cancelled")
        async with strained.api() as api:

            async def ready() -> bool:
                return (await api.get("/readyz")).status_code == 200

            await until(ready, "readiness")


@contextlib.asynccontextmanager
async def _deaf(strained: Outside, rider_id: str) -> AsyncIterator[socket.socket]:
    """A rider's socket that never reads what it asked for, with as little room for it as the system allows."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    raw.connect(("127.0.0.1", strained.engine.port))
    url = strained.engine.url.replace("http", "ws", 1) + "/v1/rider/ws"
    client = await connect(url, sock=raw, additional_headers=strained.headers("rider", rider_id), max_queue=1)
    await client.send('{"type":"watch","lat":57.70391,"lng":11.966703}')
    client.transport.pause_reading()
    try:
        yield raw
    finally:
        client.transport.abort()
        await client.wait_closed()


async def test_a_slow_reader_is_closed_and_nobody_waits_for_it(strained: Outside, places: Places) -> None:
    drivers = await asyncio.gather(*(strained.new_driver() for _ in range(18)))
    async with contextlib.AsyncExitStack() as stack:
        for driver_id in drivers:
            await stack.enter_async_context(strained.driver(driver_id, places.cabs[0]))
        deaf = await stack.enter_async_context(_deaf(strained, "rdr_deaf"))

        async def sockets() -> int:
            return int(await strained.metric("hexcab_web_sockets", kind="rider"))

        async def connected() -> bool:
            return await sockets() == 1

        async def let_go() -> bool:
            async with strained.rider("rdr_quick") as quick:
                await quick.hear("welcome")
            return await sockets() == 0

        await until(connected, "the deaf rider's connection")
        await until(let_go, "the end of the deaf rider's connection")
        assert deaf.fileno() >= 0


async def test_child_servers_die_with_a_killed_engine_and_a_new_start_goes_on(strained: Outside) -> None:
    engine = strained.engine
    assert engine.process is not None
    children = psutil.Process(engine.process.pid).children(recursive=True)
    assert any("valkey" in " ".join(child.cmdline()) for child in children)
    engine.kill()
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 30)
    assert not alive
    assert not servers_of(engine.data_dir)
    await engine.start()
    async with strained.api(None) as api:
        assert (await api.get("/readyz")).status_code == 200
