"""Who comes in: path, token and subprotocol of an upgrade request, and the answer to those who do not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from core.errors import Forbidden, HexcabError, InvalidInput, NotFound, Unauthorized
from location.messages import CODECS, JSON, Codec
from location.ports import Authorize
from runtime.problems import MEDIA_TYPE, answer_to

PATH = b"/v1/driver/ws"

_MAX_QUERY_FIELDS = 16


class Admitted(NamedTuple):
    """A driver who may come in, and how they want to talk."""

    driver_id: str
    ticket: str | None  # by which they were known, where there was no token
    codec: Codec
    chosen: str | None  # subprotocol to confirm; None where the client named none


def admit(request: WSUpgradeRequest, authorize: Authorize) -> Admitted:
    """Judge an upgrade request.

    Raises NotFound for another path, Unauthorized or Forbidden for the token, InvalidInput for the subprotocol.
    """
    path, _, query = request.path.partition(b"?")
    if path != PATH:
        raise NotFound(f"drivers connect to {PATH.decode()}")
    codec, chosen = _codec(request)  # before the token: a ticket may be used up by looking at it
    token, ticket = _bearer(request.headers.get("Authorization")), _ticket(query)
    if token is None and ticket is None:
        raise Unauthorized("a bearer token in the Authorization header, or a ticket, is needed")
    identity = authorize(token, ticket)
    if identity.scope != "driver":
        raise Forbidden(f"a token of scope {identity.scope} does not open a driver's socket")
    return Admitted(identity.subject, None if token else ticket, codec, chosen)


def refusal(error: HexcabError) -> WSUpgradeResponseWithListener:
    """The HTTP answer (problem+json) to a request that is not admitted."""
    answer = answer_to(error)
    headers = {"Content-Type": MEDIA_TYPE, **answer.headers}
    response = WSUpgradeResponse.create_error_response(HTTPStatus(answer.status), answer.body, headers)
    return WSUpgradeResponseWithListener(response, None)


def _bearer(header: str | None) -> str | None:
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("the Authorization header must be: Bearer <token>", code="bad_token")
    return token.strip()


def _ticket(query: bytes) -> str | None:
    try:
        return parse_qs(query.decode("latin-1"), max_num_fields=_MAX_QUERY_FIELDS).get("ticket", [None])[-1]
    except ValueError as error:
        raise InvalidInput(f"the query has more than {_MAX_QUERY_FIELDS} fields") from error


def _codec(request: WSUpgradeRequest) -> tuple[Codec, str | None]:
    lines = request.headers.getall("Sec-WebSocket-Protocol", [])
    offered = [name.strip() for line in lines for name in line.split(",")]
    if not offered:
        return JSON, None
    for name in offered:
        if name in CODECS:
            return CODECS[name], name
    raise InvalidInput(f"subprotocols are {', '.join(CODECS)}", code="unknown_subprotocol")


class SocketLog(logging.LoggerAdapter[logging.Logger]):
    """For picows: clients' mistakes are no errors of ours, and who connects from where is nobody's business."""

    def log(
        self,
        level: int,
        msg: object,
        *args: object,
        exc_info: Any = None,
        stack_info: bool = False,
        stacklevel: int = 1,
        extra: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> None:
        """Keep what carries an exception; the rest is for debugging."""
        kept = level if exc_info else logging.DEBUG
        super().log(
            kept, msg, *args, exc_info=exc_info, stack_info=stack_info, stacklevel=stacklevel, extra=extra, **kwargs
        )
