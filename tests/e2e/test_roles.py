"""A cluster of hosts with a role each, on PostgreSQL, Redis, Kafka and Cassandra: rides cross hosts, and hosts go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import rides
from tests.e2e.conftest import Places
from tests.e2e.roles import Cluster

pytestmark = pytest.mark.slow

ROLES = {"edge": 1, "gateway": 2, "dispatch": 2, "trips": 1, "archiver": 1}


@pytest.fixture(scope="module")
def cluster(folder: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    host, port = request.getfixturevalue("cassandra_address")
    engines = {
        "sql": {"url": request.getfixturevalue("postgresql_url")},
        "redis": {"url": request.getfixturevalue("redis_url")},
        "kafka": {
            "brokers": request.getfixturevalue("kafka_brokers"),
            "prefix": request.getfixturevalue("topic_prefix"),
            "session_s": 6.0,
        },
        "cassandra": {
            "hosts": host,
            "port": port,
            "keyspace": request.getfixturevalue("keyspace"),
            "replication": "1",
        },
    }
    cluster = Cluster(folder / "cluster", engines, ROLES)
    try:
        asyncio.run(cluster.start())
        yield cluster
    finally:
        codes = asyncio.run(cluster.stop())
    assert set(codes.values()) == {0}, codes


async def test_a_ride_goes_from_booking_to_fare_over_five_kinds_of_hosts(cluster: Cluster, places: Places) -> None:
    outside = cluster.by("gateway2")
    driver_id, rider_id = await outside.new_driver(), await outside.new_rider()
    async with outside.rider(rider_id) as rider, outside.driver(driver_id, places.cabs[0]) as driver:
        trip = await rides.take(outside, driver, rider_id, places)
        assert (await rider.hear("trip", trip_id=trip["trip_id"]))["status"] == "assigned"
        await rides.ride(outside, driver, trip)
        assert (await rider.hear("trip", status="completed"))["trip_id"] == trip["trip_id"]


async def test_a_driver_who_connects_to_another_gateway_goes_on_there_with_the_trip(
    cluster: Cluster, places: Places
) -> None:
    first, second = cluster.by("gateway1"), cluster.by("gateway2")
    driver_id, rider_id = await first.new_driver(), await first.new_rider()
    async with first.driver(driver_id, places.cabs[0]) as before:
        trip = await rides.take(first, before, rider_id, places)
        async with second.driver(driver_id, places.cabs[0]) as after:
            assert await before.closed() == 4001
            await rides.ride(second, after, trip)


async def test_what_an_operator_does_at_the_edge_reaches_the_driver_at_once(cluster: Cluster, places: Places) -> None:
    outside = cluster.by("gateway1")
    driver_id, rider_id = await outside.new_driver(), await outside.new_rider()
    async with outside.driver(driver_id, places.cabs[0]) as driver:
        trip = await rides.take(outside, driver, rider_id, places)
        async with outside.api() as api:
            await api.post(f"/v1/trips/{trip['trip_id']}/cancel", json={"reason": "a test"})
        assert (await driver.hear("trip", status="cancelled"))["trip_id"] == trip["trip_id"]
        again = await rides.take(outside, driver, rider_id, places)
        await rides.ride(outside, driver, again)


async def test_an_airport_queue_spans_gateways_and_its_head_is_asked_first(cluster: Cluster, places: Places) -> None:
    first, second = cluster.by("gateway1"), cluster.by("gateway2")
    lat, lng = places.pickup
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
    ring = [[lng + 0.001 * east, lat + 0.001 * north] for east, north in corners]
    zone = {
        "type": "Feature",
        "id": "air",
        "properties": {"kind": "airport_queue", "name": "Airport"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    head_id, next_id = await first.new_driver(), await first.new_driver()
    async with first.api() as api:
        assert (await api.post("/v1/zones", json=zone)).status_code == 201
        try:
            async with first.driver(head_id, places.pickup) as head, head.pinging(places.pickup):
                assert (await head.hear("queue"))["position"] == 1
                async with second.driver(next_id, places.pickup) as after, after.pinging(places.pickup):
                    assert (await after.hear("queue"))["position"] == 2
                    booked = await first.book(await first.new_rider(), places.pickup, places.dropoff)
                    offer = await head.hear("offer", request_id=booked["request_id"])
                    assert "number 1 in line" in offer["why"]
                    await head.say("decline", offer_id=offer["offer_id"], reason="")
                    assert "number 2 in line" in (await after.hear("offer", request_id=booked["request_id"]))["why"]
                    await api.post(f"/v1/ride-requests/{booked['request_id']}/cancel")
        finally:
            assert (await api.delete("/v1/zones/air")).status_code == 204


async def test_regions_of_a_dispatch_worker_that_is_killed_are_served_by_the_other(
    cluster: Cluster, places: Places
) -> None:
    outside = cluster.by("gateway1")
    worker = cluster.hosts["dispatch1"]
    worker.kill()
    try:
        driver_id, rider_id = await outside.new_driver(), await outside.new_rider()
        async with outside.driver(driver_id, places.cabs[0]) as driver:
            booked = await outside.book(rider_id, places.pickup, places.dropoff)
            offer = await driver.hear("offer", request_id=booked["request_id"])
            await driver.say("accept", offer_id=offer["offer_id"])
            trip = await driver.hear("trip", request_id=booked["request_id"], status="assigned")
            await rides.ride(outside, driver, trip)
    finally:
        await worker.start(120)


async def test_a_gateway_that_is_stopped_sends_its_drivers_to_the_other(cluster: Cluster, places: Places) -> None:
    first, second = cluster.by("gateway1"), cluster.by("gateway2")
    driver_id, rider_id = await first.new_driver(), await first.new_rider()
    try:
        async with first.driver(driver_id, places.cabs[0]) as before:
            trip = await rides.take(first, before, rider_id, places)
            stopped = asyncio.create_task(cluster.stop(["gateway1"]))
            assert await before.closed() == 1012
            assert await stopped == {"gateway1": 0}
        async with second.driver(driver_id, places.cabs[0]) as after:
            await rides.ride(second, after, trip)
    finally:
        await cluster.hosts["gateway1"].start(120)
