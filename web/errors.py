"""Errors as the outside sees them: problem+json, and the only place that turns an error's code into a status."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

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
}
_CODE_OF_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
_TITLES = {
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
}


class ProblemField(BaseModel):
    """One wrong field."""

    field: str
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457); `code` is stable and for programs, `detail` is for people."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "not_found", "status": 404}]})

    type: str = Field(description="urn:hexcab:error: and the code")
    title: str
    status: int
    detail: str
    code: str
    errors: list[ProblemField]


def status_of(error: HexcabError) -> int:
    """The HTTP status of an error."""
    if error.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[error.code]
    return next((status for kind, status in _STATUS_OF_CLASS if isinstance(error, kind)), 500)


def problem(status: int, code: str, detail: str, errors: Sequence[FieldError] = ()) -> Response:
    """A problem+json response."""
    body = {
        "type": f"urn:hexcab:error:{code}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "errors": [{"field": error.field, "detail": error.detail} for error in errors],
    }
    return Response(msgspec.json.encode(body), status_code=status, media_type=MEDIA_TYPE)


def problem_of(error: HexcabError) -> Response:
    """The response to an error of ours; one without a status of its own is a fault of the engine and tells nothing."""
    status = status_of(error)
    if status >= 500 and not isinstance(error, Unavailable):
        log.error("a request failed", exc_info=error)
        return internal()
    response = problem(status, error.code, error.detail, error.errors)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooMany | Unavailable):
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return response


def internal() -> Response:
    """The response to what nobody expected: it says nothing about the inside."""
    return problem(500, "internal", "something went wrong here; the request id finds it in the logs")


def problem_of_validation(error: RequestValidationError) -> Response:
    """The response to input that does not have the promised shape."""
    if any(item["type"] == "json_invalid" for item in error.errors()):
        reason = str(error.errors()[0].get("ctx", {}).get("error", "not JSON"))
        return problem(400, "invalid_json", f"the body is not JSON: {reason}")
    errors = [FieldError(_field(item["loc"]), item["msg"]) for item in error.errors()]
    detail = f"{errors[0].field}: {errors[0].detail}" if errors else "the input is not valid"
    return problem(422, "invalid_input", detail, errors)


def _field(loc: Sequence[Any]) -> str:
    parts = [str(part) for part in loc]
    if len(parts) > 1 and parts[0] in ("body", "query", "path", "header"):
        parts = parts[1:]
    return ".".join(parts)


def install(app: FastAPI) -> None:
    """Make every error of this application a problem."""

    async def on_ours(_: Request, error: Exception) -> Response:
        return problem_of(cast(HexcabError, error))

    async def on_validation(_: Request, error: Exception) -> Response:
        return problem_of_validation(cast(RequestValidationError, error))

    async def on_http(_: Request, error: Exception) -> Response:
        refused = cast(HTTPException, error)
        code = _CODE_OF_STATUS.get(refused.status_code, "bad_request" if refused.status_code < 500 else "internal")
        response = problem(refused.status_code, code, str(refused.detail))
        for name, value in cast(Mapping[str, str], refused.headers or {}).items():
            response.headers[name] = value
        return response

    app.add_exception_handler(HexcabError, on_ours)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of the problems an endpoint may answer with."""
    return {
        status: {
            "description": _TITLES[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
