"""The embedded Redis: no child is left after a start that failed, and one that died can be started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest
import redis.exceptions

from core.errors import Unavailable
from runtime import valkey
from runtime.redis import connect
from runtime.redis_settings import RedisSettings
from runtime.valkey import LocalValkey

pytestmark = pytest.mark.slow


def _children() -> list[int]:
    return [child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


async def test_a_start_that_is_cancelled_leaves_no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: object) -> bool:
        return False

    monkeypatch.setattr(valkey, "_answers", never)
    before = _children()
    starting = asyncio.create_task(LocalValkey(tmp_path / "s").start())
    while _children() == before:
        await asyncio.sleep(0.01)
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    assert _children() == before


async def test_a_server_that_does_not_answer_in_time_is_stopped_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: object) -> bool:
        return False

    monkeypatch.setattr(valkey, "_answers", never)
    before = _children()
    with pytest.raises(Unavailable, match=r"within 0\.2 s"):
        await LocalValkey(tmp_path / "s", 0.2).start()
    assert _children() == before


async def test_any_other_failure_leaves_no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_: object) -> bool:
        raise redis.exceptions.ResponseError("who are you")

    monkeypatch.setattr(valkey, "_answers", fails)
    before = _children()
    with pytest.raises(redis.exceptions.ResponseError):
        await LocalValkey(tmp_path / "s").start()
    assert _children() == before


async def test_a_server_that_is_slow_to_answer_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        async def exists(self, _: str) -> int:
            raise redis.exceptions.TimeoutError("too slow")

    assert not await valkey._answers(Slow())  # type: ignore[arg-type]


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "server.log").mkdir()
    with pytest.raises(Unavailable, match=str(tmp_path)):
        await LocalValkey(tmp_path / "s").start()


async def test_a_server_that_died_is_started_again_on_its_data_and_socket(tmp_path: Path) -> None:
    server = LocalValkey(tmp_path / "s")
    await server.start()
    client = connect(RedisSettings(url=server.url))
    try:
        await client.ask("SET", "kept", "1")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        while server.running:
            await asyncio.sleep(0.01)
        await server.start()
        assert await client.ask("GET", "kept") == b"1", "the client finds the new server by itself"
    finally:
        await client.aclose()
        await server.stop()
    assert not server.running
