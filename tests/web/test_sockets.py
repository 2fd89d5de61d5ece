"""The rider's and the operator's sockets, through a real server on a free port."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import uvicorn
import websockets
from jsonschema import Draft202012Validator
from websockets.asyncio.client import ClientConnection, connect

from core.errors import InvalidInput
from core.geo import LatLng
from location.messages import schemas as driver_schemas
from runtime.clocks import ScaledClock
from tests.web.fakes import Fakes, trip_body
from web.frames import ROW
from web.mercator import MercatorBox
from web.messages import all_schemas
from web.ports import Position
from web.server import create_app, server_options

BOOK = {"type": "book", "pickup": {"lat": 57.7, "lng": 11.9}, "dropoff": {"lat": 57.71, "lng": 11.98}}
Message = dict[str, Any]


@asynccontextmanager
async def served(fakes: Fakes) -> AsyncIterator[str]:
    listener = sockets.socket()
    listener.bind(("127.0.0.1", 0))
    app = create_app(fakes.engine(), fakes.settings)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", **server_options(fakes.settings)))
    running = asyncio.create_task(server.serve([listener]))
    await until(lambda: server.started)
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        fakes.hub.close()
        await running
        listener.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


def quick(**web: Any) -> Fakes:
    """Fakes whose sockets speak often, on a clock that runs fast."""
    return Fakes(clock=ScaledClock(50.0), **{"cabs_every_s": 0.02, "ops_every_s": 0.02, "trip_gap_s": 0.02, **web})


def rider_at(base: str, fakes: Fakes, rider_id: str = "rdr_1", **more: Any) -> connect:
    return connect(f"{base}/v1/rider/ws", additional_headers=fakes.bearer("rider", rider_id), **more)


def valid(side: str, message: Message) -> Message:
    schema = all_schemas(driver_schemas())
    Draft202012Validator({**schema[side], "$defs": schema["$defs"]}).validate(message)
    return message


async def heard(client: ClientConnection, kind: str | None = None) -> Message:
    """The next message, or the next of a kind, checked against the schema."""
    async with asyncio.timeout(5):
        while True:
            message = valid("server_to_rider", json.loads(await client.recv()))
            if kind in (None, message["type"]):
                return message


async def refused(url: str, **more: Any) -> tuple[int, Message]:
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with connect(url, **more):
            pass
    response = caught.value.response
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, json.loads(response.body or b"")


async def test_a_rider_is_welcomed_with_what_is_going_on() -> None:
    fakes = quick()
    async with served(fakes) as base:
        async with rider_at(base, fakes) as client:
            welcome = await heard(client)
            assert welcome == {"type": "welcome", "rider_id": "rdr_1", "request": None, "trip": None}
            await client.send(json.dumps(BOOK))
            request = await heard(client, "request")
        fakes.trips.trips["trip_1"] = trip_body()
        async with rider_at(base, fakes) as client:
            welcome = await heard(client)
            assert welcome["request"]["request_id"] == request["request_id"]
            assert welcome["trip"]["start_code"] == "1234"


@pytest.mark.parametrize("status", ["no_driver", "expired", "cancelled"])
async def test_a_search_that_ended_while_the_rider_was_away_is_in_the_welcome(status: str) -> None:
    fakes = quick(recent_request_s=77.0)
    async with served(fakes) as base:
        async with rider_at(base, fakes) as client:
            await client.send(json.dumps(BOOK))
            request = await heard(client, "request")
        fakes.rides.requests[request["request_id"]]["status"] = status
        async with rider_at(base, fakes) as client:
            welcome = await heard(client)
    assert (welcome["request"]["request_id"], welcome["request"]["status"]) == (request["request_id"], status)
    assert fakes.rides.recent_s == 77.0


async def test_a_matched_request_is_in_the_welcome_beside_its_trip_and_not_after_it() -> None:
    fakes = quick()
    async with served(fakes) as base:
        async with rider_at(base, fakes) as client:
            await client.send(json.dumps(BOOK))
            request_id = (await heard(client, "request"))["request_id"]
        fakes.rides.requests[request_id] |= {"status": "assigned", "trip_id": "trip_1"}
        fakes.trips.trips["trip_1"] = trip_body()
        async with rider_at(base, fakes) as client:
            welcome = await heard(client)
            assert (welcome["request"]["trip_id"], welcome["trip"]["trip_id"]) == ("trip_1", "trip_1")
        fakes.trips.trips["trip_1"]["status"] = "completed"
        async with rider_at(base, fakes) as client:
            welcome = await heard(client)
            assert (welcome["request"], welcome["trip"]) == (None, None)


async def test_a_rider_watches_cabs_books_and_cancels() -> None:
    fakes = quick()
    async with served(fakes) as base, rider_at(base, fakes) as client:
        await client.send(json.dumps({"type": "watch", "lat": 57.7, "lng": 11.9}))
        assert len([(await heard(client, "cabs"))["items"] for _ in range(3)][-1]) == 3
        await client.send(json.dumps(BOOK))
        request = await heard(client, "request")
        assert request["status"] == "searching"
        await client.send(json.dumps({"type": "cancel", "request_id": request["request_id"]}))
        assert (await heard(client, "request"))["status"] == "cancelled"


async def test_booking_twice_with_a_key_is_one_request() -> None:
    fakes = quick()
    async with served(fakes) as base, rider_at(base, fakes) as client:
        for _ in range(2):
            await client.send(json.dumps({**BOOK, "idempotency_key": "tap-1"}))
        first, second = await heard(client, "request"), await heard(client, "request")
        assert first["request_id"] == second["request_id"]
        assert len(fakes.rides.asks) == 1


async def test_a_riders_key_is_one_request_over_socket_and_http_and_not_an_operators() -> None:
    fakes = quick()
    ride = {key: place for key, place in BOOK.items() if key != "type"} | {"rider_id": "rdr_1"}
    async with served(fakes) as base, rider_at(base, fakes) as client:
        await client.send(json.dumps({**BOOK, "idempotency_key": "tap-1"}))
        booked = await heard(client, "request")
        async with httpx.AsyncClient(base_url=base.replace("ws", "http", 1)) as http:
            keyed = {"Idempotency-Key": "tap-1"}
            mine = await http.post("/v1/ride-requests", json=ride, headers=fakes.bearer("rider", "rdr_1") | keyed)
            assert (mine.status_code, mine.json()["request_id"]) == (201, booked["request_id"])
            await client.send(json.dumps({"type": "cancel", "request_id": booked["request_id"]}))
            assert (await heard(client, "request"))["status"] == "cancelled"
            theirs = await http.post("/v1/ride-requests", json=ride, headers=fakes.bearer("ops", "rdr_1") | keyed)
    assert (theirs.status_code, theirs.json()["status"]) == (201, "searching")
    assert theirs.json()["request_id"] != booked["request_id"]
    assert len(fakes.rides.asks) == 2


async def test_what_the_hub_tells_reaches_every_socket_of_the_rider_and_no_other() -> None:
    fakes = quick()
    async with (
        served(fakes) as base,
        rider_at(base, fakes) as one,
        rider_at(base, fakes) as two,
        rider_at(base, fakes, "rdr_2") as other,
    ):
        for client in (one, two, other):
            await heard(client, "welcome")
        told = {"type": "request", "request_id": "req_1", "rider_id": "rdr_1", "status": "offered", "trip_id": None}
        assert fakes.hub.tell("rdr_1", told)
        assert await heard(one) == await heard(two) == told
        assert not fakes.hub.tell("rdr_9", told)
        assert fakes.hub.tell("rdr_2", {**told, "rider_id": "rdr_2"})
        assert (await heard(other))["rider_id"] == "rdr_2"


async def test_a_trip_is_followed_with_position_and_eta_until_it_ends() -> None:
    fakes = quick()
    fakes.cabs.positions["drv_1"] = Position(LatLng(57.7, 11.9), 45.0, 1.0)
    async with served(fakes) as base, rider_at(base, fakes) as client:
        await heard(client, "welcome")
        fakes.hub.tell("rdr_1", {"type": "trip", **trip_body()})
        assert "driver_position" not in await heard(client, "trip")
        followed = await heard(client, "trip")
        assert followed["driver_position"] == {"lat": 57.7, "lng": 11.9, "heading": 45.0, "age_s": 1.0}
        assert (followed["eta_s"], followed["start_code"]) == (120.0, "1234")
        await heard(client, "trip")
        fakes.hub.tell("rdr_1", {"type": "trip", **trip_body("arrived")})
        while (message := await heard(client, "trip"))["status"] == "assigned" or "eta_s" not in message:
            pass
        assert message["eta_s"] == 0.0
        fakes.hub.tell("rdr_1", {"type": "trip", **trip_body("completed")})
        while (await heard(client, "trip"))["status"] != "completed":
            pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.recv()


async def test_the_late_fare_of_a_trip_does_not_end_the_following_of_the_next() -> None:
    fakes = quick()
    fakes.cabs.positions["drv_1"] = Position(LatLng(57.7, 11.9), 45.0, 1.0)
    async with served(fakes) as base, rider_at(base, fakes) as client:
        await heard(client, "welcome")
        fakes.hub.tell("rdr_1", {"type": "trip", **trip_body("assigned", "trip_2")})
        fakes.hub.tell("rdr_1", {"type": "trip", **trip_body("completed", "trip_1")})
        while (await heard(client, "trip"))["trip_id"] != "trip_1":
            pass
        for _ in range(3):
            followed = await heard(client, "trip")
            assert (followed["trip_id"], followed["eta_s"]) == ("trip_2", 120.0)


async def test_a_bad_message_gets_an_error_and_the_connection_stays() -> None:
    fakes = quick()
    bad: list[tuple[str | bytes, str]] = [
        ("{", "malformed"),
        ("[]", "invalid_input"),
        ('{"type":"fly"}', "unknown_type"),
        ('{"type":"watch","lat":NaN,"lng":1}', "malformed"),
        ('{"type":"watch","lat":91,"lng":1}', "invalid_input"),
        ('{"type":"watch","lat":10,"lng":10}', "not_on_road"),
        ('{"type":"book","pickup":{"lat":1}}', "invalid_input"),
        (json.dumps({**BOOK, "rider_id": "rdr_2"}), "not_found"),
        (json.dumps({**BOOK, "mode": "best"}), "forbidden"),
        ('{"type":"cancel","request_id":"req_9"}', "not_found"),
        (b"\xff\xfe", "malformed"),
    ]
    async with served(fakes) as base, rider_at(base, fakes) as client:
        for text, code in bad:
            await client.send(text)
            assert (await heard(client, "error"))["code"] == code, text
        fakes.rides.broken = True
        await client.send(json.dumps(BOOK))
        error = await heard(client, "error")
        assert (error["code"], "secret" in error["detail"]) == ("internal", False)
        fakes.rides.broken = False
        await client.send(json.dumps(BOOK))
        assert (await heard(client, "request"))["status"] == "searching"


async def test_a_booking_where_nobody_is_picked_up_is_told_where_else() -> None:
    fakes = quick()
    more = {"zone_id": "zon_1", "pickup_points": [{"lat": 57.7, "lng": 11.97, "name": "South gate"}]}

    async def request(_ask: Any) -> Any:
        raise InvalidInput("nobody is picked up in Square", code="no_pickup", more=more)

    fakes.rides.request = request  # type: ignore[method-assign]
    async with served(fakes) as base, rider_at(base, fakes) as client:
        await client.send(json.dumps(BOOK))
        error = await heard(client, "error")
    assert (error["code"], error["about"]) == ("no_pickup", "book")
    assert {name: error[name] for name in more} == more
    schema = all_schemas(driver_schemas())
    Draft202012Validator({**schema["server_to_rider"], "$defs": schema["$defs"]}).validate(error)


async def test_someone_elses_request_cannot_be_cancelled() -> None:
    fakes = quick()
    async with served(fakes) as base, rider_at(base, fakes) as one, rider_at(base, fakes, "rdr_2") as two:
        await one.send(json.dumps(BOOK))
        request_id = (await heard(one, "request"))["request_id"]
        await two.send(json.dumps({"type": "cancel", "request_id": request_id}))
        assert (await heard(two, "error"))["code"] == "not_found"
        assert fakes.rides.requests[request_id]["status"] == "searching"


async def test_repeated_abuse_closes_the_connection() -> None:
    fakes = quick(max_bad_messages=3)
    async with served(fakes) as base, rider_at(base, fakes) as client:
        for _ in range(10):
            await client.send("{")
        with pytest.raises(websockets.ConnectionClosed) as caught:
            while True:
                await heard(client)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1008


async def test_a_flood_is_refused() -> None:
    fakes = quick(flood_burst=5, max_frames_per_s=0.001, max_bad_messages=2)
    async with served(fakes) as base, rider_at(base, fakes) as client:
        for _ in range(10):
            await client.send('{"type":"watch","lat":57.7,"lng":11.9}')
        assert (await heard(client, "error"))["code"] == "too_many"
        with pytest.raises(websockets.ConnectionClosed):
            while True:
                await heard(client)


async def test_an_oversized_message_closes_the_connection() -> None:
    fakes = quick(max_body_bytes=1_000)
    for size in (1_500, 50_000):
        async with served(fakes) as base, rider_at(base, fakes) as client:
            await client.send(json.dumps({**BOOK, "quote_id": "x" * size}))
            with pytest.raises(websockets.ConnectionClosed) as caught:
                while True:
                    await heard(client)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1009


async def test_a_slow_reader_is_closed_and_nobody_waits_for_it() -> None:
    fakes = quick(socket_queue=8)
    big = {"type": "request", "request_id": "req_1", "rider_id": "rdr_1", "status": "offered", "trip_id": None}
    big["note"] = "x" * 100_000
    async with served(fakes) as base:
        client = await rider_at(base, fakes, max_queue=1)
        await heard(client, "welcome")
        told = 0
        while fakes.hub.tell("rdr_1", big):
            told += 1
            await asyncio.sleep(0.001)
            assert told < 2_000
        await until(lambda: not fakes.hub.connected("rdr_1"))
        async with rider_at(base, fakes) as other:
            await heard(other, "welcome")
        client.transport.abort()


async def test_a_house_that_is_full_says_when_to_come_again() -> None:
    fakes = quick(max_watchers=1)
    async with served(fakes) as base, rider_at(base, fakes):
        status, body = await refused(f"{base}/v1/rider/ws", additional_headers=fakes.bearer("rider", "rdr_2"))
        assert (status, body["code"]) == (429, "too_many")


async def test_beyond_a_few_sockets_of_one_rider_the_oldest_goes() -> None:
    fakes = quick()
    async with served(fakes) as base:
        clients = [await rider_at(base, fakes) for _ in range(9)]
        with pytest.raises(websockets.ConnectionClosed) as caught:
            while True:
                await heard(clients[0])
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4001
        assert fakes.hub.count == 8
        for client in clients:
            await client.close()


async def test_msgpack_is_spoken_to_who_asks_for_it() -> None:
    fakes = quick()
    async with served(fakes) as base:
        protocols = [websockets.Subprotocol("other"), websockets.Subprotocol("hexcab.v1.msgpack")]
        async with rider_at(base, fakes, subprotocols=protocols) as client:
            assert client.subprotocol == "hexcab.v1.msgpack"
            welcome = await client.recv()
            assert isinstance(welcome, bytes)
            assert msgspec.msgpack.decode(welcome)["type"] == "welcome"
            await client.send(msgspec.msgpack.encode(BOOK))
            assert msgspec.msgpack.decode(await client.recv(decode=False))["status"] == "searching"


async def test_sockets_open_only_to_whom_they_are_for() -> None:
    fakes = quick()
    async with served(fakes) as base:
        rider, ops = f"{base}/v1/rider/ws", f"{base}/v1/ops/ws"
        assert (await refused(rider))[0] == 401
        assert (await refused(rider, additional_headers={"Authorization": "Bearer x"}))[1]["code"] == "bad_token"
        expired = fakes.bearer("rider", "rdr_1", -5)
        assert (await refused(rider, additional_headers=expired))[1]["code"] == "token_expired"
        for scope in ("driver", "ops", "view"):
            assert (await refused(rider, additional_headers=fakes.bearer(scope, "x")))[0] == 403
        for scope in ("driver", "rider"):
            assert (await refused(ops, additional_headers=fakes.bearer(scope, "x")))[0] == 403


async def test_a_ticket_opens_a_socket_once() -> None:
    fakes = quick()
    async with served(fakes) as base:
        ticket = fakes.tickets.issue(fakes.tokens.verify(fakes.tokens.sign("rider", "rdr_1", 60)))
        async with connect(f"{base}/v1/rider/ws?ticket={ticket}") as client:
            assert (await heard(client))["rider_id"] == "rdr_1"
        assert await refused(f"{base}/v1/rider/ws?ticket={ticket}") == (
            401,
            (await refused(f"{base}/v1/rider/ws?ticket=never"))[1],
        )


async def look(client: ClientConnection) -> tuple[bytes, list[Message]]:
    """The next binary frame and the JSON messages before it, checked against the schema."""
    texts: list[Message] = []
    async with asyncio.timeout(5):
        while True:
            message = await client.recv()
            if isinstance(message, bytes):
                return message, texts
            texts.append(valid("server_to_ops", json.loads(message)))


async def test_operators_see_every_driver_in_six_bytes() -> None:
    fakes = quick()
    async with served(fakes) as base:
        async with connect(f"{base}/v1/ops/ws", additional_headers=fakes.bearer("ops", "o")) as client:
            frame, (hello,) = await look(client)
            _, texts = await look(client)
    rows = np.frombuffer(frame, dtype=ROW)
    west, south, east, north = hello["box"]
    box = MercatorBox(west, south, east, north)
    x, y = box.quantised(fakes.fleet.fleet.lat, fakes.fleet.fleet.lng)
    assert len(frame) == 12
    assert abs(rows["x"].astype(int) - x).max() <= 1
    assert abs(rows["y"].astype(int) - y).max() <= 1
    assert rows["heading"].tolist() == [64, 0]
    assert [hello["statuses"][status] for status in rows["status"]] == ["idle", "riding"]
    kpis, segments = texts
    assert (kpis["type"], kpis["drivers_online"]) == ("kpis", 2)
    assert sum(segments["supply"].values()) == 1


async def test_a_page_may_watch_where_the_console_is_open_and_no_more() -> None:
    fakes = quick(open_console=True)
    async with served(fakes) as base:
        async with httpx.AsyncClient(base_url=base.replace("ws", "http", 1)) as http:
            ticket = (await http.post("/v1/tickets")).json()
        assert ticket["scope"] == "view"
        async with connect(f"{base}/v1/ops/ws?ticket={ticket['ticket']}") as client:
            frame, _ = await look(client)
            assert len(frame) == 12
            await client.send("hello")
            while True:
                _, texts = await look(client)
                if any(text["type"] == "error" for text in texts):
                    break


async def test_the_feed_goes_on_after_a_store_was_away() -> None:
    fakes = quick()
    async with served(fakes) as base:
        async with connect(f"{base}/v1/ops/ws", additional_headers=fakes.bearer("ops", "o")) as client:
            await look(client)
            fakes.fleet.failing = True
            await asyncio.sleep(0.1)
            fakes.fleet.failing = False
            await look(client)


async def test_the_server_goes_away_politely() -> None:
    fakes = quick()
    async with served(fakes) as base:
        client = await rider_at(base, fakes)
        await heard(client, "welcome")
    with pytest.raises(websockets.ConnectionClosed) as caught:
        await client.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code in (1001, 1012)
