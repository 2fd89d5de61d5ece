"""Idempotency-Key: whoever asks again with the same key and body gets the first answer, and nothing happens twice."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from fastapi import Header, Request, Response
from fastapi.exceptions import RequestValidationError

from core.errors import HexcabError, InvalidInput, Unavailable
from runtime.answers import KEY_KEPT, FirstAnswer, StoredAnswer
from runtime.auth import Identity
from runtime.problems import MEDIA_TYPE
from web.auth import caller
from web.edge import edge_of
from web.errors import problem_of, problem_of_validation
from web.route import StrictRoute

log = logging.getLogger(__name__)

MAX_KEY = 255
_PASSING = frozenset({401, 403, 408, 413, 415, 429})  # refusals that say nothing about the ask itself
_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"


async def idempotency_key(
    key: Annotated[
        str | None, Header(alias="Idempotency-Key", description="The same key and body give the first answer again")
    ] = None,
) -> str | None:
    """The caller's key, for endpoints that derive something from it."""
    return key


def request_id_of(by: Identity, rider_id: str, key: str) -> str:
    """The id of the one ride request that a caller's key stands for, in the form of every other id.

    A crash after the request was committed and before its answer was kept thus cannot make a second request.
    """
    named = msgspec.json.encode([by.scope, by.subject, rider_id, key])
    digest = int.from_bytes(hashlib.sha256(named).digest()[:16])
    return "req_" + "".join(_BASE32[(digest >> shift) & 31] for shift in range(125, -1, -5))


def first_answer(request: Request) -> FirstAnswer | None:
    """What to keep an endpoint's answer with in its own transaction; None for a call without a key."""
    first: FirstAnswer | None = getattr(request.state, "first_answer", None)
    return first


async def once(
    request: Request, body: bytes, call: Callable[[], Awaitable[Response]], *, keeps: bool = False
) -> Response:
    """The answer of a call that creates something; the first one again for an Idempotency-Key that was used before.

    `keeps` says that whatever the call creates is created together with its kept answer or not at all. Then the key is
    not looked up before: where it was used, the call has done nothing, and that is soon enough to look.

    A key belongs to its caller. Callers without a token cannot be told apart, so theirs belongs to the body too: nobody
    meets the key of a stranger. Raises what `call` raises for a call without a key, InvalidInput for a bad key,
    Conflict for one that was used with another body.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return await call()
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise InvalidInput(
            f"Idempotency-Key must be 1 to {MAX_KEY} printable ASCII characters", code="invalid_idempotency_key"
        )
    edge = edge_of(request)
    body_hash = hashlib.sha256(body).hexdigest()
    identity = caller(request)
    who = f"{identity.scope}\n{identity.subject}" if identity else "nobody"
    scope_key = hashlib.sha256(f"{who}\n{request.method} {request.scope['path']}\n{key}".encode()).hexdigest()
    lock = edge.locks.take(scope_key)
    try:
        async with lock:
            answers = edge.engine.security.answers
            if not keeps and (known := await answers.find(scope_key, body_hash)) is not None:
                return _again(known)
            first = request.state.first_answer = FirstAnswer(scope_key, body_hash)
            response = await _answer(call)
            if response is None or (keeps and not first.kept):
                known = await answers.find(scope_key, body_hash)
                if known is not None:
                    return _again(known)
                assert response is not None
            if not first.kept and response.status_code < 500 and response.status_code not in _PASSING:
                await _keep(request, first, response)
            return response
    finally:
        edge.locks.leave(scope_key)


class CreatingRoute(StrictRoute):
    """A route that creates something and honours an Idempotency-Key, before it looks at what the body means."""

    async def with_body(
        self, request: Request, body: bytes, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        way_on = super().with_body
        return await once(request, body, lambda: way_on(request, body, endpoint))


async def _answer(call: Callable[[], Awaitable[Response]]) -> Response | None:
    """The call's answer; None when the key was answered before."""
    try:
        return await call()
    except HexcabError as error:
        return None if error.code == KEY_KEPT else problem_of(error)
    except RequestValidationError as error:
        return problem_of_validation(error)


async def _keep(request: Request, first: FirstAnswer, response: Response) -> None:
    first.say(response.status_code, bytes(response.body).decode())
    try:
        await edge_of(request).engine.security.answers.keep(first)
    except Unavailable:  # what was done is done, and the caller must hear of it
        log.warning("an answer could not be kept for its Idempotency-Key", exc_info=True)


def _again(first: StoredAnswer) -> Response:
    media_type = MEDIA_TYPE if first.status >= 400 else "application/json"
    response = Response(first.body, status_code=first.status, media_type=media_type)
    response.headers["Idempotent-Replayed"] = "true"
    return response
