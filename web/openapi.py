"""The published description of the API: FastAPI's own, with our problems in place of its default errors."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from web.errors import Problem

_TEXT = (
    "Errors are problem+json (see Problem). Money is in minor units. Times are RFC 3339 UTC. POSTs that create take an "
    "Idempotency-Key: the same key and body give the first answer again, the same key with another body is 409 "
    "idempotency_conflict. The WebSocket messages are described at /v1/messages.json."
)


def describe(app: FastAPI) -> None:
    """Make `app.openapi()` and /openapi.json tell the truth about errors."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=_TEXT, routes=app.routes)
            _replace_default_errors(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to change the description


def _replace_default_errors(schema: dict[str, Any]) -> None:
    components = schema["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components.update(problem.pop("$defs", {}))
    components["Problem"] = problem
    for path in schema["paths"].values():
        for operation in path.values():
            for status, response in list(operation["responses"].items()):
                content = response.get("content", {}).get("application/json", {})
                if content.get("schema", {}).get("$ref", "").endswith("/HTTPValidationError"):
                    operation["responses"][status] = {
                        "description": "Invalid input",
                        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                    }
