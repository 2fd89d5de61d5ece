"""Zones over HTTP: for operators alone."""

from __future__ import annotations

import httpx
import pytest

from tests.web.fakes import Fakes

Headers = dict[str, str]
ZONE = {"type": "Feature", "id": "square", "properties": {"kind": "no_pickup"}, "geometry": None}


async def test_operators_add_see_and_remove_zones(api: httpx.AsyncClient, ops: Headers) -> None:
    made = await api.post("/v1/zones", json=ZONE, headers=ops)
    assert (made.status_code, made.json()["features"]) == (201, [ZONE])
    assert (await api.get("/v1/zones", headers=ops)).json() == {
        "type": "FeatureCollection",
        "features": [ZONE],
        "version": 1,
    }
    assert (await api.delete("/v1/zones/square", headers=ops)).status_code == 204
    assert (await api.delete("/v1/zones/square", headers=ops)).status_code == 404


async def test_the_same_key_gives_the_first_answer(api: httpx.AsyncClient, fakes: Fakes, ops: Headers) -> None:
    headers = {**ops, "Idempotency-Key": "k"}
    first = await api.post("/v1/zones", json=ZONE, headers=headers)
    fakes.zones.features.clear()
    assert (await api.post("/v1/zones", json=ZONE, headers=headers)).json() == first.json()
    assert fakes.zones.features == {}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_others_may_not(api: httpx.AsyncClient, rider: Headers, driver: Headers, method: str) -> None:
    path = "/v1/zones/square" if method == "DELETE" else "/v1/zones"
    for headers, status in ((rider, 403), (driver, 403), ({}, 401)):
        body = ZONE if method == "POST" else None
        assert (await api.request(method, path, headers=headers, json=body)).status_code == status


async def test_a_wrong_zone_is_refused_by_name(api: httpx.AsyncClient, ops: Headers) -> None:
    answer = await api.post("/v1/zones", json={"type": "Lake"}, headers=ops)
    assert answer.status_code == 422
    assert answer.json()["code"] == "bad_zone"
    assert answer.json()["errors"] == [{"field": "type", "detail": "must be Feature"}]
    assert (await api.post("/v1/zones", json=[ZONE], headers=ops)).status_code == 422
