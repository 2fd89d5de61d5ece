"""Calls between hosts: the named handler answers, everything else is unreachable or said in the host's own words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry, Counter

from core.errors import Conflict, Unavailable
from runtime.host_calls import HostCalls, HostUnreachable
from runtime.host_settings import HostSettings
from runtime.hosts import HostServer
from tests.redis_servers import free_port

TOKEN = "t" * 64
SETTINGS = HostSettings(call_timeout_s=2.0, max_call_bytes=10_000)


async def echo(body: Any) -> Any:
    return body


class House:
    """A host's server and what it was asked."""

    def __init__(self, settings: HostSettings = SETTINGS, token: str = TOKEN) -> None:
        self.asked: list[Any] = []
        self.broken: list[str] = []
        self.gate = asyncio.Event()
        self.running = 0
        registry = CollectorRegistry()
        Counter("hexcab_things", "Things", registry=registry).inc(3)
        self.server = HostServer(settings, token, {"store": self._check}, registry)
        self.server.register("echo", echo)
        self.server.register("note", self._note)
        self.server.register("wait", self._wait)
        self.server.register("refuse", self._refuse)
        self.server.register("fail", self._fail)
        self.server.register("big", self._big)
        self.server.start()

    async def _check(self) -> None:
        if self.broken:
            raise Unavailable(self.broken[0])

    async def _note(self, body: Any) -> bool:
        self.asked.append(body)
        return True

    async def _wait(self, body: Any) -> Any:
        self.running += 1
        await self.gate.wait()
        return body

    async def _refuse(self, _: Any) -> Any:
        raise Conflict("not now", code="driver_busy")

    async def _fail(self, _: Any) -> Any:
        raise KeyError("a secret")

    async def _big(self, _: Any) -> Any:
        return b"x" * 20_000


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    house.gate.set()
    await house.server.close()


@pytest.fixture
async def calls() -> AsyncIterator[HostCalls]:
    calls = HostCalls(TOKEN, SETTINGS)
    yield calls
    await calls.close()


@pytest.mark.parametrize(
    "body", [None, True, [1, 2.5, "å"], {"driver_id": "drv_1", "message": {"type": "offer"}}, b"\x00"]
)
async def test_a_call_is_answered_by_the_handler_of_its_name(house: House, calls: HostCalls, body: object) -> None:
    assert await calls.call(house.server.address, "echo", body) == body


async def test_many_calls_at_once_each_get_their_own_answer(house: House, calls: HostCalls) -> None:
    wanted = list(range(300))
    assert await asyncio.gather(*(calls.call(house.server.address, "echo", number) for number in wanted)) == wanted


async def test_connections_are_kept(house: House, calls: HostCalls) -> None:
    for number in range(5):
        await calls.call(house.server.address, "note", number)
    assert house.asked == list(range(5))
    assert len(house.server._uvicorn.server_state.connections) == 1


async def test_who_has_another_token_is_refused(house: House) -> None:
    stranger = HostCalls("x" * 64, SETTINGS)
    with pytest.raises(Unavailable) as refused:
        await stranger.call(house.server.address, "note", 1)
    assert refused.value.code == "unauthorized"
    assert house.asked == []
    await stranger.close()


@pytest.mark.parametrize(
    ("name", "code"),
    [("refuse", "driver_busy"), ("fail", "internal"), ("nothing", "not_found"), ("big", "host_unreachable")],
)
async def test_what_a_host_cannot_do_is_unavailable_with_its_code(
    house: House, calls: HostCalls, name: str, code: str
) -> None:
    with pytest.raises(Unavailable) as failed:
        await calls.call(house.server.address, name, None)
    assert failed.value.code == code
    assert "secret" not in failed.value.detail
    assert await calls.call(house.server.address, "echo", 1) == 1


async def test_a_body_that_is_too_large_is_refused(house: House, calls: HostCalls) -> None:
    with pytest.raises(Unavailable) as failed:
        await calls.call(house.server.address, "echo", b"x" * 20_000)
    assert failed.value.code == "body_too_large"


async def test_where_nobody_listens_is_unreachable(calls: HostCalls) -> None:
    with pytest.raises(HostUnreachable):
        await calls.call(f"127.0.0.1:{free_port()}", "echo", 1)


async def test_a_host_that_does_not_answer_in_time_is_unreachable_and_the_next_call_is_not_confused(
    house: House, calls: HostCalls
) -> None:
    with pytest.raises(HostUnreachable, match="in time"):
        await calls.call(house.server.address, "wait", "late", timeout_s=0.05)
    house.gate.set()
    assert await calls.call(house.server.address, "wait", "new") == "new"


async def test_a_host_that_was_started_anew_is_reached_again(calls: HostCalls) -> None:
    settings = msgspec.structs.replace(SETTINGS, host_port=free_port())
    for _ in range(2):
        house = House(settings)
        await asyncio.gather(*(calls.call(house.server.address, "echo", 1) for _ in range(5)))
        await house.server.close()
    with pytest.raises(HostUnreachable):
        await calls.call(house.server.address, "echo", 1)


async def test_more_calls_than_may_be_under_way_wait_and_more_than_may_wait_are_refused(house: House) -> None:
    calls = HostCalls(TOKEN, msgspec.structs.replace(SETTINGS, calls=2, calls_waiting=5))
    address = house.server.address
    waiting = [asyncio.create_task(calls.call(address, "wait", number)) for number in range(5)]
    async with asyncio.timeout(5):
        while house.running < 2:
            await asyncio.sleep(0.001)
    with pytest.raises(HostUnreachable, match="too many"):
        await calls.call(address, "echo", 1)
    assert house.running == 2
    house.gate.set()
    assert await asyncio.gather(*waiting) == list(range(5))
    assert await calls.call(address, "echo", 1) == 1
    await calls.close()


@contextlib.asynccontextmanager
async def listening(answer: bytes) -> AsyncIterator[str]:
    """A server that answers everything with the same bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-hello\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n\xc1\xc1\xc1",
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n" + b"x" * 20_000,
    ],
)
async def test_what_answers_wrongly_is_unreachable(calls: HostCalls, answer: bytes) -> None:
    async with listening(answer) as address:
        with pytest.raises(HostUnreachable):
            await calls.call(address, "echo", 1)


async def test_probes_and_metrics_need_no_token(house: House) -> None:
    async with httpx.AsyncClient(base_url=f"http://{house.server.address}") as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        assert (await http.get("/readyz")).json() == {"status": "ready", "checks": {"store": "ok"}}
        house.broken.append("gone")
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]) == (503, {"store": "failed"})
        assert "hexcab_things_total 3.0" in (await http.get("/metrics")).text


def test_a_port_that_is_taken_is_named() -> None:
    port = free_port()
    settings = HostSettings(host_port=port)
    make: Callable[[], HostServer] = lambda: HostServer(settings, TOKEN, {}, CollectorRegistry())  # noqa: E731
    first = make()
    with pytest.raises(Unavailable, match=str(port)):
        make()
    first._socket.close()


async def test_the_address_that_others_are_told_may_be_another_one() -> None:
    house = House(HostSettings(address="edge-1.internal:7000"))
    assert house.server.address == "edge-1.internal:7000"
    await house.server.close()
