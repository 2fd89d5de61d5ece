"""Bad input as the contract promises it: each gets its error, and nothing that was acknowledged is harmed by it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from core.geo import LatLng
from runtime.auth import Tokens
from tests.e2e.apps import Message, Outside, until
from tests.e2e.conftest import Places
from tests.e2e.rides import take

pytestmark = pytest.mark.slow

NOT_JSON = ['{"lat":', "", "[1,2", "nul", '{"a":1}}', "\u0000", "{'a': 1}", "[" * 50_000]


def problem(answer: Any, status: int, code: str) -> Message:
    """The body of an answer that must be this problem."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: Message = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "code", "errors"}
    assert body["detail"]
    return body


@pytest.mark.parametrize("text", [*NOT_JSON[:1], *NOT_JSON[2:], '{"lat": NaN}', '{"lat": 1e999}', '{"a": Infinity}'])
async def test_a_body_that_is_not_json_is_400(outside: Outside, text: str) -> None:
    async with outside.api("rider", "rdr_1") as api:
        answer = await api.post("/v1/quotes", content=text, headers={"Content-Type": "application/json"})
        problem(answer, 400, "invalid_json")


@pytest.mark.parametrize(
    ("pickup", "field"),
    [
        ({"lat": 91, "lng": 11.97}, "pickup.lat"),
        ({"lat": 57.7, "lng": -180.5}, "pickup.lng"),
        ({"lat": "57.7", "lng": 11.97}, "pickup.lat"),
        ({"lat": None, "lng": 11.97}, "pickup.lat"),
        ({"lat": True, "lng": 11.97}, "pickup.lat"),
        ({"lng": 11.97}, "pickup.lat"),
        ([57.7, 11.97], "pickup"),
        ({"lat": 57.7, "lng": 11.97, "alt": 3}, "pickup.alt"),
    ],
)
async def test_a_place_that_is_none_is_named(outside: Outside, places: Places, pickup: Any, field: str) -> None:
    ends = {"pickup": pickup, "dropoff": places.dropoff._asdict()}
    async with outside.api("rider", "rdr_1") as api:
        for path, body in (("/v1/quotes", ends), ("/v1/ride-requests", {**ends, "rider_id": "rdr_1"})):
            told = problem(await api.post(path, json=body), 422, "invalid_input")
            assert [error["field"] for error in told["errors"]] == [field]


async def test_places_off_the_map_are_told_apart(outside: Outside, places: Places) -> None:
    async with outside.api("rider", "rdr_1") as api:

        async def quoted(pickup: LatLng) -> Any:
            return await api.post("/v1/quotes", json={"pickup": pickup._asdict(), "dropoff": places.dropoff._asdict()})

        problem(await quoted(LatLng(59.33, 18.06)), 422, "outside_city")
        south, west, north, east = (await api.get("/v1/config")).json()["bounds"]
        rng = random.Random(3)
        codes = set()
        for _ in range(60):
            answer = await quoted(LatLng(rng.uniform(south, north), rng.uniform(west, east)))
            codes.add("none" if answer.status_code == 201 else answer.json()["code"])
        assert codes <= {"none", "outside_city", "not_on_road"}
        assert {"none", "not_on_road"} <= codes
        for query in ("lat=nan&lng=11.97", "lat=91&lng=11.97", "lat=57.7", "lat=57.7&lng=11.97&limit=0"):
            problem(await api.get(f"/v1/cabs?{query}"), 422, "invalid_input")
        problem(await api.get("/v1/eta?from=1,2,3&to=57.7,11.97"), 422, "invalid_input")
        assert (await api.get("/v1/eta?from=inf,2&to=57.7,11.97")).status_code == 422
        problem(await api.get("/v1/segments?bbox=-180,-90,180,90"), 422, "invalid_input")


async def test_what_is_unknown_or_someone_elses_is_404(outside: Outside, places: Places) -> None:
    rider_id, other_id, driver_id = await outside.new_rider(), await outside.new_rider(), await outside.new_driver()
    booked = await outside.book(rider_id, places.pickup, places.dropoff)
    mine = f"/v1/ride-requests/{booked['request_id']}"
    ends = {"pickup": places.pickup._asdict(), "dropoff": places.dropoff._asdict()}
    async with outside.api("rider", other_id) as stranger, outside.api() as ops:
        for path in (mine, f"/v1/riders/{rider_id}", f"/v1/riders/{rider_id}/trips", "/v1/trips/trip_nothing"):
            problem(await stranger.get(path), 404, "not_found")
        problem(await stranger.post(f"{mine}/cancel"), 404, "not_found")
        problem(await stranger.post("/v1/ride-requests", json={**ends, "rider_id": rider_id}), 404, "not_found")
        unknown = {**ends, "rider_id": other_id, "quote_id": "quo_nothing"}
        problem(await stranger.post("/v1/ride-requests", json=unknown), 404, "not_found")
        problem(await ops.post("/v1/ride-requests", json={**ends, "rider_id": "rdr_nobody"}), 404, "not_found")
        for path in ("/v1/drivers/drv_x", "/v1/riders/rdr_x", "/v1/ride-requests/req_x", "/v1/trips/trip_x/trail"):
            problem(await ops.get(path), 404, "not_found")
        problem(await ops.get("/v1/nothing/here"), 404, "not_found")
        problem(await ops.put("/v1/quotes"), 405, "method_not_allowed")
        assert (await ops.get(mine)).json()["status"] in ("searching", "offered")
    async with outside.api("rider", rider_id) as api:
        problem(await api.get(f"/v1/riders/{rider_id}/trips?cursor=%00bad"), 422, "bad_cursor")
        problem(await api.get(f"/v1/drivers/{driver_id}"), 403, "forbidden")
        problem(await api.get(f"/v1/drivers/{driver_id}/track"), 403, "forbidden")
        assert (await api.post(f"{mine}/cancel")).status_code == 200


async def test_tokens_of_others_open_nothing(outside: Outside) -> None:
    rider_id, driver_id = await outside.new_rider(), await outside.new_driver()
    good = outside.token("rider", rider_id)
    forged = Tokens(b"x" * 32).sign("ops", "ops", 3600)
    head, claims, signature = good.split(".")
    bad = {
        "bad_token": [forged, "nonsense", f"{head}.{claims}.", f"{head}.{claims[:-2]}.{signature}"],
        "token_expired": [Tokens((outside.engine.data_dir / "server.key").read_bytes()).sign("ops", "ops", -10)],
    }
    async with outside.api(None) as api:
        problem(await api.get(f"/v1/riders/{rider_id}"), 401, "unauthorized")
        problem(await api.get(f"/v1/riders/{rider_id}", headers={"Authorization": good}), 401, "bad_token")
        for code, tokens in bad.items():
            for token in tokens:
                headers = {"Authorization": f"Bearer {token}"}
                answer = await api.get(f"/v1/riders/{rider_id}", headers=headers)
                problem(answer, 401, code)
                assert answer.headers["www-authenticate"] == "Bearer"
                for url in (outside.engine.url.replace("http", "ws") + "/v1/rider/ws", _gateway(outside)):
                    assert await refused(url, headers) == (401, code)
    wrong = outside.headers("rider", rider_id)
    assert await refused(_gateway(outside), wrong) == (403, "forbidden")
    assert await refused(f"{outside.engine.url.replace('http', 'ws')}/v1/ops/ws", wrong) == (403, "forbidden")
    assert await refused(_gateway(outside), {}) == (401, "unauthorized")
    assert await refused(f"{outside.engine.gateway_url}/v1/other", outside.headers("driver", driver_id)) == (
        404,
        "not_found",
    )


def _gateway(outside: Outside) -> str:
    return f"{outside.engine.gateway_url}/v1/driver/ws"


async def refused(url: str, headers: dict[str, str]) -> tuple[int, str]:
    """The status and code with which a socket is refused."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, additional_headers=headers):
            pass
    response = caught.value.response
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, json.loads(response.body or b"")["code"]


async def test_bodies_are_bounded_and_of_one_kind(outside: Outside) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 8_192

    async with outside.api("rider", "rdr_1") as api:
        limit = (await api.get("/v1/config")).json()["limits"]["max_body_bytes"]
        json_type = {"Content-Type": "application/json"}
        problem(await api.post("/v1/quotes", content=b" " * (limit + 1), headers=json_type), 413, "body_too_large")
        problem(await api.post("/v1/quotes", content=endless(), headers=json_type), 413, "body_too_large")
        form = await api.post("/v1/quotes", data={"pickup": "here"})
        problem(form, 415, "unsupported_media_type")
        key = {"Idempotency-Key": "x" * 256}
        problem(await api.post("/v1/quotes", json={}, headers=key), 400, "invalid_idempotency_key")


async def test_a_drivers_nonsense_is_answered_and_the_connection_stays(outside: Outside, places: Places) -> None:
    driver_id = await outside.new_driver()
    async with outside.driver(driver_id, places.cabs[0]) as driver:
        for text in ('{"type":', "", "[1,2]", '"ping"', "{}"):
            await driver.blurt(text)
            assert (await driver.hear("error"))["code"] in ("malformed", "bad_message")
        for broken, code in (
            ({"lat": 91}, "invalid_input"),
            ({"lng": 181}, "invalid_input"),
            ({"lat": "57"}, "invalid_input"),
            ({"seq": -1}, "invalid_input"),
            ({"ts": 1.5}, "invalid_input"),
            ({"type": "teleport"}, "unknown_type"),
        ):
            message = {"type": "ping", **driver.position(places.cabs[0]), **broken}
            await driver.blurt(json.dumps(message))
            assert (await driver.hear("error"))["code"] == code
        nan = {"type": "ping", **driver.position(places.cabs[0]), "lat": float("nan")}
        await driver.blurt(json.dumps(nan))
        told = await driver.hear("error")
        assert (told["code"], told.get("seq")) == ("invalid_input", driver.seq) or told["code"] == "malformed"
        for command in (
            {"type": "accept", "offer_id": "off_unknown"},
            {"type": "decline", "offer_id": "off_unknown"},
            {"type": "arrive", "trip_id": "trip_unknown"},
            {"type": "board", "trip_id": "trip_unknown", "start_code": "1234"},
            {"type": "complete", "trip_id": "trip_unknown"},
            {"type": "cancel", "trip_id": "trip_unknown"},
        ):
            await driver.say(**_typed(command))
            assert (await driver.hear("error", about=command["type"]))["code"] == "not_found"
        await driver.ping(places.cabs[0])
        await driver.acked(driver.seq)


def _typed(command: Message) -> Message:
    return {"type_": command["type"], **{name: value for name, value in command.items() if name != "type"}}


async def test_drivers_cannot_touch_the_offers_and_trips_of_others(outside: Outside, places: Places) -> None:
    rider_id = await outside.new_rider("premium")
    ids = [await outside.new_driver() for _ in range(2)]
    async with outside.driver(ids[0], places.cabs[0]) as mine, outside.driver(ids[1], places.cabs[1]) as other:
        booked = await outside.book(rider_id, places.pickup, places.dropoff)
        offer = await mine.hear("offer", request_id=booked["request_id"])
        await other.say("accept", offer_id=offer["offer_id"])
        assert (await other.hear("error", about="accept"))["code"] == "not_found"
        await mine.say("accept", offer_id=offer["offer_id"])
        trip = await mine.hear("trip", status="assigned")
        await other.say("arrive", trip_id=trip["trip_id"])
        assert (await other.hear("error", about="arrive"))["code"] == "not_found"
        await mine.say("complete", trip_id=trip["trip_id"])
        assert (await mine.hear("error", about="complete"))["code"] == "wrong_status"
        async with outside.api("driver", ids[1]) as api:
            problem(await api.get(f"/v1/trips/{trip['trip_id']}"), 404, "not_found")
            problem(await api.post(f"/v1/trips/{trip['trip_id']}/cancel"), 404, "not_found")
        await mine.say("cancel", trip_id=trip["trip_id"])
        await mine.hear("trip", status="cancelled")


async def test_who_sends_nothing_but_nonsense_is_closed(outside: Outside) -> None:
    driver_id, rider_id = await outside.new_driver(), await outside.new_rider()
    async with outside.driver(driver_id) as driver, outside.rider(rider_id) as rider:
        for app in (driver, rider):
            for _ in range(25):
                await app.blurt("{")
            assert await app.closed() == 1008
            assert len(app.all("error")) >= 20


async def test_oversized_frames_close_the_socket(outside: Outside) -> None:
    async with outside.api(None) as api:
        limits = (await api.get("/v1/config")).json()["limits"]
    async with outside.driver(await outside.new_driver()) as driver:
        await driver.blurt(" " * (limits["max_frame_bytes"] + 1))
        assert await driver.closed() == 1009
    async with outside.rider(await outside.new_rider()) as rider:
        await rider.hear("welcome")
        await rider.blurt(" " * (limits["max_body_bytes"] + 1))
        assert await rider.closed() == 1009
    async with outside.driver(await outside.new_driver()) as driver:
        items = [driver.position(LatLng(57.7, 11.97)) for _ in range(1_001)]
        await driver.blurt(json.dumps({"type": "pings", "items": items[:400]}))
        await driver.acked(400)


async def test_a_riders_nonsense_is_answered_and_the_connection_stays(outside: Outside, places: Places) -> None:
    rider_id, other_id = await outside.new_rider(), await outside.new_rider()
    booked = await outside.book(other_id, places.pickup, places.dropoff)
    ends = {"pickup": places.pickup._asdict(), "dropoff": places.dropoff._asdict()}
    async with outside.rider(rider_id) as rider:
        for text, code in (
            ('{"type":', "malformed"),
            ('{"type":"watch","lat":NaN,"lng":11.97}', "malformed"),
            ('{"type":"watch","lat":91,"lng":11.97}', "invalid_input"),
            ('{"type":"book","pickup":{"lat":57.7},"dropoff":{}}', "invalid_input"),
            ('{"type":"dance"}', "unknown_type"),
        ):
            await rider.blurt(text)
            assert (await rider.hear("error"))["code"] == code
        await rider.say("book", **{**ends, "pickup": {"lat": 59.33, "lng": 18.06}})
        assert (await rider.hear("error", about="book"))["code"] == "outside_city"
        await rider.say("book", **ends, rider_id=other_id)
        assert (await rider.hear("error", about="book"))["code"] == "not_found"
        for request_id in (booked["request_id"], "req_unknown"):
            await rider.say("cancel", request_id=request_id)
            assert (await rider.hear("error", about="cancel"))["code"] == "not_found"
        await rider.say("watch", lat=places.pickup.lat, lng=places.pickup.lng)
        await rider.hear("cabs")
    async with outside.api("rider", other_id) as api:
        assert (await api.post(f"/v1/ride-requests/{booked['request_id']}/cancel")).json()["status"] == "cancelled"


async def test_pings_that_are_not_used_are_counted_by_reason(outside: Outside, places: Places) -> None:
    here = places.cabs[0]
    async with outside.driver(await outside.new_driver(), here) as driver:
        now_ms = await outside.engine_ms()
        driver.ts = now_ms
        before = {reason: await outside.metric("hexcab_pings", outcome=reason) for reason in _REASONS}
        await driver.ping(here)
        last_ms = driver.ts
        for reason, (ts, at) in {
            "future": (now_ms + 120_000, here),
            "out_of_order": (last_ms - 30_000, here),
            "too_soon": (last_ms + 100, here),
            "outside": (last_ms + 5_000, LatLng(0.0, 0.0)),
            "too_fast": (last_ms + 1_000, places.dropoff),
        }.items():
            driver.ts = ts
            assert reason in _REASONS
            await driver.ping(at, after_s=0)
        await driver.say("ping", **{**driver.position(here, 0), "seq": 1, "ts": last_ms})  # as after a reconnection
        driver.seq -= 1
        driver.ts = last_ms
        await driver.ping(here)
        await driver.acked(driver.seq)

        async def counted() -> bool:
            after = {reason: await outside.metric("hexcab_pings", outcome=reason) for reason in _REASONS}
            more = {reason: after[reason] - before[reason] for reason in _REASONS}
            return more.pop("accepted") >= 2 and set(more.values()) == {1}  # the first may have been counted late

        await until(counted, "one more ping of each outcome in /metrics")
        assert not driver.all("error")


_REASONS = ("accepted", "future", "duplicate", "out_of_order", "too_soon", "outside", "too_fast")


async def test_of_many_connections_of_one_driver_one_stays(outside: Outside, places: Places) -> None:
    rider_id, driver_id = await outside.new_rider(), await outside.new_driver()
    headers = outside.headers("driver", driver_id)
    sockets = await asyncio.gather(*(connect(_gateway(outside), additional_headers=headers) for _ in range(6)))
    try:

        async def replaced() -> bool:
            return sum(socket.close_code == 4001 for socket in sockets) == 5

        listening = [asyncio.create_task(_drained(socket)) for socket in sockets]
        await until(replaced, "the end of all but one")
        (stays,) = [socket for socket in sockets if socket.close_code is None]
        await stays.ping()
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets))
        await asyncio.gather(*listening)
    async with outside.driver(driver_id, places.cabs[0]) as driver:
        trip = await take(outside, driver, rider_id, places)
        await driver.say("cancel", trip_id=trip["trip_id"])
        await driver.hear("trip", status="cancelled")


async def _drained(socket: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for _ in socket:
            pass


async def test_a_driver_who_hangs_up_is_offered_nothing(outside: Outside, places: Places) -> None:
    rider_id, driver_id = await outside.new_rider(), await outside.new_driver()
    async with outside.driver(driver_id, places.cabs[0]):
        pass
    booked = await outside.book(rider_id, places.pickup, places.dropoff)
    async with outside.api("rider", rider_id) as api:
        await asyncio.sleep(0.5)
        assert (await api.get(f"/v1/ride-requests/{booked['request_id']}")).json()["status"] == "searching"
        await api.post(f"/v1/ride-requests/{booked['request_id']}/cancel")
