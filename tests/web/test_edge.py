"""What every call meets: tokens, bodies, problems, idempotency keys, request ids, health."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from typing import cast

import httpx
import pytest
from jsonschema import Draft202012Validator

from app.wiring.edge import Trips
from core.errors import Forbidden, Unavailable
from location.ports import TrailLog
from runtime.answers import StoredAnswer
from runtime.auth import Identity, Tokens
from runtime.telemetry import log_to
from tests.web.fakes import Fakes
from tests.web.test_rides_http import PLACES, RIDE
from trips.history import History
from trips.service import TripDesk
from web.errors import Problem
from web.ports import Body, RideAsk

Headers = dict[str, str]
_PROBLEM = Draft202012Validator({**Problem.model_json_schema(), "additionalProperties": False})


def check_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    _PROBLEM.validate(answer.json())
    assert (answer.status_code, answer.json()["status"], answer.json()["code"]) == (status, status, code)


async def test_a_call_without_a_token_is_unauthorized(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/riders/rdr_1")
    check_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Bearer nonsense", "bad_token"),
        ("Basic YTpi", "bad_token"),
        ("Bearer", "bad_token"),
        (f"Bearer {Tokens(b'x' * 32).sign('rider', 'rdr_1', 60)}", "bad_token"),
        (f"Bearer {Tokens(b'k' * 32).sign('rider', 'rdr_1', -60)}", "token_expired"),
    ],
)
async def test_a_token_that_is_not_ours_or_too_old_is_unauthorized(
    api: httpx.AsyncClient, header: str, code: str
) -> None:
    for path in ("/v1/riders/rdr_1", "/v1/cabs?lat=1&lng=2"):
        check_problem(await api.get(path, headers={"Authorization": header}), 401, code)
    check_problem(await api.post("/v1/drivers", headers={"Authorization": header}, json={}), 401, code)
    keyed = {"Authorization": header, "Idempotency-Key": "k"}
    check_problem(await api.post("/v1/ride-requests", headers=keyed, json=RIDE), 401, code)


async def test_a_scope_that_may_not_is_forbidden(api: httpx.AsyncClient, fakes: Fakes, driver: Headers) -> None:
    check_problem(await api.post("/v1/ride-requests", headers=driver, json=RIDE), 403, "forbidden")
    check_problem(await api.get("/v1/riders/drv_1", headers=driver), 403, "forbidden")
    view = fakes.bearer("view", "console")
    for path in ("/v1/cabs?lat=1&lng=2", "/v1/riders/console", "/v1/trips/trip_1", "/v1/eta?from=1,2&to=1,2"):
        check_problem(await api.get(path, headers=view), 403, "forbidden")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"\xff\xfe",
        b'{"rider_id": NaN}',
        b'{"pickup": {"lat": Infinity, "lng": 1}}',
        b"[" * 5_00 + b"1",
        b'{"a": 1} x',
        b'{"a": "\xed\xa0\x80"}',
    ],
)
async def test_a_body_that_is_not_json_is_refused(api: httpx.AsyncClient, rider: Headers, body: bytes) -> None:
    headers = {**rider, "Content-Type": "application/json"}
    answer = await api.post("/v1/ride-requests", headers=headers, content=body)
    if body:
        check_problem(answer, 400, "invalid_json")
    else:
        check_problem(answer, 422, "invalid_input")


async def test_a_number_too_large_to_be_finite_is_refused(api: httpx.AsyncClient, rider: Headers) -> None:
    body = b'{"rider_id":"rdr_1","pickup":{"lat":1e999,"lng":11},"dropoff":{"lat":57,"lng":11}}'
    answer = await api.post("/v1/ride-requests", headers={**rider, "Content-Type": "application/json"}, content=body)
    assert answer.status_code in (400, 422)


async def test_a_body_of_another_media_type_is_refused(api: httpx.AsyncClient, rider: Headers) -> None:
    answer = await api.post("/v1/ride-requests", headers=rider, data={"rider_id": "rdr_1"})
    check_problem(answer, 415, "unsupported_media_type")


async def test_a_body_without_a_media_type_is_taken_as_json(api: httpx.AsyncClient, rider: Headers) -> None:
    body = b'{"pickup":{"lat":57.7,"lng":11.9},"dropoff":{"lat":57.7,"lng":11.8}}'
    assert (await api.post("/v1/quotes", headers=rider, content=body)).status_code == 201


async def test_a_body_that_is_too_large_is_refused_stated_or_not(api: httpx.AsyncClient, rider: Headers) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    stated = await api.post("/v1/ride-requests", headers=rider, json={**RIDE, "quote_id": "x" * 5_000})
    check_problem(stated, 413, "body_too_large")
    check_problem(await api.post("/v1/ride-requests", headers=rider, content=chunks()), 413, "body_too_large")


async def test_an_unknown_path_and_a_wrong_method_are_problems(api: httpx.AsyncClient) -> None:
    check_problem(await api.get("/v1/nothing"), 404, "not_found")
    wrong = await api.delete("/v1/quotes")
    check_problem(wrong, 405, "method_not_allowed")
    assert "POST" in wrong.headers["allow"]


async def test_a_store_that_is_away_says_when_to_come_again(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers
) -> None:
    fakes.rides.failing = True
    answer = await api.post("/v1/ride-requests", headers=rider, json=RIDE)
    check_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "3"


async def test_an_unexpected_failure_tells_nothing_of_the_inside(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers
) -> None:
    fakes.rides.broken = True
    for headers in (rider, {**rider, "Idempotency-Key": "k"}):
        answer = await api.post("/v1/ride-requests", headers=headers, json=RIDE)
        check_problem(answer, 500, "internal")
        assert "secret" not in answer.text
        assert answer.headers["x-request-id"]


async def test_the_same_key_and_body_give_the_first_answer_again(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers
) -> None:
    headers = {**rider, "Idempotency-Key": "one"}
    first = await api.post("/v1/ride-requests", headers=headers, json=RIDE)
    fakes.rides.requests.clear()  # what is answered does not come from the room again
    second = await api.post("/v1/ride-requests", headers=headers, json=RIDE)
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert second.headers["idempotent-replayed"] == "true"
    assert len(fakes.rides.asks) == 1


async def test_the_same_key_with_another_body_conflicts_whatever_the_body_means(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers
) -> None:
    headers = {**rider, "Idempotency-Key": "one", "Content-Type": "application/json"}
    await api.post("/v1/ride-requests", headers=headers, json=RIDE)
    for body in (b"{}", b"not json", b'{"rider_id": NaN}'):
        answer = await api.post("/v1/ride-requests", headers=headers, content=body)
        check_problem(answer, 409, "idempotency_conflict")
    assert len(fakes.rides.asks) == 1


async def test_a_refusal_is_the_first_answer_too(api: httpx.AsyncClient, fakes: Fakes, rider: Headers) -> None:
    await api.post("/v1/ride-requests", headers=rider, json=RIDE)
    headers = {**rider, "Idempotency-Key": "two"}
    first = await api.post("/v1/ride-requests", headers=headers, json=RIDE)
    fakes.rides.requests.clear()
    second = await api.post("/v1/ride-requests", headers=headers, json=RIDE)
    check_problem(second, 409, "open_request")
    assert first.json() == second.json()


async def test_a_failure_is_no_answer_to_keep(api: httpx.AsyncClient, fakes: Fakes, rider: Headers) -> None:
    headers = {**rider, "Idempotency-Key": "three"}
    fakes.rides.failing = True
    assert (await api.post("/v1/ride-requests", headers=headers, json=RIDE)).status_code == 503
    fakes.rides.failing = False
    assert (await api.post("/v1/ride-requests", headers=headers, json=RIDE)).status_code == 201


async def test_an_answer_that_could_not_be_kept_is_given_and_the_same_request_comes_again(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers
) -> None:
    headers = {**rider, "Idempotency-Key": "four"}
    fakes.answers.failing, fakes.rides.keeps_in = True, None
    first = await api.post("/v1/ride-requests", headers=headers, json=RIDE)
    second = await api.post("/v1/ride-requests", headers=headers, json=RIDE)
    assert first.status_code == second.status_code == 201
    assert first.json()["request_id"] == second.json()["request_id"]
    assert len(fakes.rides.asks) == 1


async def test_keys_belong_to_their_caller_and_their_operation(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers
) -> None:
    key = {"Idempotency-Key": "five"}
    other = {"rider_id": "rdr_2", **PLACES}
    mine = await api.post("/v1/ride-requests", headers={**rider, **key}, json=RIDE)
    theirs = await api.post("/v1/ride-requests", headers={**fakes.bearer("rider", "rdr_2"), **key}, json=other)
    quote = await api.post("/v1/quotes", headers={**rider, **key}, json=PLACES)
    assert [mine.status_code, theirs.status_code, quote.status_code] == [201, 201, 201]
    assert mine.json()["request_id"] != theirs.json()["request_id"]


async def test_the_same_key_with_another_body_conflicts_for_callers_without_a_token_too(
    api: httpx.AsyncClient, fakes: Fakes
) -> None:
    key = {"Idempotency-Key": "tap"}
    ada, grace = ({"name": name, "phone": f"+4670123456{n}"} for n, name in enumerate(("Ada", "Grace")))
    first, other, again = [await api.post("/v1/riders", json=ask, headers=key) for ask in (ada, grace, ada)]
    assert [answer.status_code for answer in (first, other, again)] == [201, 409, 201]
    assert other.json()["code"] == "idempotency_conflict"
    assert first.json()["rider_id"] == again.json()["rider_id"]
    assert fakes.accounts.created == 1


async def test_who_is_no_party_to_a_ride_reaches_no_trip() -> None:
    trips = Trips(cast(TripDesk, None), cast(History, None), cast(TrailLog, None))
    with pytest.raises(Forbidden):
        await trips.get("trip_1", Identity("view", "console"))


async def test_calls_with_the_same_key_at_once_happen_once(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    really = fakes.accounts.create_rider

    async def slowly(rider: Body) -> Body:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        return await really(rider)

    monkeypatch.setattr(fakes.accounts, "create_rider", slowly)
    ask = {"name": "Ada", "phone": "+46701234567"}
    answers = await asyncio.gather(
        *(api.post("/v1/riders", json=ask, headers={"Idempotency-Key": "six"}) for _ in range(8))
    )
    assert {answer.text for answer in answers} == {answers[0].text}
    assert [answer.status_code for answer in answers] == [201] * 8
    assert calls == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "\x07", "å"])
async def test_a_key_that_is_none_is_refused(api: httpx.AsyncClient, rider: Headers, key: str) -> None:
    headers = {**rider, "Idempotency-Key": key.encode("latin-1")}
    answer = await api.post("/v1/ride-requests", headers=headers, json=RIDE)  # type: ignore[arg-type]
    check_problem(answer, 400, "invalid_idempotency_key")


async def test_a_key_decides_the_id_of_a_ride_request(api: httpx.AsyncClient, fakes: Fakes, rider: Headers) -> None:
    await api.post("/v1/ride-requests", headers={**rider, "Idempotency-Key": "k"}, json=RIDE)
    ask: RideAsk = fakes.rides.asks[0]
    assert ask.request_id is not None
    assert ask.request_id.startswith("req_")
    assert len(ask.request_id) == len("req_") + 26


async def test_a_request_id_is_kept_when_good_and_made_otherwise(api: httpx.AsyncClient) -> None:
    assert (await api.get("/healthz", headers={"X-Request-Id": "abc-1"})).headers["x-request-id"] == "abc-1"
    made = [
        (await api.get("/healthz", headers={"X-Request-Id": bad})).headers["x-request-id"]
        for bad in ("a b", "x" * 65, '"><script>')
    ]
    assert len(set(made)) == 3
    assert all("script" not in each and " " not in each for each in made)


async def test_lines_of_a_call_carry_its_id_apart_from_that_of_a_ride_request(api: httpx.AsyncClient) -> None:
    stream = io.StringIO()
    handler = log_to(stream, "info")
    try:
        await api.get("/v1/riders/rdr_1", headers={"X-Request-Id": "abc-1"})
    finally:
        logging.getLogger().removeHandler(handler)
    line = next(line for line in map(json.loads, stream.getvalue().splitlines()) if line["logger"] == "web.access")
    assert line["http_request_id"] == "abc-1"
    assert "request_id" not in line


async def test_calls_are_logged_and_counted_by_route_not_by_id(
    api: httpx.AsyncClient, fakes: Fakes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="web.access")
    await api.get("/v1/riders/rdr_1")
    await api.get("/v1/nowhere/at/all")
    text = (await api.get("/metrics")).text
    assert 'hexcab_http_seconds_count{method="GET",route="/v1/riders/{rider_id}",status="401"} 1.0' in text
    assert 'route="unmatched",status="404"' in text
    assert "rdr_1" not in text
    assert [vars(record)["route"] for record in caplog.records] == ["/v1/riders/{rider_id}", "unmatched"]


async def test_health_is_about_the_process_and_readiness_about_the_stores(api: httpx.AsyncClient, fakes: Fakes) -> None:
    async def away() -> None:
        raise Unavailable("the store at secret-host is away")

    assert (await api.get("/readyz")).json() == {"status": "ready", "checks": {"sql": "ok", "redis": "ok"}}
    fakes.checks["redis"] = away
    answer = await api.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not_ready", "checks": {"sql": "ok", "redis": "failed"}}
    assert (await api.get("/healthz")).json() == {"status": "ok"}


async def test_the_config_tells_apps_where_the_gateway_is(api: httpx.AsyncClient) -> None:
    body = (await api.get("/v1/config")).json()
    assert body["gateway_url"] == "ws://test:8001/v1/driver/ws"
    assert body["limits"]["offer_s"] == 12.0
    assert body["city"] == "gothenburg"


async def test_browsers_are_told_to_be_careful(api: httpx.AsyncClient) -> None:
    for path in ("/", "/docs", "/console/console.js", "/v1/config", "/v1/nothing"):
        headers = (await api.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]


async def test_the_pages_need_no_other_host(api: httpx.AsyncClient) -> None:
    for path in ("/", "/docs", "/console/console.js", "/console/console.css", "/console/docs.js"):
        answer = await api.get(path)
        assert answer.status_code == 200
        assert "http://" not in answer.text.replace("http://www.w3.org", "")
        assert "https://" not in answer.text.replace("https://www.openstreetmap.org/copyright", "")
        assert "<script>" not in answer.text
        assert " style=" not in answer.text


async def test_an_answer_that_was_kept_with_its_request_is_told_as_it_was_kept(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers
) -> None:
    plain = (await api.post("/v1/ride-requests", json=RIDE, headers=rider)).json()
    fakes.rides.requests.clear()
    fakes.answers.failing = True  # it is not kept a second time
    first = await api.post("/v1/ride-requests", json=RIDE, headers={**rider, "Idempotency-Key": "k"})
    again = await api.post("/v1/ride-requests", json=RIDE, headers={**rider, "Idempotency-Key": "k"})
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert first.json() == plain | {"request_id": first.json()["request_id"]}
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_key_that_another_host_answered_meanwhile_gives_that_answer(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers
) -> None:
    fakes.rides.answered_elsewhere = StoredAnswer(409, '{"code":"rider_busy"}')
    answer = await api.post("/v1/ride-requests", json=RIDE, headers={**rider, "Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()) == (409, {"code": "rider_busy"})
    assert answer.headers["idempotent-replayed"] == "true"
