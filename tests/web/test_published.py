"""What is published about the API and the messages is valid, complete and true."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from jsonschema import Draft202012Validator

from tests.web.fakes import FakeRides, Fakes, trip_body
from web.messages import JSON, FromRider

RIDER_SAYS: list[dict[str, Any]] = [
    {"type": "watch", "lat": 57.7, "lng": 11.9},
    {"type": "book", "pickup": {"lat": 57.7, "lng": 11.9}, "dropoff": {"lat": 57.7, "lng": 11.8}},
    {"type": "cancel", "request_id": "req_1"},
]


async def published(api: httpx.AsyncClient) -> dict[str, Any]:
    schema: dict[str, Any] = (await api.get("/v1/messages.json")).json()
    return schema


def side(schema: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({**schema[name], "$defs": schema["$defs"]})


async def test_the_messages_schema_is_valid_and_has_every_socket(api: httpx.AsyncClient) -> None:
    schema = await published(api)
    sides = ["driver_to_server", "server_to_driver", "rider_to_server", "server_to_rider", "server_to_ops"]
    for name in sides:
        Draft202012Validator.check_schema(schema[name])
    for name, definition in schema["$defs"].items():
        Draft202012Validator.check_schema(definition)
        assert name
    assert schema["ops_binary_frame"]["row_bytes"] == 6


async def test_the_drivers_messages_validate_under_the_merged_schema(api: httpx.AsyncClient) -> None:
    schema = await published(api)
    ping = {"type": "ping", "seq": 17, "ts": 1_790_000_000_000, "lat": 57.7041, "lng": 11.9697, "heading": 90}
    side(schema, "driver_to_server").validate(ping)
    assert not side(schema, "driver_to_server").is_valid({**ping, "lat": 91})
    side(schema, "server_to_driver").validate({"type": "ack", "seq": 17})


@pytest.mark.parametrize("message", RIDER_SAYS)
async def test_what_riders_say_validates_and_is_understood(api: httpx.AsyncClient, message: dict[str, Any]) -> None:
    side(await published(api), "rider_to_server").validate(message)
    assert isinstance(JSON.decode(msgspec.json.encode(message)), FromRider)


async def test_a_ride_request_and_a_trip_validate_as_messages(api: httpx.AsyncClient, fakes: Fakes) -> None:
    told = side(await published(api), "server_to_rider")
    rides: FakeRides = fakes.rides
    headers = fakes.bearer("rider", "rdr_1")
    book = {**RIDER_SAYS[1], "rider_id": "rdr_1"}
    del book["type"]
    body = (await api.post("/v1/ride-requests", json=book, headers=headers)).json()
    assert body["request_id"] in rides.requests
    told.validate({"type": "request", **body})
    told.validate({"type": "trip", **trip_body()})
    assert not told.is_valid({"type": "trip", **trip_body("flying")})


async def test_openapi_describes_every_call_its_errors_and_its_security(api: httpx.AsyncClient) -> None:
    schema = (await api.get("/openapi.json")).json()
    assert schema["openapi"].startswith("3.1")
    expected = {
        "/v1/sessions",
        "/v1/sessions/verify",
        "/v1/tickets",
        "/v1/riders",
        "/v1/riders/{rider_id}",
        "/v1/riders/{rider_id}/trips",
        "/v1/drivers",
        "/v1/drivers/{driver_id}",
        "/v1/drivers/{driver_id}/trips",
        "/v1/drivers/{driver_id}/track",
        "/v1/cabs",
        "/v1/quotes",
        "/v1/ride-requests",
        "/v1/ride-requests/{request_id}",
        "/v1/ride-requests/{request_id}/cancel",
        "/v1/ride-requests/{request_id}/explain",
        "/v1/trips/{trip_id}",
        "/v1/trips/{trip_id}/cancel",
        "/v1/trips/{trip_id}/rate",
        "/v1/trips/{trip_id}/trail",
        "/v1/segments",
        "/v1/segments/locate",
        *(f"/v1/segments/{{segment}}/{cut}" for cut in ("split", "merge", "pin", "unpin")),
        "/v1/eta",
        "/v1/eta/matrix",
        "/v1/routes",
        "/v1/isochrone",
        "/v1/roads/closures",
        "/v1/roads/closures/{closure_id}",
        "/v1/roads/conditions",
        "/v1/zones",
        "/v1/zones/{zone_id}",
        "/v1/map/roads",
        "/v1/config",
        "/v1/messages.json",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    assert set(schema["paths"]) == expected
    text = msgspec.json.encode(schema).decode()
    assert "HTTPValidationError" not in text
    names = [op["operationId"] for path in schema["paths"].values() for op in path.values()]
    assert len(names) == len(set(names))
    ride = schema["paths"]["/v1/ride-requests"]["post"]
    assert ride["security"]
    assert {"201", "400", "401", "409", "422"} <= set(ride["responses"])
    assert any(p["name"].lower() == "idempotency-key" for p in ride["parameters"])
    for reference in set(msgspec.json.decode(text)["components"]["schemas"]):
        assert reference


async def test_every_reference_of_openapi_resolves_and_its_schemas_are_valid(api: httpx.AsyncClient) -> None:
    schema = (await api.get("/openapi.json")).json()
    components = schema["components"]["schemas"]

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for inner in value.values() for found in references(inner)]
        return [found for inner in value for found in references(inner)] if isinstance(value, list) else []

    for reference in references(schema):
        assert reference.removeprefix("#/components/schemas/") in components
    for component in components.values():
        Draft202012Validator.check_schema(component)
