"""The short way of a booking and the long one: nobody outside can tell which one was taken."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from tests.web.fakes import Fakes
from tests.web.test_edge import RIDE
from web.server import create_app
from web.shortcut import Shortcut

_OF_THE_CALL = ("x-request-id",)


@pytest.fixture
async def ways(fakes: Fakes) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient, Fakes]]:
    """An application, one of the same kind without the short way, and what stands behind the latter."""
    behind = Fakes()
    short, long = create_app(fakes.engine(), fakes.settings), create_app(behind.engine(), behind.settings)
    long.user_middleware = [each for each in long.user_middleware if each.cls is not Shortcut]
    transports = [httpx.ASGITransport(app, raise_app_exceptions=False) for app in (short, long)]
    clients = [httpx.AsyncClient(transport=transport, base_url="http://test") for transport in transports]
    async with clients[0], clients[1]:
        yield clients[0], clients[1], behind


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}, {"Idempotency-Key": ""}, {"Idempotency-Key": "k" * 256}])
@pytest.mark.parametrize(
    "body",
    [
        *(RIDE, {**RIDE, "mode": "best"}, {**RIDE, "rider_id": "rdr_2"}, {**RIDE, "more": 1}, {**RIDE, "pickup": None}),
        *(
            {**RIDE, "quote_id": 5},
            {**RIDE, "pickup": {"lat": "57.7", "lng": 11.97}},
            [],
            {},
            "not json",
            "",
            "x" * 9_000,
        ),
    ],
    ids=repr,
)
@pytest.mark.parametrize("scope", ["rider", "driver", "ops", "nobody"])
async def test_both_ways_answer_the_same(
    ways: tuple[httpx.AsyncClient, httpx.AsyncClient, Fakes],
    fakes: Fakes,
    scope: str,
    body: object,
    key: dict[str, str],
) -> None:
    short, long, behind = ways
    content = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
    answers = []
    for client, over in ((short, fakes), (long, behind)):
        who = {} if scope == "nobody" else over.bearer(scope, "rdr_1")
        for again in range(2):
            answer = await client.post("/v1/ride-requests", headers={**who, **key}, content=content)
            headers = {name: value for name, value in answer.headers.items() if name not in _OF_THE_CALL}
            answers.append((again, answer.status_code, answer.content, headers, len(over.rides.asks)))
    assert answers[:2] == answers[2:]


async def test_a_booking_by_the_short_way_is_counted_under_its_route(
    api: httpx.AsyncClient, rider: dict[str, str]
) -> None:
    await api.post("/v1/ride-requests", headers=rider, json=RIDE)
    metrics = (await api.get("/metrics")).text
    assert 'route="/v1/ride-requests",status="201"' in metrics
