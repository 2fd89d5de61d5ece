"""The outside contract, line by line, against a running engine and without looking inside."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from core.geo import LatLng, haversine_m
from maps.cities import City
from tests.e2e.apps import Message, Outside, until
from tests.e2e.conftest import HURRIED, Places
from tests.e2e.engine_process import EngineProcess, hexcab
from tests.e2e.rides import along, drive, ride, take

pytestmark = pytest.mark.slow


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


async def test_a_ride_from_the_first_ping_to_the_fare(hurried: Outside, places: Places, gothenburg: City) -> None:
    rider_id, driver_id = await hurried.new_rider(), await hurried.new_driver()
    async with (
        hurried.api("rider", rider_id) as api,
        hurried.rider(rider_id) as rider,
        hurried.driver(driver_id, places.cabs[0]) as driver,
    ):
        assert await rider.hear("welcome") == {"type": "welcome", "rider_id": rider_id, "request": None, "trip": None}
        await rider.say("watch", lat=places.pickup.lat, lng=places.pickup.lng)
        around = (await rider.hear("cabs"))["items"]
        assert [cab["driver_id"] for cab in around] == [driver_id]
        assert 20 < around[0]["eta_s"] < 60
        assert around[0]["age_s"] < 30

        ends = {"pickup": places.pickup._asdict(), "dropoff": places.dropoff._asdict()}
        quote = (await api.post("/v1/quotes", json=ends)).json()
        assert 900 < quote["distance_m"] < 1_100
        assert quote["pickup_eta_s"] == pytest.approx(around[0]["eta_s"], abs=1)
        assert quote["surge"] == 1.0
        assert quote["fare"]["currency"] == "SEK"

        booked = await api.post("/v1/ride-requests", json={**ends, "rider_id": rider_id, "quote_id": quote["quote_id"]})
        assert booked.status_code == 201
        request_id = booked.json()["request_id"]
        assert booked.json()["status"] in ("searching", "offered")
        offer = await driver.hear("offer")
        assert offer["request_id"] == request_id
        assert offer["fare"] == quote["fare"]
        assert offer["mode"] == "broadcast"
        assert offer["why"]
        assert offer["pickup_eta_s"] == pytest.approx(quote["pickup_eta_s"], abs=1)
        async with hurried.api() as ops:
            why = (await ops.get(f"/v1/ride-requests/{request_id}/explain")).json()
        assert [(each["driver_id"], each["why"]) for each in why["offers"]] == [(driver_id, offer["why"])]
        (chosen,) = why["looks"][0]["candidates"]
        assert (chosen["driver_id"], chosen["outcome"], chosen["rank"]) == (driver_id, "offered", 1)
        assert chosen["pickup_eta_s"] == offer["pickup_eta_s"]
        assert 0 < offer["pickup_distance_m"] < 1_500
        await rider.hear("request", request_id=request_id, status="offered")

        await driver.say("accept", offer_id=offer["offer_id"])
        told = await driver.hear("trip", status="assigned")
        trip_id = told["trip_id"]
        assert "start_code" not in told
        assert (await rider.hear("request", status="assigned"))["trip_id"] == trip_id
        shown = await rider.hear("trip", status="assigned")
        assert shown["driver"]["name"] == "Bo"
        assert shown["vehicle"]["plate"] == "ABC123"

        await drive(hurried, driver, along(gothenburg, places.cabs[0], places.pickup))
        await driver.say("arrive", trip_id=trip_id)
        await rider.hear("trip", status="arrived")
        wrong = f"{(int(shown['start_code']) + 1) % 10_000:04d}"
        await driver.say("board", trip_id=trip_id, start_code=wrong)
        assert (await driver.hear("error", about="board"))["code"] == "wrong_start_code"
        assert (await hurried.trip(trip_id))["status"] == "arrived"
        await driver.say("board", trip_id=trip_id, start_code=shown["start_code"])
        await rider.hear("trip", status="riding")
        await drive(hurried, driver, along(gothenburg, places.pickup, places.dropoff))

        async def followed() -> bool:
            seen = [trip.get("driver_position") for trip in rider.all("trip") if trip["status"] == "riding"]
            return any(at and haversine_m(LatLng(at["lat"], at["lng"]), places.dropoff) < 5 for at in seen)

        await until(followed, "the rider's sight of the car at the dropoff")
        await driver.say("complete", trip_id=trip_id)
        await rider.hear("trip", status="completed")
        priced = await rider.hear("trip", status="completed")  # once more, with the fare
        assert priced["fare"] == quote["fare"], "what was driven is what was quoted, so the quoted fare holds"

        trail = (await api.get(f"/v1/trips/{trip_id}/trail")).json()
        assert trail["type"] == "Feature"
        assert trail["properties"]["distance_m"] == pytest.approx(quote["distance_m"], rel=0.1)
        assert trail["properties"]["grade"] == "matched"
        assert trail["geometry"]["type"] == "LineString"
        lng, lat = trail["geometry"]["coordinates"][-1]
        assert haversine_m(LatLng(lat, lng), places.dropoff) < 5

        done = (await api.get(f"/v1/trips/{trip_id}")).json()
        assert [step["type"] for step in done["events"]] == [
            *("assigned", "arrived", "started", "completed", "fare_fixed")
        ]
        rated = await api.post(f"/v1/trips/{trip_id}/rate", json={"stars": 5})
        assert rated.status_code == 200
        assert (await hurried.request(request_id))["trip_id"] == trip_id


async def test_trips_live_and_archived_are_one_list_with_a_cursor(hurried: Outside, places: Places) -> None:
    rider_id, driver_id = await hurried.new_rider(), await hurried.new_driver()
    async with hurried.driver(driver_id, places.cabs[0]) as driver, driver.pinging(places.cabs[0]):
        first = await take(hurried, driver, rider_id, places)
        await ride(hurried, driver, first)
        second = await take(hurried, driver, rider_id, places)
        await driver.say("cancel", trip_id=second["trip_id"], reason="flat tyre")
        await driver.hear("trip", trip_id=second["trip_id"], status="cancelled")
        done = await asyncio.to_thread(hexcab, "archive", "run", "--data-dir", str(hurried.engine.data_dir))
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        third = await take(hurried, driver, rider_id, places)
        await ride(hurried, driver, third)
    expected = [trip["trip_id"] for trip in (third, second, first)]
    archived, live = (_trip_ids(hurried.engine.data_dir / name) for name in ("archive.db", "hexcab.db"))
    assert {first["trip_id"], second["trip_id"]} <= archived
    assert third["trip_id"] in live
    assert not archived & live
    for scope, path in (("rider", f"/v1/riders/{rider_id}/trips"), ("driver", f"/v1/drivers/{driver_id}/trips")):
        async with hurried.api(scope, path.split("/")[3]) as api:
            pages = [page async for page in _pages(api, path)]
        assert [[trip["trip_id"] for trip in page] for page in pages] == [[each] for each in expected]
        assert [page[0]["status"] for page in pages] == ["completed", "cancelled", "completed"]
        assert all(("start_code" in page[0]) == (scope == "rider") for page in pages)
    for trip in (first, second, third):
        found = await hurried.trip(trip["trip_id"])
        assert (found["trip_id"], found["rider_id"]) == (trip["trip_id"], rider_id)
    async with hurried.api("rider", rider_id) as api:
        assert (await api.get(f"/v1/trips/{first['trip_id']}/trail")).json()["properties"]["distance_m"] > 0


async def _pages(api: httpx.AsyncClient, path: str) -> Any:
    cursor: dict[str, str] = {}
    while True:
        answer = (await api.get(path, params={"limit": 1, **cursor})).json()
        yield answer["items"]
        if answer["next_cursor"] is None:
            return
        cursor = {"cursor": answer["next_cursor"]}


def _trip_ids(database: Path) -> set[str]:
    """Trips that a store holds, read as nobody outside would."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = next(name for name in ("trips", "trips_by_trip") if name in tables)
        found = {trip_id for (trip_id,) in connection.execute(f"SELECT trip_id FROM {table}")}
    connection.close()
    return found


async def test_broadcast_asks_several_drivers_and_the_first_to_accept_wins(outside: Outside, places: Places) -> None:
    rider_id = await outside.new_rider()
    ids = [await outside.new_driver() for _ in range(4)]
    async with (
        outside.driver(ids[0], places.cabs[0]) as nearest,
        outside.driver(ids[1], places.cabs[1]) as near,
        outside.driver(ids[2], places.cabs[2]) as third,
        outside.driver(ids[3], places.cabs[3]) as fourth,
    ):
        booked = await outside.book(rider_id, places.pickup, places.dropoff)
        assert booked["mode"] == "broadcast"
        offers = [await each.hear("offer", request_id=booked["request_id"]) for each in (nearest, near, third)]
        assert [offer["mode"] for offer in offers] == ["broadcast"] * 3
        etas = [offer["pickup_eta_s"] for offer in offers]
        assert etas == sorted(etas)
        assert not fourth.all("offer"), "three are asked at a time"
        await near.say("accept", offer_id=offers[1]["offer_id"])
        trip = await near.hear("trip", status="assigned")
        for other, offer in ((nearest, offers[0]), (third, offers[2])):
            closed = await other.hear("offer_closed", offer_id=offer["offer_id"])
            assert closed["reason"] == "accepted_elsewhere"
        await nearest.say("accept", offer_id=offers[0]["offer_id"])
        assert (await nearest.hear("error", about="accept"))["code"] == "offer_closed"
        request = await outside.request(booked["request_id"])
        assert (request["status"], request["trip_id"]) == ("assigned", trip["trip_id"])
        await near.say("accept", offer_id=offers[1]["offer_id"])  # said twice, as after a lost answer
        assert (await outside.trip(trip["trip_id"]))["driver_id"] == ids[1]
        assert not near.all("error")


async def test_a_premium_rider_gets_the_best_driver_and_after_a_no_the_next(outside: Outside, places: Places) -> None:
    rider_id = await outside.new_rider("premium")
    ids = [await outside.new_driver() for _ in range(2)]
    async with (
        outside.driver(ids[0], places.cabs[0]) as best,
        outside.driver(ids[1], places.cabs[1]) as second,
        outside.rider(rider_id) as rider,
    ):
        booked = await outside.book(rider_id, places.pickup, places.dropoff)
        offer = await best.hear("offer", request_id=booked["request_id"])
        assert offer["mode"] == booked["mode"] == "best"
        assert seconds_between(booked["created_at"], offer["expires_at"]) == pytest.approx(12, abs=6)
        assert seconds_between(booked["created_at"], booked["expires_at"]) == pytest.approx(120, abs=0.01)
        assert not second.all("offer"), "one after the other"
        await best.say("decline", offer_id=offer["offer_id"], reason="too far")
        next_offer = await second.hear("offer", request_id=booked["request_id"])
        assert next_offer["offer_id"] != offer["offer_id"]
        await second.say("accept", offer_id=next_offer["offer_id"])
        await second.hear("trip", status="assigned")
        assert (await rider.hear("trip", status="assigned"))["driver_id"] == ids[1]
        assert len(best.all("offer")) == 1
        assert not best.all("offer_closed"), "who declined knows"


async def test_a_rider_who_needs_a_larger_or_better_cab_gets_one(outside: Outside, places: Places) -> None:
    rider_id, usual = await outside.new_rider(), await outside.new_driver()
    large = await outside.new_driver(seats=6)
    fine = await outside.new_driver(**{"class": "premium"})
    near, far, farther = places.cabs[:3]
    async with outside.driver(usual, near) as a, outside.driver(large, far) as b, outside.driver(fine, farther) as c:
        for wanted, asked in (({"seats": 5}, b), ({"vehicle_class": "premium"}, c)):
            booked = await outside.book(rider_id, places.pickup, places.dropoff, **wanted)
            assert {name: booked[name] for name in wanted} == wanted
            offer = await asked.hear("offer", request_id=booked["request_id"])
            assert offer["why"].startswith("1 of 1")
            async with outside.api("rider", rider_id) as api:
                assert (await api.post(f"/v1/ride-requests/{booked['request_id']}/cancel")).status_code == 200
        assert a.all("offer") == []


async def test_only_operators_choose_the_mode(outside: Outside, places: Places) -> None:
    rider_id, driver_id = await outside.new_rider(), await outside.new_driver()
    ends = {"pickup": places.pickup._asdict(), "dropoff": places.dropoff._asdict()}
    async with outside.api("rider", rider_id) as api, outside.rider(rider_id) as rider:
        refused = await api.post("/v1/ride-requests", json={**ends, "rider_id": rider_id, "mode": "best"})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        await rider.say("book", **ends, mode="best")
        assert (await rider.hear("error", about="book"))["code"] == "forbidden"
    async with outside.driver(driver_id, places.cabs[0]) as driver:
        booked = await outside.book(rider_id, places.pickup, places.dropoff, mode="best")
        assert booked["mode"] == "best"
        assert (await driver.hear("offer"))["mode"] == "best"
        async with outside.api("rider", rider_id) as api:
            assert (await api.post(f"/v1/ride-requests/{booked['request_id']}/cancel")).json()["status"] == "cancelled"


async def test_cancelling_a_search_and_a_trip_tells_the_other_side(outside: Outside, places: Places) -> None:
    rider_id, driver_id = await outside.new_rider(), await outside.new_driver()
    async with outside.driver(driver_id, places.cabs[0]) as driver, outside.rider(rider_id) as rider:
        await rider.say("book", pickup=places.pickup._asdict(), dropoff=places.dropoff._asdict())
        offer = await driver.hear("offer")
        await rider.say("cancel", request_id=offer["request_id"])
        assert (await rider.hear("request", status="cancelled"))["request_id"] == offer["request_id"]
        assert (await driver.hear("offer_closed", offer_id=offer["offer_id"]))["reason"] == "cancelled"

        trip = await take(outside, driver, rider_id, places)
        async with outside.api("rider", rider_id) as api:
            late = await api.post(f"/v1/ride-requests/{trip['request_id']}/cancel")
            assert (late.status_code, late.json()["code"]) == (409, "already_assigned")
            assert (await api.post(f"/v1/trips/{trip['trip_id']}/cancel", json={"reason": "ill"})).status_code == 200
            again = await api.post(f"/v1/trips/{trip['trip_id']}/cancel")
            assert again.json()["status"] == "cancelled"
        told = await driver.hear("trip", trip_id=trip["trip_id"], status="cancelled")
        assert told["cancelled_by"] == "rider"

        trip = await take(outside, driver, rider_id, places)
        await driver.say("cancel", trip_id=trip["trip_id"], reason="flat tyre")
        told = await rider.hear("trip", trip_id=trip["trip_id"], status="cancelled")
        assert told["events"][-1]["detail"] == "driver: flat tyre"


async def test_a_rider_who_was_away_is_told_how_the_search_ended(outside: Outside, places: Places) -> None:
    rider_id = await outside.new_rider()
    booked = await outside.book(rider_id, places.pickup, places.dropoff)
    async with outside.rider(rider_id) as rider:
        assert (await rider.hear("welcome"))["request"]["status"] in ("searching", "offered")
    async with outside.api("rider", rider_id) as api:
        await api.post(f"/v1/ride-requests/{booked['request_id']}/cancel")
    async with outside.rider(rider_id) as rider:
        told = (await rider.hear("welcome"))["request"]
    assert (told["request_id"], told["status"]) == (booked["request_id"], "cancelled")


async def test_a_rider_has_one_open_request(outside: Outside, places: Places) -> None:
    rider_id = await outside.new_rider()
    ends = {"pickup": places.pickup._asdict(), "dropoff": places.dropoff._asdict()}
    async with outside.api("rider", rider_id) as api:
        body = {**ends, "rider_id": rider_id}
        keyed = {"Idempotency-Key": "tap-1"}
        first = await api.post("/v1/ride-requests", json=body, headers=keyed)
        again = await api.post("/v1/ride-requests", json=body, headers=keyed)
        assert (again.status_code, again.json()) == (201, first.json())
        other = await api.post("/v1/ride-requests", json={**body, "pickup": ends["dropoff"]}, headers=keyed)
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
        nonsense = await api.post("/v1/ride-requests", json={"pickup": 1}, headers=keyed)
        assert (nonsense.status_code, nonsense.json()["code"]) == (409, "idempotency_conflict")
        second = await api.post("/v1/ride-requests", json=body)
        assert (second.status_code, second.json()["code"]) == (409, "rider_busy")
        await api.post(f"/v1/ride-requests/{first.json()['request_id']}/cancel")


async def test_msgpack_says_the_same_as_json(outside: Outside, places: Places) -> None:
    rider_id, driver_id = await outside.new_rider(), await outside.new_driver()
    spoken: dict[str, Any] = {"subprotocols": ["hexcab.v1.msgpack"]}
    async with (
        outside.driver(driver_id, places.cabs[0], **spoken) as driver,
        outside.rider(rider_id, **spoken) as rider,
    ):
        assert driver.socket.subprotocol == rider.socket.subprotocol == "hexcab.v1.msgpack"
        await driver.acked(driver.seq)
        await rider.say("book", pickup=places.pickup._asdict(), dropoff=places.dropoff._asdict())
        offer = await driver.hear("offer")
        await driver.say("accept", offer_id=offer["offer_id"])
        trip = await rider.hear("trip", status="assigned")
        await driver.say("cancel", trip_id=trip["trip_id"])
        await rider.hear("trip", status="cancelled")


async def test_tickets_open_sockets_once(outside: Outside) -> None:
    rider_id, driver_id = await outside.new_rider(), await outside.new_driver()
    no_header: dict[str, Any] = {"additional_headers": {}}

    async def ticket(scope: str, subject: str) -> str:
        async with outside.api(scope, subject) as api:
            issued = await api.post("/v1/tickets")
            assert (issued.status_code, issued.json()["expires_in"]) == (201, 30)
            return f"?ticket={issued.json()['ticket']}"

    query = await ticket("rider", rider_id)
    async with outside.rider(rider_id, query=query, **no_header) as rider:
        assert (await rider.hear("welcome"))["rider_id"] == rider_id
    with pytest.raises(websockets.InvalidStatus, match="401"):
        async with outside.rider(rider_id, query=query, **no_header):
            pass
    query = await ticket("driver", driver_id)
    async with outside.driver(driver_id, query=query, **no_header) as driver:
        assert driver.driver_id == driver_id
    with pytest.raises(websockets.InvalidStatus, match="401"):
        async with outside.driver(driver_id, query=query, **no_header):
            pass
    with pytest.raises(websockets.InvalidStatus, match="403"):
        async with outside.driver(driver_id, query=await ticket("rider", rider_id), **no_header):
            pass
    async with outside.api(None) as api:
        assert (await api.post("/v1/tickets")).status_code == 401


async def test_a_second_connection_replaces_the_first_and_finds_trip_and_numbers(
    outside: Outside, places: Places
) -> None:
    rider_id, driver_id = await outside.new_rider(), await outside.new_driver()
    async with outside.driver(driver_id, places.cabs[0]) as first:
        async with outside.rider(rider_id) as rider:
            booked = await outside.book(rider_id, places.pickup, places.dropoff)
            offer = await first.hear("offer")
            async with outside.driver(driver_id) as second:
                assert await first.closed() == 4001
                welcome = second.all("welcome")[0]
                assert [each["offer_id"] for each in welcome["offers"]] == [offer["offer_id"]]
                assert welcome["ping_interval_s"] == 5
                assert welcome["last_seq"] == first.seq
                await second.say("accept", offer_id=offer["offer_id"])
                trip = await rider.hear("trip", status="assigned")
                await second.ping(places.cabs[0])
                await second.acked(second.seq)
    async with outside.driver(driver_id) as third, outside.rider(rider_id) as rider:
        welcome = third.all("welcome")[0]
        assert welcome["trip"]["trip_id"] == trip["trip_id"]
        assert "start_code" not in welcome["trip"]
        assert welcome["last_seq"] == second.seq
        back = await rider.hear("welcome")
        assert back["trip"]["start_code"] == trip["start_code"]
        assert back["trip"]["request_id"] == booked["request_id"]
        await third.say("cancel", trip_id=trip["trip_id"])
        await rider.hear("trip", status="cancelled")


async def test_a_search_without_any_driver_ends_no_driver(hurried: Outside, places: Places) -> None:
    rider_id = await hurried.new_rider()
    async with hurried.rider(rider_id) as rider:
        await rider.say("book", pickup=places.pickup._asdict(), dropoff=places.dropoff._asdict())
        ended = await rider.hear("request", status="no_driver")
    assert (await hurried.request(ended["request_id"]))["status"] == "no_driver"
    assert seconds_between(ended["created_at"], ended["ended_at"]) >= 120


async def test_an_offer_that_nobody_answers_goes_on_and_the_search_expires(hurried: Outside, places: Places) -> None:
    rider_id = await hurried.new_rider("premium")
    ids = [await hurried.new_driver() for _ in range(2)]
    async with hurried.rider(rider_id) as rider, hurried.driver(ids[0]) as best, hurried.driver(ids[1]) as second:
        for driver in (best, second):
            await driver.say("status", online=True)
        async with best.pinging(places.cabs[0]), second.pinging(places.cabs[1]):
            for driver_id, cab in zip(ids, places.cabs, strict=False):
                await hurried.seen(driver_id, cab)
            booked = await hurried.book(rider_id, places.pickup, places.dropoff)
            offer = await best.hear("offer", request_id=booked["request_id"])
            assert (await best.hear("offer_closed", offer_id=offer["offer_id"]))["reason"] == "expired"
            await second.hear("offer", request_id=booked["request_id"])
            await best.say("accept", offer_id=offer["offer_id"])
            assert (await best.hear("error", about="accept"))["code"] == "offer_expired"
            await rider.hear("request", request_id=booked["request_id"], status="expired")
    request = await hurried.request(booked["request_id"])
    assert (request["status"], request["trip_id"]) == ("expired", None)
    assert seconds_between(request["created_at"], request["ended_at"]) >= 120


async def test_a_city_may_assign_without_asking(folder: Path, places: Places) -> None:
    outside = Outside(EngineProcess(folder / "auto", settings={"dispatch": {"auto_accept": True}}))
    async with outside.running():
        rider_id, driver_id = await outside.new_rider(), await outside.new_driver()
        async with outside.driver(driver_id, places.cabs[0]) as driver, outside.rider(rider_id) as rider:
            await rider.say("book", pickup=places.pickup._asdict(), dropoff=places.dropoff._asdict())
            trip = await rider.hear("trip", status="assigned")
            assert (await driver.hear("trip", status="assigned"))["trip_id"] == trip["trip_id"]
            assert not driver.all("offer"), "nobody was asked"


async def test_a_new_start_goes_on_and_every_search_ends_in_exactly_one_event(folder: Path, places: Places) -> None:
    outside = Outside(EngineProcess(folder / "again", settings=HURRIED))
    async with outside.running():
        riders = [await outside.new_rider() for _ in range(3)]
        driver_id = await outside.new_driver()
        async with outside.driver(driver_id) as driver:
            await driver.say("status", online=True)
            async with driver.pinging(places.cabs[0]):
                await outside.seen(driver_id, places.cabs[0])
                trip = await take(outside, driver, riders[0], places)
                await outside.seen(driver_id, places.cabs[0], wanted=False)
        cancelled = await outside.book(riders[1], places.pickup, places.dropoff)
        waiting = await outside.book(riders[2], places.pickup, places.dropoff)
        async with outside.api("rider", riders[1]) as api:
            await api.post(f"/v1/ride-requests/{cancelled['request_id']}/cancel")
    async with outside.running():
        async with outside.driver(driver_id) as driver, outside.rider(riders[2]) as rider:
            assert driver.all("welcome")[0]["trip"]["trip_id"] == trip["trip_id"]
            assert (await rider.hear("welcome"))["request"]["request_id"] == waiting["request_id"]
            await rider.hear("request", request_id=waiting["request_id"], status="no_driver")
            await ride(outside, driver, trip)
    ends = _search_ends(outside.engine.data_dir / "hexcab.db")
    assert {
        request_id: [(each["type"], each.get("reason")) for each in ended] for request_id, ended in ends.items()
    } == {
        trip["request_id"]: [("CabFound", None)],
        cancelled["request_id"]: [("NoCabFound", "cancelled")],
        waiting["request_id"]: [("NoCabFound", "no_driver")],
    }
    for ended in ends.values():
        assert ended[0]["mode"] == "broadcast"
        assert ended[0]["segment"]
        assert ended[0]["supply_seen"] == (1 if ended[0]["type"] == "CabFound" else 0)


def _search_ends(database: Path) -> dict[str, list[Message]]:
    """The events that ended each request's search, of a stopped engine."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    asked = [request_id for (request_id,) in connection.execute("SELECT request_id FROM ride_requests")]
    events = [json.loads(body) for (body,) in connection.execute("SELECT body FROM outbox ORDER BY seq")]
    states = {state for (state,) in connection.execute("SELECT state FROM outbox")}
    connection.close()
    assert states == {"published"}
    ends = [event for event in events if event["type"] in ("CabFound", "NoCabFound")]
    return {request_id: [end for end in ends if end["request_id"] == request_id] for request_id in asked}
