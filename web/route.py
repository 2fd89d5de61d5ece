"""What every HTTP call passes before its endpoint: a bounded body that is strict JSON."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.routing import APIRoute

from core.errors import InvalidInput
from web.edge import edge_of

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_WITH_BODY = ("POST", "PUT", "PATCH")


class StrictRequest(Request):
    """A request whose JSON is exactly JSON: no NaN, no Infinity, valid UTF-8."""

    async def json(self) -> Any:
        body = await self.body()
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise json.JSONDecodeError(str(error) or "nested too deeply", "", 0) from error


async def read_body(request: Request, limit: int) -> bytes:
    """The request's body. Raises InvalidInput (body_too_large) as soon as it is longer than `limit` bytes."""
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit: int) -> InvalidInput:
    return InvalidInput(f"the body may have {limit} bytes at most", code="body_too_large")


def check_media_type(request: Request, body: bytes) -> None:
    """Raises InvalidInput (unsupported_media_type) for a body that is said to be no JSON."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if body and kind != "application/json" and not kind.endswith("+json"):
        raise InvalidInput(f"the body must be application/json, not {kind[:60]}", code="unsupported_media_type")


class StrictRoute(APIRoute):
    """A route that reads a bounded, strict JSON body."""

    def get_route_handler(self) -> Handler:
        endpoint = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if request.method not in _WITH_BODY:
                return await endpoint(request)
            body = await read_body(request, edge_of(request).settings.web.max_body_bytes)
            return await self.with_body(request, body, endpoint)

        return handle

    async def with_body(
        self, request: Request, body: bytes, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Hand a call with its body on to the endpoint."""
        check_media_type(request, body)
        return await endpoint(replayed(request, body))


def replayed(request: Request, body: bytes) -> StrictRequest:
    """The same request with its body, which has been read, in front again."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return StrictRequest(request.scope, receive)
