"""Accounts, sessions and tickets over HTTP."""

from __future__ import annotations

import httpx
import pytest

from runtime.auth import Tokens
from tests.web.fakes import KEY, Fakes

RIDER = {"name": "Ada", "phone": "+46701234567", "email": "ada@example.org"}
DRIVER = {"name": "Grace", "phone": "+46707654321", "vehicle": {"plate": "ABC 123", "class": "standard", "seats": 4}}
Headers = dict[str, str]


async def test_a_code_goes_out_and_its_verification_gives_a_token_that_works(api: httpx.AsyncClient) -> None:
    started = await api.post("/v1/sessions", json={"phone": "+46701234567", "role": "rider"})
    assert (started.status_code, started.json()) == (202, {"expires_in": 300})
    verified = await api.post("/v1/sessions/verify", json={"phone": "+46701234567", "code": "123456"})
    body = verified.json()
    assert (body["scope"], body["id"], body["token_type"]) == ("rider", "rdr_1", "bearer")
    assert Tokens(KEY).verify(body["access_token"]).subject == "rdr_1"


async def test_a_wrong_code_is_unauthorized(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/sessions/verify", json={"phone": "+46701234567", "code": "000000"})
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_code")


async def test_too_many_codes_say_when_to_come_again(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/sessions", json={"phone": "+46701234599", "role": "rider"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "62")


async def test_a_rider_signs_up_reads_and_changes_their_account(api: httpx.AsyncClient, rider: Headers) -> None:
    created = await api.post("/v1/riders", json=RIDER)
    assert created.status_code == 201
    assert created.json() == {"rider_id": "rdr_1", "class": "standard", **RIDER}
    assert (await api.get("/v1/riders/rdr_1", headers=rider)).json()["name"] == "Ada"
    changed = await api.patch("/v1/riders/rdr_1", json={"name": "Ada L"}, headers=rider)
    assert (changed.json()["name"], changed.json()["phone"]) == ("Ada L", RIDER["phone"])


async def test_only_operators_make_a_rider_premium(api: httpx.AsyncClient, rider: Headers, ops: Headers) -> None:
    await api.post("/v1/riders", json=RIDER)
    refused = await api.patch("/v1/riders/rdr_1", json={"class": "premium"}, headers=rider)
    assert (refused.status_code, refused.json()["code"]) == (403, "ops_only")
    assert (await api.patch("/v1/riders/rdr_1", json={"class": "premium"}, headers=ops)).json()["class"] == "premium"


async def test_a_change_that_changes_nothing_is_refused(api: httpx.AsyncClient, rider: Headers) -> None:
    assert (await api.patch("/v1/riders/rdr_1", json={}, headers=rider)).status_code == 422


async def test_a_driver_waits_for_approval_unless_operators_create_them(api: httpx.AsyncClient, ops: Headers) -> None:
    own = await api.post("/v1/drivers", json=DRIVER)
    assert (own.status_code, own.json()["status"]) == (201, "pending")
    assert own.json()["vehicle"] == DRIVER["vehicle"]
    by_ops = await api.post("/v1/drivers", json=DRIVER, headers=ops)
    assert by_ops.json()["status"] == "approved"


async def test_only_operators_approve_a_driver(api: httpx.AsyncClient, driver: Headers, ops: Headers) -> None:
    await api.post("/v1/drivers", json=DRIVER)
    for change in ({"status": "approved"}, {"vehicle": {"plate": "X 1", "class": "premium", "seats": 4}}):
        assert (await api.patch("/v1/drivers/drv_1", json=change, headers=driver)).status_code == 403
    assert (await api.patch("/v1/drivers/drv_1", json={"name": "Grace H"}, headers=driver)).json()["name"] == "Grace H"
    approved = await api.patch("/v1/drivers/drv_1", json={"status": "approved"}, headers=ops)
    assert approved.json()["status"] == "approved"
    assert (await api.get("/v1/drivers/drv_1", headers=driver)).json()["status"] == "approved"


async def test_someone_elses_account_looks_like_no_account(api: httpx.AsyncClient, fakes: Fakes, ops: Headers) -> None:
    await api.post("/v1/riders", json=RIDER)
    foreign = await api.get("/v1/riders/rdr_1", headers=fakes.bearer("rider", "rdr_2"))
    unknown = await api.get("/v1/riders/rdr_9", headers=ops)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() == unknown.json()


async def test_a_ticket_stands_in_for_its_caller_once(api: httpx.AsyncClient, fakes: Fakes, rider: Headers) -> None:
    body = (await api.post("/v1/tickets", headers=rider)).json()
    assert (body["scope"], body["expires_in"]) == ("rider", 30)
    assert (await fakes.tickets.redeem(body["ticket"])).subject == "rdr_1"


async def test_a_ticket_needs_a_token_unless_the_console_is_open(api: httpx.AsyncClient) -> None:
    assert (await api.post("/v1/tickets")).status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "", "phone": "+46701234567"}, "name"),
        ({"name": "Ada"}, "phone"),
        ({"name": "Ada", "phone": "none"}, "phone"),
        ({"name": 7, "phone": "+46701234567"}, "name"),
        ({"name": "Ada", "phone": "+46701234567", "email": "nobody"}, "email"),
        ({"name": "Ada", "phone": "+46701234567", "class": "premium"}, "class"),
    ],
)
async def test_a_wrong_field_is_named(api: httpx.AsyncClient, body: dict[str, object], field: str) -> None:
    answer = await api.post("/v1/riders", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["errors"][0]["field"] == field
