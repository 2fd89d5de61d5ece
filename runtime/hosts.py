"""The internal server of a host: what other hosts ask of it, by name, and its probes and metrics.

A call is an HTTP/1.1 POST to /calls/NAME with a MessagePack body and the token that all hosts of a cluster share. It
belongs on a network that only hosts reach: nothing is encrypted here.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.errors import HexcabError, InvalidInput, NotFound, Unauthorized
from runtime import problems
from runtime.host_settings import HostSettings
from runtime.probes import Check, readiness
from runtime.uvicorns import Uvicorn, ended, open_port

_log = logging.getLogger("hexcab.hosts")

Handler = Callable[[Any], Awaitable[Any]]  # body in, body out; may raise core.errors

MEDIA_TYPE = "application/msgpack"
_CHECK_S = 2.0
_FINISH_S = 2  # for calls under way, when the host stops
_CLOSE_S = 5.0
_KEEP_ALIVE_S = 75  # longer than callers keep a connection that they do not use


class HostServer:
    """Serves calls of other hosts, /healthz, /readyz and /metrics. Register every name before `start`."""

    def __init__(
        self, settings: HostSettings, token: str, checks: Mapping[str, Check], registry: CollectorRegistry
    ) -> None:
        self._settings = settings
        self._expected = f"Bearer {token}".encode()
        self._checks = checks
        self._registry = registry
        self._handlers: dict[str, Handler] = {}
        self._task: asyncio.Task[None] | None = None
        self._socket = open_port(settings.host, settings.host_port)
        host, port = self._socket.getsockname()[:2]
        self._address = settings.address or (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        routes = [
            Route("/calls/{name}", self._call, methods=["POST"]),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes),
            http="httptools",
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_FINISH_S,
        )
        self._uvicorn = Uvicorn(config)

    @property
    def address(self) -> str:
        """host:port at which other hosts reach this one."""
        return self._address

    def register(self, name: str, handler: Handler) -> None:
        """Answer calls of this name."""
        assert name not in self._handlers
        self._handlers[name] = handler

    def start(self) -> asyncio.Task[None]:
        """Answer from now on; the task ends with `close`, or when the server fails."""
        self._task = asyncio.create_task(self._uvicorn.serve(sockets=[self._socket]), name="the host's server")
        return self._task

    async def close(self) -> None:
        """Stop accepting and let calls finish; whatever takes longer is cut off."""
        self._uvicorn.stop_accepting()
        if self._task is not None:
            await ended(self._task, _CLOSE_S)
        self._socket.close()

    async def _call(self, request: Request) -> Response:
        try:
            if not hmac.compare_digest(request.headers.get("authorization", "").encode("latin-1"), self._expected):
                raise Unauthorized("calls between hosts need the token that they share")
            handler = self._handlers.get(request.path_params["name"])
            if handler is None:
                raise NotFound(f"this host answers no calls of the name {request.path_params['name']}")
            answer = await handler(await self._body(request))
        except HexcabError as error:
            return _problem(problems.answer_to(error))
        except Exception:
            _log.exception("a call of another host failed", extra={"call": request.path_params["name"]})
            return _problem(problems.internal())
        return Response(msgspec.msgpack.encode(answer), media_type=MEDIA_TYPE)

    async def _body(self, request: Request) -> Any:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._settings.max_call_bytes:
                raise InvalidInput("the body is too large", code="body_too_large")
        try:
            return msgspec.msgpack.decode(body)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"the body is not MessagePack: {error}") from error

    async def _healthz(self, _: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def _readyz(self, _: Request) -> Response:
        ready, body = await readiness(self._checks, _CHECK_S)
        return Response(msgspec.json.encode(body), 200 if ready else 503, media_type="application/json")

    async def _metrics(self, _: Request) -> Response:
        return Response(generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _problem(answer: problems.Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers), media_type=problems.MEDIA_TYPE)
