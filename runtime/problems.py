"""Errors as HTTP answers (RFC 9457): the only place that turns an error into a status, for every server."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from core.errors import (
    Conflict,
    FieldError,
    Forbidden,
    HexcabError,
    InvalidInput,
    NotFound,
    TooMany,
    Unauthorized,
    Unavailable,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TITLES: Mapping[int, str] = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Invalid input",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
    504: "Timed out",
}

_STATUS_OF_CLASS: tuple[tuple[type[HexcabError], int], ...] = (
    (InvalidInput, 422),
    (Unauthorized, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (TooMany, 429),
    (Unavailable, 503),
)
_STATUS_OF_CODE = {
    "invalid_json": 400,
    "invalid_idempotency_key": 400,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "routes_late": 504,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of MEDIA_TYPE, whichever server sends it."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def status_of(error: HexcabError) -> int:
    """The HTTP status of an error."""
    if error.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[error.code]
    return next((status for kind, status in _STATUS_OF_CLASS if isinstance(error, kind)), 500)


def answer(
    status: int,
    code: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    more: Mapping[str, Any] | None = None,
) -> Answer:
    """A problem in words of its own; `more` has members that only some problems have."""
    body = {
        **(more or {}),
        "type": f"urn:hexcab:error:{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "errors": [{"field": error.field, "detail": error.detail} for error in errors],
    }
    return Answer(status, msgspec.json.encode(body))


def answer_to(error: HexcabError) -> Answer:
    """The answer to an error of ours; one without a status of its own is a fault of the engine and tells nothing."""
    status = status_of(error)
    if status >= 500 and not isinstance(error, Unavailable):
        log.error("a request failed", exc_info=error)
        return internal()
    headers = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooMany | Unavailable):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return Answer(status, answer(status, error.code, error.detail, error.errors, error.more).body, headers)


def internal() -> Answer:
    """The answer to what nobody expected: it says nothing about the inside."""
    return answer(500, "internal", "something went wrong here; the request id finds it in the logs")
