"""Errors of the HTTP edge as problem+json; which status an error has stands in runtime/problems.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from core.errors import FieldError, HexcabError
from runtime import problems
from runtime.problems import MEDIA_TYPE, TITLES, Answer

_CODE_OF_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


class ProblemField(BaseModel):
    """One wrong field."""

    field: str
    detail: str


class PickupPointAnswer(BaseModel):
    """A place where riders are picked up."""

    lat: float
    lng: float
    name: str


class Problem(BaseModel):
    """What went wrong (RFC 9457); `code` is stable and for programs, `detail` is for people."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "not_found", "status": 404}]})

    type: str = Field(description="urn:hexcab:error: and the code")
    title: str
    status: int
    detail: str
    code: str
    errors: list[ProblemField]
    zone_id: str | None = Field(None, description="with no_pickup: the zone that the pickup lies in")
    pickup_points: list[PickupPointAnswer] | None = Field(
        None, description="with no_pickup: where to be picked up instead, nearest first"
    )


def problem(status: int, code: str, detail: str, errors: Sequence[FieldError] = ()) -> Response:
    """A problem+json response."""
    return _response(problems.answer(status, code, detail, errors))


def problem_of(error: HexcabError) -> Response:
    """The response to an error of ours."""
    return _response(problems.answer_to(error))


def internal() -> Response:
    """The response to what nobody expected."""
    return _response(problems.internal())


def _response(answer: Answer) -> Response:
    return Response(answer.body, status_code=answer.status, headers=dict(answer.headers), media_type=MEDIA_TYPE)


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
            "description": TITLES[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
