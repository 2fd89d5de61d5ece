"""Closures over HTTP: for operators alone."""

from __future__ import annotations

import httpx
import pytest

Headers = dict[str, str]
CLOSURE = {"type": "Feature", "id": "bridge", "properties": {"name": "Bridge"}, "geometry": None}


async def test_operators_close_see_and_open_streets(api: httpx.AsyncClient, ops: Headers) -> None:
    made = await api.post("/v1/roads/closures", json=CLOSURE, headers=ops)
    assert (made.status_code, made.json()["features"]) == (201, [CLOSURE])
    assert (await api.get("/v1/roads/closures", headers=ops)).json()["features"] == [CLOSURE]
    assert (await api.delete("/v1/roads/closures/bridge", headers=ops)).status_code == 204
    assert (await api.delete("/v1/roads/closures/bridge", headers=ops)).status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_others_may_not(api: httpx.AsyncClient, rider: Headers, driver: Headers, method: str) -> None:
    path = "/v1/roads/closures/bridge" if method == "DELETE" else "/v1/roads/closures"
    for headers, status in ((rider, 403), (driver, 403), ({}, 401)):
        body = CLOSURE if method == "POST" else None
        assert (await api.request(method, path, headers=headers, json=body)).status_code == status


async def test_operators_see_the_streets_in_a_state(api: httpx.AsyncClient, ops: Headers, rider: Headers) -> None:
    shown = await api.get("/v1/roads/conditions", params={"state": "poor"}, headers=ops)
    assert shown.json()["features"][0]["properties"] == {"state": "poor"}
    assert (await api.get("/v1/roads/conditions", params={"state": "odd"}, headers=ops)).status_code == 422
    assert (await api.get("/v1/roads/conditions", headers=rider)).status_code == 403
