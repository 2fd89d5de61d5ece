"""Segments of a running engine: an operator cuts them by the API, and rides go on."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
import msgspec
import pytest

from core.geo import LatLng
from maps.cities import City
from runtime.segment_settings import SegmentSettings
from tests.app.test_engine import engine_on, places_of, settings_with
from tests.e2e.apps import until

pytestmark = pytest.mark.slow


async def test_an_operator_splits_a_segment_and_the_nearest_cab_still_gets_the_ride(
    tmp_path: Path, gothenburg: City
) -> None:
    pickup, dropoff = places_of(gothenburg)
    far = LatLng(pickup.lat + 0.006, pickup.lng)
    quick = msgspec.structs.replace(settings_with(), segments=SegmentSettings(switch_s=0.5, look_s=0.1))
    async with engine_on(tmp_path / "d", gothenburg, quick) as (engine, outside), outside.api() as ops:
        near_id, far_id = await outside.new_driver(), await outside.new_driver()
        async with outside.driver(near_id, pickup) as near, outside.driver(far_id, far) as other:
            async with near.pinging(pickup), other.pinging(far):
                before = await located(ops, pickup)
                answer = await ops.post(f"/v1/segments/{before['segment']}/split")
                assert (answer.status_code, answer.json()["version"]) == (200, before["version"] + 1)
                after = await located(ops, pickup)
                assert after["segment"] in answer.json()["segments"]
                assert (after["resolution"], after["version"]) == (9, 2)
                assert (await ops.post(f"/v1/segments/{before['segment']}/split")).status_code == 404

                async def placed_anew() -> bool:
                    return engine.rooms.segments.known.placing.version == 2

                await until(placed_anew, "the switch")
                await outside.seen(near_id, pickup)
                await outside.book(await outside.new_rider("premium"), pickup, dropoff)
                offer = await near.hear("offer")
                assert (offer["mode"], other.all("offer")) == ("best", [])
                box = f"{pickup.lng - 0.01},{pickup.lat - 0.01},{pickup.lng + 0.01},{pickup.lat + 0.01}"
                shown = (await ops.get("/v1/segments", params={"bbox": box})).json()
                here = {each["id"]: each["properties"] for each in shown["features"]}[after["segment"]]
                assert here["supply"] + here["demand"] >= 2
                assert (here["pinned"], here["resolution"], here["surge"]) == (True, 9, 1.0)

    async with engine_on(tmp_path / "d", gothenburg, quick) as (_, outside), outside.api() as ops:
        assert await located(ops, pickup) == after, "the table outlives the engine"
        merged = (await ops.post(f"/v1/segments/{after['segment']}/merge")).json()
        assert merged == {"segments": [before["segment"]], "version": 3}
        assert (await located(ops, pickup))["neighbours"] == before["neighbours"]


async def test_segments_split_where_cabs_gather_and_merge_where_none_are(tmp_path: Path, gothenburg: City) -> None:
    pickup, dropoff = places_of(gothenburg)
    limits = SegmentSettings(
        switch_s=0.4, look_s=0.1, every_s=0.2, split_above=2, merge_below=2, merge_looks=20, retire_s=0.5
    )
    settings = msgspec.structs.replace(settings_with(), segments=limits)
    async with engine_on(tmp_path / "d", gothenburg, settings) as (_, outside), outside.api() as ops:

        async def resolution_is(wanted: set[int]) -> bool:
            return (await located(ops, pickup))["resolution"] in wanted

        async with contextlib.AsyncExitStack() as stack:
            for _ in range(3):
                app = await stack.enter_async_context(outside.driver(await outside.new_driver(), pickup))
                await stack.enter_async_context(app.pinging(pickup))
            await until(lambda: resolution_is({9, 10}), "a split")
            await outside.book(await outside.new_rider(), pickup, dropoff)  # standard: three are asked
            assert (await app.hear("offer"))["mode"] == "broadcast"
        await until(lambda: resolution_is({7}), "merges")


async def located(api: httpx.AsyncClient, at: LatLng) -> dict[str, object]:
    answer = await api.get("/v1/segments/locate", params=at._asdict())
    assert answer.status_code == 200
    return dict(answer.json())
