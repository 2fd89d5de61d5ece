"""Closures over HTTP: for operators alone."""

from __future__ import annotations

import httpx
import pytest

from tests.web.fakes import Fakes

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


async def test_a_matrix_has_a_row_for_each_source_and_says_its_limits(api: httpx.AsyncClient, rider: Headers) -> None:
    place = {"lat": 57.7, "lng": 11.97}
    found = await api.post("/v1/eta/matrix", json={"sources": [place] * 2, "targets": [place] * 3}, headers=rider)
    assert found.json()["durations_s"] == [[120.0] * 3] * 2
    for sources, targets, field in ((501, 1, "sources"), (1, 501, "targets"), (101, 100, "sources")):
        ask = {"sources": [place] * sources, "targets": [place] * targets}
        refused = await api.post("/v1/eta/matrix", json=ask, headers=rider)
        assert refused.json()["code"] in ("too_many_places", "body_too_large")
        if refused.json()["code"] == "too_many_places":
            assert refused.json()["errors"][0]["field"] == field
    for bad in ({"sources": [], "targets": [place]}, {"sources": [{"lat": 99, "lng": 0}], "targets": [place]}, {}):
        assert (await api.post("/v1/eta/matrix", json=bad, headers=rider)).status_code == 422
    assert (await api.post("/v1/eta/matrix", json={"sources": [place], "targets": [place]})).status_code == 401


async def test_a_route_has_its_line_and_its_streets(api: httpx.AsyncClient, rider: Headers) -> None:
    found = await api.get("/v1/routes", params={"from": "57.70,11.97", "to": "57.71,11.98"}, headers=rider)
    assert found.json()["geometry"]["type"] == "LineString"
    assert found.json()["steps"][0]["name"] == "Avenyn"
    nowhere = await api.get("/v1/routes", params={"from": "57.70,11.97", "to": "89.5,11.98"}, headers=rider)
    assert (nowhere.status_code, nowhere.json()["code"]) == (422, "no_route")


async def test_a_route_tells_what_to_do_when_asked(api: httpx.AsyncClient, rider: Headers, fakes: Fakes) -> None:
    ends = {"from": "57.70,11.97", "to": "57.71,11.98"}
    assert (await api.get("/v1/routes", params=ends, headers=rider)).json()["manoeuvres"] == []
    told = await api.get("/v1/routes", params=ends | {"manoeuvres": "true"}, headers=rider)
    assert told.json()["manoeuvres"][0]["instruction"] == "Turn left."
    fakes.city.slow = True
    late = await api.get("/v1/routes", params=ends | {"manoeuvres": "true"}, headers=rider)
    assert (late.status_code, late.json()["code"]) == (504, "routes_late")


async def test_an_isochrone_is_a_feature_and_has_a_limit(api: httpx.AsyncClient, rider: Headers) -> None:
    ask = {"lat": 57.7, "lng": 11.97, "minutes": 7.5}
    found = (await api.get("/v1/isochrone", params=ask, headers=rider)).json()
    assert (found["type"], found["properties"]) == ("Feature", {"minutes": 7.5})
    assert found["geometry"]["type"] == "MultiPolygon"
    refused = await api.get("/v1/isochrone", params=ask | {"minutes": 61}, headers=rider)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "minutes")
    for bad in ({"minutes": 0}, {"minutes": "nan"}, {"lat": 95}, {"lng": "x"}):
        assert (await api.get("/v1/isochrone", params=ask | bad, headers=rider)).status_code == 422
    assert (await api.get("/v1/isochrone", params=ask)).status_code == 401
