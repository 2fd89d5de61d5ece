"""A whole engine whose Cassandra is away: it starts, rides go on, and everything else comes later by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from maps.cities import City
from runtime.services.manager import Services
from tests.e2e.apps import Outside, until
from tests.e2e.conftest import Places
from tests.e2e.engine_process import EngineProcess, hexcab
from tests.e2e.rides import along, start_code, take
from tests.servers.engines import OwnCassandra

pytestmark = pytest.mark.slow


@pytest.fixture
async def own(new_servers: Callable[[], Services]) -> OwnCassandra:
    """A server that has its ports and does not run."""
    own = OwnCassandra(new_servers())
    await own.up()
    await own.down()
    return own


async def test_rides_go_on_without_cassandra_and_are_priced_and_archived_once_it_is_there(
    own: OwnCassandra, folder: Path, gothenburg: City, places: Places
) -> None:
    host, port = own.address
    cassandra = {"hosts": host, "port": port, "replication": "1", "request_timeout_s": 3.0, "max_reconnect_s": 2.0}
    engine = EngineProcess(folder / "away", settings={"cassandra": cassandra, "runtime": {"relay_max_retry_s": 2.0}})
    outside = Outside(engine)
    way = along(gothenburg, places.pickup, places.dropoff)
    async with outside.running():
        driver_id, rider_id = await outside.new_driver(), await outside.new_rider()
        async with outside.driver(driver_id, places.pickup) as driver:
            trip = await take(outside, driver, rider_id, places)
            named = {"trip_id": trip["trip_id"]}
            await driver.say("arrive", **named)
            await driver.say("board", start_code=await start_code(outside, trip), **named)
            await driver.hear("trip", status="riding", **named)
            ridden_after = driver.seq
            driver.ts = await outside.engine_ms()
            for here in way:
                await driver.ping(here, 1.0)
            await driver.say("complete", **named)
            assert (await driver.hear("trip", status="completed", **named))["fare"] is None
            assert max((ack["seq"] for ack in driver.all("ack")), default=0) <= ridden_after

            async def noticed() -> bool:
                return await outside.metric("hexcab_trail_away") == 1

            await until(noticed, "the outage in the metrics")
            async with outside.api("rider", rider_id) as api:
                assert (await api.get(f"/v1/trips/{trip['trip_id']}")).status_code == 200
                listed = await api.get(f"/v1/riders/{rider_id}/trips")
                assert (listed.status_code, listed.json()["code"]) == (503, "archive_unavailable")
                assert "Retry-After" in listed.headers

            await own.up()
            await driver.acked(driver.seq)

            async def priced() -> bool:
                return (await outside.trip(trip["trip_id"]))["fare"] is not None

            await until(priced, "the fare")
        assert (await outside.trip(trip["trip_id"]))["distance_grade"] == "matched"
        async with outside.api("rider", rider_id) as api:
            before = (await api.get(f"/v1/riders/{rider_id}/trips")).json()["items"]
            file = engine.data_dir.parent / f"{engine.data_dir.name}.toml"
            done = hexcab("archive", "run", "--data-dir", str(engine.data_dir), "--settings", str(file))
            assert done.stdout == "1 trips archived, 0 ended trips not ready yet\n", done.stderr
            assert (await api.get(f"/v1/riders/{rider_id}/trips")).json()["items"] == before
            trail = (await api.get(f"/v1/trips/{trip['trip_id']}/trail")).json()
        assert len(trail["geometry"]["coordinates"]) >= 2
        async with outside.driver(driver_id) as again:
            assert again.seq == driver.seq
