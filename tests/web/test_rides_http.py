"""Quotes, ride requests, trips and the map over HTTP."""

from __future__ import annotations

import gzip
import json
from typing import Any

import h3
import httpx
import pytest

from core.errors import InvalidInput
from tests.web.fakes import CENTRE, Fakes, trip_body

Headers = dict[str, str]
PLACES = {"pickup": {"lat": 57.7041, "lng": 11.9697}, "dropoff": {"lat": 57.71, "lng": 11.98}}
RIDE = {"rider_id": "rdr_1", **PLACES}


async def test_cabs_nearby_come_with_eta_and_age(api: httpx.AsyncClient, rider: Headers) -> None:
    answer = await api.get("/v1/cabs", params={"lat": 57.7, "lng": 11.9, "limit": 2}, headers=rider)
    items = answer.json()["items"]
    assert len(items) == 2
    assert items[0] == {
        "driver_id": "drv_1",
        "lat": 57.7,
        "lng": 11.9,
        "heading": 90.0,
        "eta_s": 61.0,
        "age_s": 1.5,
    }


@pytest.mark.parametrize("query", ["lat=nan&lng=11", "lat=57&lng=inf", "lat=91&lng=11", "lat=57", "lat=a&lng=b"])
async def test_a_place_that_is_none_is_refused_by_name(api: httpx.AsyncClient, rider: Headers, query: str) -> None:
    for path in ("/v1/cabs", "/v1/segments/locate"):
        answer = await api.get(f"{path}?{query}", headers=rider)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] in ("lat", "lng")


async def test_a_quote_promises_a_fare(api: httpx.AsyncClient, rider: Headers) -> None:
    answer = await api.post("/v1/quotes", json=PLACES, headers=rider)
    assert answer.status_code == 201
    assert answer.json()["fare"] == {"amount_minor": 12_300, "currency": "SEK"}
    assert answer.json()["pickup_eta_s"] is None


async def test_a_place_off_the_roads_keeps_its_code(api: httpx.AsyncClient, rider: Headers) -> None:
    away = {**PLACES, "pickup": {"lat": 10.0, "lng": 10.0}}
    answer = await api.post("/v1/quotes", json=away, headers=rider)
    assert (answer.status_code, answer.json()["code"]) == (422, "not_on_road")


async def test_a_ride_request_goes_from_asked_to_cancelled(api: httpx.AsyncClient, rider: Headers) -> None:
    created = await api.post("/v1/ride-requests", json=RIDE, headers=rider)
    assert (created.status_code, created.json()["status"]) == (201, "searching")
    request_id = created.json()["request_id"]
    assert (await api.get(f"/v1/ride-requests/{request_id}", headers=rider)).json()["trip_id"] is None
    for _ in range(2):
        cancelled = await api.post(f"/v1/ride-requests/{request_id}/cancel", headers=rider)
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")


async def test_a_second_open_request_conflicts(api: httpx.AsyncClient, rider: Headers) -> None:
    await api.post("/v1/ride-requests", json=RIDE, headers=rider)
    again = await api.post("/v1/ride-requests", json=RIDE, headers=rider)
    assert (again.status_code, again.json()["code"]) == (409, "open_request")


async def test_a_rider_may_ask_for_a_class_and_for_seats(api: httpx.AsyncClient, fakes: Fakes, rider: Headers) -> None:
    wanted = {**RIDE, "vehicle_class": "premium", "seats": 6}
    assert (await api.post("/v1/ride-requests", json=wanted, headers=rider)).status_code == 201
    assert [(ask.vehicle_class, ask.seats) for ask in fakes.rides.asks] == [("premium", 6)]
    for field, wrong in (("seats", 0), ("seats", 17), ("seats", "4"), ("vehicle_class", "rocket")):
        refused = await api.post("/v1/ride-requests", json={**RIDE, field: wrong}, headers=rider)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


async def test_only_operators_choose_the_mode(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers, ops: Headers
) -> None:
    assert (await api.post("/v1/ride-requests", json={**RIDE, "mode": "best"}, headers=rider)).status_code == 403
    assert (await api.post("/v1/ride-requests", json={**RIDE, "mode": "best"}, headers=ops)).status_code == 201
    assert fakes.rides.asks[0].mode == "best"


async def test_nobody_books_for_someone_else(api: httpx.AsyncClient, fakes: Fakes, rider: Headers) -> None:
    answer = await api.post("/v1/ride-requests", json={**RIDE, "rider_id": "rdr_2"}, headers=rider)
    assert answer.status_code == 404
    assert fakes.rides.asks == []


async def test_a_foreign_ride_request_looks_like_none(api: httpx.AsyncClient, fakes: Fakes, rider: Headers) -> None:
    request_id = (await api.post("/v1/ride-requests", json=RIDE, headers=rider)).json()["request_id"]
    other = fakes.bearer("rider", "rdr_2")
    foreign = await api.get(f"/v1/ride-requests/{request_id}", headers=other)
    unknown = await api.get("/v1/ride-requests/req_0", headers=other)
    assert foreign.status_code == 404
    assert foreign.json() == unknown.json()
    assert (await api.post(f"/v1/ride-requests/{request_id}/cancel", headers=other)).status_code == 404
    assert fakes.rides.requests[request_id]["status"] == "searching"


@pytest.mark.parametrize(
    ("pickup", "field"),
    [
        ({"lat": 91, "lng": 11}, "pickup.lat"),
        ({"lat": 57, "lng": -181}, "pickup.lng"),
        ({"lat": "57", "lng": 11}, "pickup.lat"),
        ({"lat": True, "lng": 11}, "pickup.lat"),
        ({"lat": 57}, "pickup.lng"),
        ([57, 11], "pickup"),
        (None, "pickup"),
    ],
)
async def test_a_wrong_coordinate_is_named(api: httpx.AsyncClient, rider: Headers, pickup: object, field: str) -> None:
    answer = await api.post("/v1/ride-requests", json={**RIDE, "pickup": pickup}, headers=rider)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


async def test_the_start_code_is_for_the_rider_alone(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers, driver: Headers, ops: Headers
) -> None:
    fakes.trips.trips["trip_1"] = trip_body()
    assert (await api.get("/v1/trips/trip_1", headers=rider)).json()["start_code"] == "1234"
    for headers in (driver, ops):
        answer = await api.get("/v1/trips/trip_1", headers=headers)
        assert answer.status_code == 200
        assert "start_code" not in answer.json()


async def test_a_foreign_trip_looks_like_none(api: httpx.AsyncClient, fakes: Fakes) -> None:
    fakes.trips.trips["trip_1"] = trip_body()
    for headers in (fakes.bearer("rider", "drv_1"), fakes.bearer("driver", "rdr_1")):
        for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/trail")):
            answer = await api.request(method, f"/v1/trips/trip_1{path}", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert fakes.trips.trips["trip_1"]["status"] == "assigned"


async def test_a_trip_is_rated_and_its_trail_shown(api: httpx.AsyncClient, fakes: Fakes, rider: Headers) -> None:
    fakes.trips.trips["trip_1"] = trip_body("completed")
    assert (await api.post("/v1/trips/trip_1/rate", json={"stars": 5}, headers=rider)).status_code == 200
    assert fakes.trips.rated == [("trip_1", "rider", 5)]
    for stars in (0, 6, 4.5, "5", None):
        assert (await api.post("/v1/trips/trip_1/rate", json={"stars": stars}, headers=rider)).status_code == 422
    trail = (await api.get("/v1/trips/trip_1/trail", headers=rider)).json()
    assert (trail["geometry"]["type"], trail["properties"]["distance_m"]) == ("LineString", 1250.0)


async def test_a_trip_is_cancelled_until_it_has_ended(api: httpx.AsyncClient, fakes: Fakes, rider: Headers) -> None:
    fakes.trips.trips["trip_1"] = trip_body()
    cancelled = await api.post("/v1/trips/trip_1/cancel", json={"reason": "late"}, headers=rider)
    assert cancelled.json()["status"] == "cancelled"
    fakes.trips.trips["trip_1"] = trip_body("completed")
    assert (await api.post("/v1/trips/trip_1/cancel", headers=rider)).status_code == 409


async def test_trips_are_listed_page_by_page(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers, driver: Headers
) -> None:
    fakes.trips.trips = {f"trip_{n}": trip_body("completed", f"trip_{n}") for n in range(5)}
    for path, headers in (("/v1/riders/rdr_1/trips", rider), ("/v1/drivers/drv_1/trips", driver)):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        for _ in range(3):
            body = (await api.get(path, params={"limit": "2", **cursor}, headers=headers)).json()
            seen += [trip["trip_id"] for trip in body["items"]]
            cursor = {"cursor": body["next_cursor"]}
        assert seen == list(fakes.trips.trips)
        assert body["next_cursor"] is None
        assert len((await api.get(path, headers=headers)).json()["items"]) == 3  # history_page of the fakes' settings
        assert len((await api.get(path, params={"limit": "4"}, headers=headers)).json()["items"]) == 4
        for limit in ("0", "5", "x"):  # 4 is their history_page_max
            refused = await api.get(path, params={"limit": limit}, headers=headers)
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "limit")


async def test_lists_show_the_start_code_to_the_rider_alone(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers, driver: Headers, ops: Headers
) -> None:
    fakes.trips.trips["trip_1"] = trip_body()
    own = (await api.get("/v1/riders/rdr_1/trips", headers=rider)).json()["items"]
    assert own[0]["start_code"] == "1234"
    for path, headers in (("riders/rdr_1", ops), ("drivers/drv_1", ops), ("drivers/drv_1", driver)):
        (trip,) = (await api.get(f"/v1/{path}/trips", headers=headers)).json()["items"]
        assert "start_code" not in trip


async def test_a_place_is_located_in_its_segment(api: httpx.AsyncClient, driver: Headers) -> None:
    body = (await api.get("/v1/segments/locate", params=CENTRE._asdict(), headers=driver)).json()
    assert body["segment"] == h3.cell_to_parent(h3.latlng_to_cell(*CENTRE, 10), 8)
    assert body["resolution"] == 8
    assert set(body["neighbours"]) == set(h3.grid_ring(body["segment"], 1))


async def test_segments_of_a_box_are_geojson_with_supply(api: httpx.AsyncClient, ops: Headers) -> None:
    body = (await api.get("/v1/segments", params={"bbox": "11.90,57.68,12.00,57.73"}, headers=ops)).json()
    assert body["type"] == "FeatureCollection"
    ring = body["features"][0]["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert 11 < ring[0][0] < 13
    supply = {feature["id"]: feature["properties"]["supply"] for feature in body["features"]}
    assert supply[h3.cell_to_parent(h3.latlng_to_cell(57.70, 11.95, 10), 8)] == 1
    assert sum(supply.values()) == 1  # the other driver is riding


@pytest.mark.parametrize(
    "bbox", ["", "1,2,3", "12,57,11,58", "-180,-90,180,90", "nan,1,2,3", "11,57,200,58", "a,b,c,d"]
)
async def test_a_wrong_box_is_refused(api: httpx.AsyncClient, ops: Headers, bbox: str) -> None:
    answer = await api.get("/v1/segments", params={"bbox": bbox}, headers=ops)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("bbox")


async def test_an_eta_is_along_the_roads_and_null_where_there_is_no_way(api: httpx.AsyncClient, rider: Headers) -> None:
    found = await api.get("/v1/eta", params={"from": "57.70,11.97", "to": "57.71,11.98"}, headers=rider)
    assert found.json() == {"duration_s": 120.0, "distance_m": 1000.0}
    nowhere = await api.get("/v1/eta", params={"from": "57.70,11.97", "to": "89.5,11.98"}, headers=rider)
    assert nowhere.json() == {"duration_s": None, "distance_m": None}
    off_road = await api.get("/v1/eta", params={"from": "57.70,11.97", "to": "10,10"}, headers=rider)
    assert off_road.json()["code"] == "not_on_road"
    for bad in ("nan,11", "57", "57,11,5", "x,y", "99,11"):
        answer = await api.get("/v1/eta", params={"from": bad, "to": "57.71,11.98"}, headers=rider)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"].startswith("from")


async def test_an_explanation_is_for_operators(api: httpx.AsyncClient, rider: Headers, ops: Headers) -> None:
    request_id = (await api.post("/v1/ride-requests", json=RIDE, headers=rider)).json()["request_id"]
    path = f"/v1/ride-requests/{request_id}/explain"
    told = (await api.get(path, headers=ops)).json()
    assert told["request_id"] == request_id
    assert told["looks"][0]["candidates"] == [
        {"driver_id": "drv_1", "outcome": "offline", "away_m": 10.0, "position_age_s": 1.0}
    ], "what was not asked for is left out"
    assert (await api.get(path, headers=rider)).status_code == 403
    assert (await api.get("/v1/ride-requests/req_none/explain", headers=ops)).status_code == 404


async def test_a_track_is_for_operators_and_at_most_a_day_long(
    api: httpx.AsyncClient, rider: Headers, ops: Headers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="audit")
    span = {"from": "2026-09-21T00:00:00Z", "to": "2026-09-21T06:00:00Z"}
    answer = await api.get("/v1/drivers/drv_1/track", params=span, headers=ops)
    assert answer.json()["items"][0]["lat"] == 57.7
    assert [vars(record)["operator"] for record in caplog.records if record.name == "audit"] == ["ops_1"]
    assert (await api.get("/v1/drivers/drv_1/track", params=span, headers=rider)).status_code == 403
    for bad in ({"to": "2026-09-20T00:00:00Z"}, {"to": "2026-09-23T00:00:00Z"}, {"to": "today"}):
        refused = await api.get("/v1/drivers/drv_1/track", params={**span, **bad}, headers=ops)
        assert refused.status_code == 422


def _points(line: list[int]) -> list[tuple[int, int]]:
    x = y = 0
    points = []
    for at in range(0, len(line), 2):
        x, y = x + line[at], y + line[at + 1]
        points.append((x, y))
    return points


async def test_the_roads_come_small_and_are_not_sent_twice(api: httpx.AsyncClient, fakes: Fakes) -> None:
    first = await api.get("/v1/map/roads", headers={"Accept-Encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    body: dict[str, Any] = first.json()
    assert body["classes"] == ["primary"]
    points = _points(body["lines"][0][0])
    assert len(points) == 3
    assert points[0][1] == points[2][1] < points[1][1]
    assert points[0][0] < points[1][0] < points[2][0]
    plain = await api.get("/v1/map/roads", headers={"Accept-Encoding": "identity"})
    assert plain.json() == body
    assert "content-encoding" not in plain.headers
    again = await api.get("/v1/map/roads", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert fakes.city.drawn == 1
    assert json.loads(gzip.decompress(gzip.compress(plain.content))) == body


def refuse_pickups(fakes: Fakes) -> dict[str, Any]:
    """Let bookings be refused as in a no-pickup zone; what the answer must carry."""
    more = {"zone_id": "zon_1", "pickup_points": [{"lat": 57.7, "lng": 11.97, "name": "South gate"}]}

    async def request(_ask: Any) -> Any:
        raise InvalidInput("nobody is picked up in Square", code="no_pickup", more=more)

    fakes.rides.request = request  # type: ignore[method-assign]
    return more


async def test_a_refused_pickup_comes_with_places_to_be_picked_up(
    api: httpx.AsyncClient, fakes: Fakes, rider: Headers
) -> None:
    more = refuse_pickups(fakes)
    for headers in (rider, {**rider, "Idempotency-Key": "k"}, {**rider, "Idempotency-Key": "k"}):
        answer = await api.post("/v1/ride-requests", json=RIDE, headers=headers)
        assert answer.status_code == 422
        problem = answer.json()
        assert problem["code"] == "no_pickup"
        assert {name: problem[name] for name in more} == more
