"""Who calls, and whether they may: bearer tokens, scopes, and the rule that what is someone else's does not exist.

Dependencies wait for nothing and are coroutines all the same: FastAPI hands plain functions to a pool of threads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from core.errors import Forbidden, NotFound, Unauthorized
from core.events import Party
from runtime.auth import Identity, Scope
from web.edge import edge_of, engine_of

_CALLER = "hexcab.caller"  # in a connection's scope: who it is, once that was found out
_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A token of scope rider, driver or ops")


def caller(connection: HTTPConnection) -> Identity | None:
    """Who the Authorization header says it is; None without one. Raises Unauthorized when it is not good."""
    known: Identity | None = connection.scope.get(_CALLER)
    if known is not None:
        return known
    header = connection.headers.get("authorization")
    if header is None:
        return None
    kind, _, token = header.partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthorized("the Authorization header must be: Bearer <token>", code="bad_token")
    identity = connection.scope[_CALLER] = engine_of(connection).security.tokens.verify(token.strip())
    return identity


async def maybe(request: Request, _: Annotated[object, Depends(_bearer)] = None) -> Identity | None:
    """The caller, where a token is optional."""
    return caller(request)


def allow(*scopes: Scope) -> Callable[..., Awaitable[Identity]]:
    """A dependency that lets these scopes in."""

    async def check(identity: Annotated[Identity | None, Depends(maybe)]) -> Identity:
        if identity is None:
            raise Unauthorized("this needs a bearer token")
        if identity.scope not in scopes:
            raise Forbidden(f"a token of scope {identity.scope} may not do this")
        return identity

    return check


Anyone = Annotated[Identity | None, Depends(maybe)]
Rider = Annotated[Identity, Depends(allow("rider", "ops"))]
Driver = Annotated[Identity, Depends(allow("driver", "ops"))]
Either = Annotated[Identity, Depends(allow("rider", "driver", "ops"))]
Ops = Annotated[Identity, Depends(allow("ops"))]


def own(identity: Identity, subject: object, what: str) -> None:
    """Let the caller pass to their own things, operators to all. Raises NotFound otherwise: it looks like nothing."""
    if identity.scope != "ops" and identity.subject != subject:
        raise NotFound(f"no such {what}")


def own_trip(identity: Identity, trip: dict[str, object]) -> None:
    """Let the trip's rider, its driver and operators pass. Raises NotFound otherwise."""
    if identity.scope != "ops":
        own(identity, trip["rider_id" if identity.scope == "rider" else "driver_id"], "trip")


def shown_to(identity: Identity, trip: dict[str, Any]) -> dict[str, Any]:
    """The trip without its start code, unless the caller is its rider."""
    if identity.scope == "rider":
        return trip
    return {field: value for field, value in trip.items() if field != "start_code"}


def party(identity: Identity) -> Party:
    """The caller as a party to a ride."""
    if identity.scope == "view":
        raise Forbidden("a token of scope view may not do this")
    return identity.scope


async def socket_caller(connection: HTTPConnection, *scopes: Scope) -> Identity:
    """Who opens a socket, by header or one-use ticket. Raises Unauthorized, Forbidden or Unavailable."""
    identity = caller(connection)
    ticket = connection.query_params.get("ticket")
    if identity is None and ticket:
        identity = await edge_of(connection).engine.security.tickets.redeem(ticket)
    if identity is None:
        raise Unauthorized("this needs a bearer token or a ticket")
    if identity.scope not in scopes:
        raise Forbidden(f"a token of scope {identity.scope} may not open this socket")
    return identity
