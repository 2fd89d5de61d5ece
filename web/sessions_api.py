"""Signing in: one-time codes, and tickets for browsers' sockets."""

from __future__ import annotations

from fastapi import APIRouter, Request

from core.errors import Unauthorized
from runtime.auth import Identity
from web.answers import CodeSent, TicketAnswer, TokenAnswer
from web.asks import SessionAsk, VerifyAsk
from web.auth import Anyone
from web.edge import edge_of
from web.errors import responses
from web.ports import Body
from web.route import StrictRoute

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


@router.post("/sessions", status_code=202, responses=responses(400, 422, 429), response_model=CodeSent)
async def start_session(ask: SessionAsk, request: Request) -> Body:
    """Send a one-time code to a phone."""
    edge = edge_of(request)
    await edge.engine.sessions.start(ask.phone, ask.role)
    return {"expires_in": int(edge.settings.web.code_s)}


@router.post("/sessions/verify", responses=responses(400, 401, 422, 429), response_model=TokenAnswer)
async def verify_session(ask: VerifyAsk, request: Request) -> Body:
    """Turn the code into a token."""
    edge = edge_of(request)
    who = await edge.engine.sessions.verify(ask.phone, ask.code)
    ttl_s = edge.settings.web.token_s
    token = edge.engine.security.tokens.sign(who.scope, who.subject, ttl_s)
    return {
        "access_token": token,
        "token_type": "bearer",
        "expires_in": int(ttl_s),
        "scope": who.scope,
        "id": who.subject,
    }


@router.post("/tickets", status_code=201, responses=responses(401), response_model=TicketAnswer)
async def issue_ticket(identity: Anyone, request: Request) -> Body:
    """A one-use ticket that opens a socket as the caller; where the console is open, also without a token to watch."""
    edge = edge_of(request)
    if identity is None:
        if not edge.settings.web.open_console:
            raise Unauthorized("this needs a bearer token")
        identity = Identity("view", "console")
    ticket = edge.engine.security.tickets.issue(identity)
    return {"ticket": ticket, "expires_in": int(edge.settings.web.ticket_s), "scope": identity.scope}
