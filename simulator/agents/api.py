"""The HTTP API as an app uses it: creating calls carry an Idempotency-Key, so all may be tried again."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import httpx

from core.clock import Clock
from simulator.agents.patience import Backoff

_TIMEOUT_S = 15.0  # wall time
_PATIENCE_S = 1_800.0
_TRY_AGAIN = frozenset({425, 429, 500, 502, 503, 504})


class Answer(NamedTuple):
    """A status and its JSON; status 0 when nobody answered within the caller's patience."""

    status: int
    body: dict[str, Any]

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The problem's code."""
        return str(self.body.get("code", f"http_{self.status}"))


class Ask(NamedTuple):
    """One call; POSTs of things to create need a `key`."""

    method: str
    path: str
    token: str
    body: dict[str, Any] | None = None
    key: str | None = None


class Api:
    """Calls with retries."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock, rng: random.Random) -> None:
        self._client = client
        self._clock = clock
        self._rng = rng

    @staticmethod
    def client(base_url: str, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
        """The client that all agents share; close it at the end."""
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=32)
        return httpx.AsyncClient(
            base_url=base_url, timeout=_TIMEOUT_S, limits=limits, transport=transport, trust_env=False
        )

    def new_key(self) -> str:
        """An Idempotency-Key."""
        return f"{self._rng.getrandbits(96):024x}"

    async def call(self, ask: Ask, patience_s: float = _PATIENCE_S) -> Answer:
        """The answer; a call that nobody answers is made again until so many engine seconds have gone."""
        headers = {"Authorization": f"Bearer {ask.token}"}
        if ask.key is not None:
            headers["Idempotency-Key"] = ask.key
        backoff, until = Backoff(self._clock, self._rng), self._clock.now() + patience_s
        while True:
            try:
                response = await self._client.request(ask.method, ask.path, json=ask.body, headers=headers)
                if response.status_code not in _TRY_AGAIN:
                    return Answer(response.status_code, _object(response))
            except httpx.TransportError:
                pass  # the engine is away
            if self._clock.now() >= until:
                return Answer(0, {"code": "no_answer", "detail": f"{ask.method} {ask.path}: nobody answers"})
            await backoff.pause()


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {}
