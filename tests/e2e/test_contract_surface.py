"""The contract beside the ride itself: accounts, sessions, the map, what is published, metrics and logs."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
import shapely
from jsonschema import Draft202012Validator

from core.geo import LatLng, haversine_m
from tests.e2e.apps import Outside, phone, until
from tests.e2e.conftest import Places
from tests.e2e.rides import ride

pytestmark = pytest.mark.slow


async def test_drivers_who_are_not_approved_do_not_work(outside: Outside) -> None:
    vehicle = {"plate": "NEW 1", "class": "standard", "seats": 4}
    async with outside.api(None) as api:
        made = await api.post("/v1/drivers", json={"name": "Cy", "phone": phone(), "vehicle": vehicle})
    assert made.json()["status"] == "pending"
    driver_id = made.json()["driver_id"]
    async with outside.driver(driver_id) as driver, outside.api() as ops:
        await driver.say("status", online=True)
        assert (await driver.hear("error", about="status"))["code"] == "not_approved"
        approved = await ops.patch(f"/v1/drivers/{driver_id}", json={"status": "approved"})
        assert approved.json()["status"] == "approved"
        await driver.say("status", online=True)
        await driver.say("status", online=False)
        await driver.ping(LatLng(57.7, 11.97))
        await driver.acked(driver.seq)
        assert len(driver.all("error")) == 1


async def test_a_phone_and_its_code_are_a_session(outside: Outside) -> None:
    number = phone()
    async with outside.api(None) as api:
        rider_id = (await api.post("/v1/riders", json={"name": "Dee", "phone": number})).json()["rider_id"]
        assert (await api.post("/v1/sessions", json={"phone": number, "role": "rider"})).status_code == 202

        async def code() -> str | None:
            sent = [line for line in outside.engine.log.read_text().splitlines() if f'"{number}"' in line]
            return str(json.loads(sent[-1])["code"]) if sent else None

        right = await until(code, "the code in the log")
        wrong = f"{(int(right) + 1) % 1_000_000:06d}"
        refused = await api.post("/v1/sessions/verify", json={"phone": number, "code": wrong})
        assert refused.status_code == 401
        signed_in = (await api.post("/v1/sessions/verify", json={"phone": number, "code": right})).json()
        assert (signed_in["scope"], signed_in["id"]) == ("rider", rider_id)
        mine = {"Authorization": f"Bearer {signed_in['access_token']}"}
        assert (await api.get(f"/v1/riders/{rider_id}", headers=mine)).json()["phone"] == number


async def test_operators_see_the_city_in_one_binary_frame(outside: Outside, places: Places) -> None:
    driver_id = await outside.new_driver()
    async with outside.driver(driver_id, places.cabs[0]), outside.ops() as ops:
        hello = await ops.hear("hello")
        assert (hello["city"], hello["row_bytes"]) == ("gothenburg", 6)
        assert (await ops.hear("kpis"))["drivers_online"] == 1
        assert sum((await ops.hear("segments"))["supply"].values()) == 1
        frame = await ops.hear_frame()
        assert len(frame) == 6
        assert dict(zip(range(256), hello["statuses"], strict=False))[frame[5]] == "idle"


async def test_the_map_answers(outside: Outside, places: Places) -> None:
    pickup, dropoff = places.pickup, places.dropoff
    driver_id = await outside.new_driver()
    async with outside.driver(driver_id, places.cabs[0]) as driver, outside.api() as api:
        away = {"from": f"{pickup.lat},{pickup.lng}", "to": f"{dropoff.lat},{dropoff.lng}"}
        eta = (await api.get("/v1/eta", params=away)).json()
        assert eta["duration_s"] > 30
        assert eta["distance_m"] > haversine_m(pickup, dropoff)
        told = (await api.get("/v1/routes", params=away | {"manoeuvres": "true"})).json()
        assert told["duration_s"] == pytest.approx(eta["duration_s"], rel=0.1)
        assert told["manoeuvres"][-1]["at"] == len(told["geometry"]["coordinates"]) - 1
        minutes = eta["duration_s"] / 60 + 2
        reached = await api.get("/v1/isochrone", params={"lat": pickup.lat, "lng": pickup.lng, "minutes": minutes})
        area = shapely.from_geojson(json.dumps(reached.json()["geometry"]))
        assert area.contains(shapely.Point(dropoff.lng, dropoff.lat))
        where = (await api.get("/v1/segments/locate", params={"lat": pickup.lat, "lng": pickup.lng})).json()
        assert (where["resolution"], len(where["neighbours"])) == (8, 6)
        box = f"{pickup.lng - 0.05},{pickup.lat - 0.05},{pickup.lng + 0.05},{pickup.lat + 0.05}"
        drawn = (await api.get("/v1/segments", params={"bbox": box})).json()["features"]
        assert where["segment"] in [each["properties"]["segment"] for each in drawn]
        assert sum(each["properties"]["supply"] for each in drawn) == 1
        span = {"from": _utc(driver.ts / 1000 - 3600), "to": _utc(driver.ts / 1000 + 3600)}

        async def kept() -> Any:
            return (await api.get(f"/v1/drivers/{driver_id}/track", params=span)).json()["items"]

        first = (await until(kept, "the track"))[0]
        assert haversine_m(LatLng(first["lat"], first["lng"]), places.cabs[0]) < 1
        roads = (await api.get("/v1/map/roads")).json()
        assert roads
        assert "hexcab" in (await api.get("/")).text


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat()


async def test_an_app_learns_what_it_needs_without_a_token(outside: Outside) -> None:
    async with outside.api(None) as api:
        config = (await api.get("/v1/config")).json()
        assert config["gateway_url"] == f"{outside.engine.gateway_url}/v1/driver/ws"
        limits = {"ping_interval_s": 5, "min_ping_gap_s": 0.5, "driver_stale_s": 30, "max_ping_future_s": 30}
        limits |= {"max_ping_speed_mps": 70, "offer_s": 12, "request_s": 120, "ticket_s": 30}
        assert {name: config["limits"][name] for name in limits} == limits
        schema = (await api.get("/v1/messages.json")).json()
        for side in ("driver_to_server", "server_to_driver", "rider_to_server", "server_to_rider", "server_to_ops"):
            Draft202012Validator.check_schema({**schema[side], "$defs": schema["$defs"]})
        openapi = (await api.get("/openapi.json")).json()
        assert openapi["openapi"].startswith("3.")
        promised = {"/v1/quotes", "/v1/ride-requests", "/v1/trips/{trip_id}", "/v1/cabs", "/v1/config", "/healthz"}
        assert promised <= set(openapi["paths"])
        assert (await api.get("/docs")).status_code == 200
        assert (await api.get("/healthz")).json() == {"status": "ok"}
        ready = await api.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert set(ready.json()["checks"]) == {"sql", "archive", "redis"}
        problem = await api.get("/v1/trips/trip_1")
        assert (problem.status_code, problem.headers["content-type"]) == (401, "application/problem+json")
        assert set(problem.json()) == {"type", "title", "status", "detail", "code", "errors"}


async def test_metrics_and_logs_follow_a_ride(outside: Outside, places: Places) -> None:
    rider_id, driver_id = await outside.new_rider(), await outside.new_driver()
    found = await outside.metric("hexcab_searches_total", outcome="found")
    matched = await outside.metric("hexcab_match_seconds_count")
    async with outside.driver(driver_id, places.cabs[0]) as driver:
        headers = {**outside.headers("rider", rider_id), "X-Request-Id": "from-the-test"}
        body = {"rider_id": rider_id, "pickup": places.pickup._asdict(), "dropoff": places.dropoff._asdict()}
        async with outside.api(None) as api:
            booked = await api.post("/v1/ride-requests", json=body, headers=headers)
            assert booked.headers["x-request-id"] == "from-the-test"
        offer = await driver.hear("offer")
        await driver.say("accept", offer_id=offer["offer_id"])
        trip = await driver.hear("trip", status="assigned")
        await ride(outside, driver, trip)
    async with outside.api(None) as api:
        names = {line.split(" ")[2] for line in (await api.get("/metrics")).text.splitlines() if line[:6] == "# TYPE"}
    assert names >= {
        *("hexcab_http_seconds", "hexcab_events_total", "hexcab_searches_total", "hexcab_match_seconds"),
        *("hexcab_pings", "hexcab_driver_connections", "hexcab_web_sockets", "hexcab_rss_bytes"),
        *("hexcab_outbox_waiting", "hexcab_outbox_age_seconds", "hexcab_outbox_dead"),
    }
    assert await outside.metric("hexcab_searches_total", outcome="found") == found + 1
    assert await outside.metric("hexcab_match_seconds_count") == matched + 1
    assert await outside.metric("hexcab_events_total", type="TripCompleted") > 0
    assert await outside.metric("hexcab_http_seconds_count", route="/v1/ride-requests", status="201") > 0

    async def logged() -> bool:
        lines = [json.loads(line) for line in outside.engine.log.read_text().splitlines() if line.startswith("{")]
        assert all({"at", "level", "logger", "message"} <= set(line) for line in lines)
        access = [line for line in lines if line.get("http_request_id") == "from-the-test"]
        of_ride = [line for line in lines if line.get("request_id") == trip["request_id"]]
        of_trip = [line for line in lines if line.get("trip_id") == trip["trip_id"]]
        return bool(access and of_ride and of_trip)

    await until(logged, "log lines with the request's and the trip's ids")
    assert driver_id not in (await _metrics_text(outside)), "no personal data"


async def _metrics_text(outside: Outside) -> str:
    async with outside.api(None) as api:
        return (await api.get("/metrics")).text
