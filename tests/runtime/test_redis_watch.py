"""The watch over Redis notices every loss, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from redis.crc import key_slot

from core.errors import Unavailable
from runtime.redis import Command, Run, Word, connect
from runtime.redis_keys import marks
from runtime.redis_settings import RedisSettings
from runtime.redis_watch import RedisWatch


class Strings:
    """A client of strings in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.away = False
        self.twice = False

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        if self.twice:
            await self._send(commands)
        return await self._send(commands)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        if self.away:
            raise Unavailable("nobody there", code="store_unavailable")
        answers: list[Any] = []
        for command in commands:
            assert not isinstance(command, Run)
            key = str(command[1])
            answers.append(self.kept.get(key) if command[0] == "GET" else True)
            if command[0] == "SET":
                self.kept[key] = str(command[2]).encode()
        return answers

    async def ask(self, *command: Word) -> Any:
        return (await self.send([command]))[0]

    async def aclose(self) -> None: ...


@pytest.fixture
def strings() -> Strings:
    return Strings()


@pytest.fixture
def losses() -> list[int]:
    return []


@pytest.fixture
def watch(strings: Strings, losses: list[int]) -> RedisWatch:
    watch = RedisWatch(strings, "host_1")
    watch.on_loss(lambda: losses.append(1))
    return watch


async def test_nothing_is_lost_while_all_is_well(strings: Strings, watch: RedisWatch, losses: list[int]) -> None:
    other = RedisWatch(strings, "host_2")
    for twice in (False, False, True, True, False):
        strings.twice = twice
        await watch.look()
        await other.look()
    watch.check()
    await watch.ready()
    assert losses == []


@pytest.mark.parametrize("mark", marks("host_1"))
async def test_the_loss_of_any_mark_is_noticed_once(
    strings: Strings, watch: RedisWatch, losses: list[int], mark: str
) -> None:
    await watch.look()
    await watch.look()
    del strings.kept[mark]
    await watch.look()
    await watch.look()
    assert losses == [1]


async def test_a_server_that_lost_its_last_writes_is_noticed(
    strings: Strings, watch: RedisWatch, losses: list[int]
) -> None:
    await watch.look()
    before = dict(strings.kept)
    await watch.look()
    strings.kept = before
    await watch.look()
    assert losses == [1]


async def test_after_an_outage_everything_is_told_again(strings: Strings, watch: RedisWatch, losses: list[int]) -> None:
    await watch.look()
    strings.away = True
    await watch.look()
    await watch.look()
    for check in (watch.check, watch.check):
        with pytest.raises(Unavailable) as away:
            check()
        assert away.value.code == "store_unavailable"
    strings.away = False
    with pytest.raises(Unavailable):
        await watch.ready()
    assert losses == []
    await watch.look()
    await watch.ready()
    assert losses == [1]


async def test_a_start_while_redis_is_away_is_an_outage_too(
    strings: Strings, watch: RedisWatch, losses: list[int]
) -> None:
    strings.away = True
    await watch.look()
    strings.away = False
    await watch.look()
    await watch.look()
    assert losses == [1]


def test_the_marks_lie_in_every_sixteenth_of_the_slots() -> None:
    assert sorted(key_slot(mark.encode()) // 1_024 for mark in marks("host_1")) == list(range(16))


@pytest.mark.slow
async def test_a_real_cluster_keeps_the_marks(redis_cluster_url: str, losses: list[int]) -> None:
    client = connect(RedisSettings(url=redis_cluster_url))
    watch = RedisWatch(client, "host_1")
    watch.on_loss(lambda: losses.append(1))
    for _ in range(3):
        await watch.look()
    assert losses == []
    await client.ask("DEL", marks("host_1")[7])
    await watch.look()
    assert losses == [1]
    await client.aclose()
