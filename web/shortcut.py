"""The short way of a booking: past FastAPI's router and its dependencies, which take longer than all the rest of it.

It takes no more than a booking that is plainly one, by somebody who may ask for it. Any other call goes the long way,
which says what is wrong with it. Both ways meet in `once` and in rider_api's `request_ride`.
"""

from __future__ import annotations

import msgspec
from fastapi import Request, Response
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import HexcabError
from runtime.auth import Identity
from web.asks import RideRequestAsk
from web.auth import caller
from web.edge import edge_of
from web.errors import problem_of
from web.idempotency import once
from web.rider_api import answer_json, creating, request_ride
from web.route import check_media_type, read_body, replayed

_PATH = "/v1/ride-requests"
_ROUTE = next(route for route in creating.routes if getattr(route, "path", "") == "/ride-requests")


class Shortcut:
    """Takes bookings out of the way to the application behind it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != _PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            body = await read_body(request, edge_of(request).settings.web.max_body_bytes)
            plain = _plain(request, body)
            if plain is None:
                await self._app(scope, replayed(request, body).receive, send)
                return
            scope["route"] = _ROUTE  # for the metrics
            response = await once(request, body, lambda: _book(request, *plain), keeps=True)
        except HexcabError as error:
            response = problem_of(error)
        await response(scope, receive, send)


def _plain(request: Request, body: bytes) -> tuple[RideRequestAsk, Identity] | None:
    """The ask and who asks; None where anything is to be said against it."""
    try:
        identity = caller(request)
        if identity is None or identity.scope not in ("rider", "ops"):
            return None
        check_media_type(request, body)
        return RideRequestAsk.model_validate(msgspec.json.decode(body)), identity
    except (HexcabError, ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


async def _book(request: Request, ask: RideRequestAsk, identity: Identity) -> Response:
    made = await request_ride(ask, identity, request, request.headers.get("idempotency-key"))
    if isinstance(made, Response):
        return made
    return Response(answer_json(made), status_code=201, media_type="application/json")
