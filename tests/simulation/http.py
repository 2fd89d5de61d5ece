"""The HTTP API as these clients use it: one try per call, so that each is one line of the history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx

from tests.simulation.history import Body, Call

TIMEOUT_S = 6.0
_READ_TRIES = 40
_READ_PAUSE_S = 0.25
_CONNECTIONS = 200

Mint = Callable[[str, str], str]  # (scope, id) -> bearer token


class Answer(NamedTuple):
    """A status, 0 when there was none, and what it says."""

    status: int
    body: Body

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """It certainly did nothing; a 5xx or a 408 may come after a commit."""
        return 400 <= self.status < 500 and self.status != 408

    @property
    def code(self) -> str:
        return str(self.body.get("code", f"http_{self.status}"))


class Http:
    """Calls of everybody over shared connections; close it at the end."""

    def __init__(self, base_url: str, mint: Mint) -> None:
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=50, keepalive_expiry=2.0)
        self._client = httpx.AsyncClient(base_url=base_url, timeout=TIMEOUT_S, limits=limits, trust_env=False)
        self._ops = mint("ops", "judge")

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def call(
        self, method: str, path: str, token: str | None = None, body: Body | None = None, key: str | None = None
    ) -> Answer:
        """One try; an operator's where no token is given."""
        headers = {"Authorization": f"Bearer {token or self._ops}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            response = await self._client.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            return Answer(0, {"code": type(error).__name__})
        try:
            told: Any = response.json()
        except ValueError:
            told = None
        return Answer(response.status_code, told if isinstance(told, dict) else {})

    async def known(self, path: str) -> Body | None:
        """What the engine says when it rests; None for 404. Raises AssertionError when it does not answer."""
        for _ in range(_READ_TRIES):
            answer = await self.call("GET", path)
            if answer.ok:
                return answer.body
            if answer.status == 404:
                return None
            await asyncio.sleep(_READ_PAUSE_S)
        raise AssertionError(f"GET {path} was not answered at rest: {answer}")


def end(call: Call, answer: Answer, **told: Any) -> None:
    """Write the end of a call into the history by its answer."""
    if answer.ok:
        call.ok(**told)
    elif answer.refused:
        call.fail(code=answer.code)
    else:
        call.unknown(code=answer.code)
