"""What every HTTP call leaves behind: an id, a log line, a metric; and the headers that keep browsers safe."""

from __future__ import annotations

import itertools
import logging
import re
import secrets

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.clock import Clock
from runtime import telemetry
from runtime.telemetry import Metrics
from web.errors import internal

log = logging.getLogger("web.access")

_GOOD_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


class Telemetry:
    """The outermost layer: it sees every call and every answer, also the one to an error nobody expected."""

    def __init__(self, app: ASGIApp, metrics: Metrics, wall: Clock) -> None:
        self._app = app
        self._metrics = metrics
        self._wall = wall
        self._run = secrets.token_hex(4)
        self._count = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        call_id = given if _GOOD_ID.fullmatch(given) else f"{self._run}-{next(self._count):x}"
        reset = telemetry.http_request.set(call_id)
        try:
            if scope["type"] == "http":
                await self._http(scope, receive, send, call_id)
            else:
                await self._app(scope, receive, send)
        finally:
            telemetry.http_request.reset(reset)

    async def _http(self, scope: Scope, receive: Receive, send: Send, call_id: str) -> None:
        began, status = self._wall.now(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"] = list(message.get("headers", ()))
                given = {name for name, _ in headers}
                headers += [each for each in _SAFE_HEADERS if each[0] not in given]
                headers.append((b"x-request-id", call_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            log.exception("a request failed")
            if status:  # the answer is on its way already: only the server can cut it off
                raise
            await internal()(scope, receive, sending)
        finally:
            self._record(scope, status or 500, self._wall.now() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_template(scope)
        self._metrics.http_seconds.labels(scope["method"], route, str(status)).observe(seconds)
        level = logging.DEBUG if scope["path"] in _QUIET else logging.INFO
        details = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 2)}
        log.log(level, "request", extra=details)


def route_template(scope: Scope) -> str:
    """The route a call was served by, such as /v1/trips/{trip_id}: few enough to be a label."""
    route = getattr(scope.get("route"), "path", None)
    if route is None:
        return str(scope["root_path"]) if "endpoint" in scope else "unmatched"  # a mounted folder, or nothing
    # a router knows its routes without the prefix it was included with, which has no parameters here
    parts, tail = scope["path"].split("/"), str(route).split("/")
    return "/".join(parts[: len(parts) - len(tail) + 1]) + str(route)
