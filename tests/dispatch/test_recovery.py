from __future__ import annotations

import asyncio

import pytest

from core.events import NoCabFound
from dispatch.model import RequestRide
from tests.dispatch.conftest import MakeWorld
from tests.dispatch.world import AIRPORT, CENTRE, World


async def test_a_search_goes_on_after_a_restart(world: World) -> None:
    request = await world.ask()
    await world.restart()
    assert len(world.desk.searches) == 1
    world.drivers("a")
    await world.advance(2)
    assert await world.by_driver(request) == {"a": "open"}


async def test_an_acknowledged_request_is_found_even_if_its_search_never_began(world: World) -> None:
    request = await world.desk.request_ride(RequestRide(rider_id="rdr_1", pickup=CENTRE, dropoff=AIRPORT))
    world.request_ids.append(request.request_id)
    world.drivers("a")
    await world.restart()
    assert await world.by_driver(request) == {"a": "open"}


async def test_an_open_offer_keeps_its_deadline_over_a_restart(world: World) -> None:
    world.drivers("a", "b")
    request = await world.ask(rider_class="premium")
    await world.advance(5)
    await world.restart()
    assert await world.by_driver(request) == {"a": "open"}
    await world.advance(6)
    assert await world.by_driver(request) == {"a": "open"}
    await world.advance(1)
    assert await world.by_driver(request) == {"a": "expired", "b": "open"}


async def test_an_offer_made_before_a_restart_can_be_accepted_after_it(world: World) -> None:
    world.drivers("a", "b")
    request = await world.ask()
    await world.restart()
    await world.desk.accept("a", (await world.offer_to(request, "a")).offer_id)
    await world.settled()
    assert (await world.now(request)).status == "assigned"
    assert world.delivery.closed() == {"b": "accepted_elsewhere"}
    assert len(world.desk.searches) == 0


async def test_what_became_overdue_while_the_engine_was_down_ends_and_the_rider_is_told(world: World) -> None:
    world.drivers("a")
    offered = await world.ask("rdr_1", rider_class="premium")
    alone = await world.ask("rdr_2")
    await world.desk.close()
    await world.clock.advance(500, settle_s=0)
    await world.restart()
    assert (await world.now(offered)).status == "expired"
    assert (await world.now(alone)).status == "no_driver"
    assert await world.by_driver(offered) == {"a": "expired"}
    assert world.delivery.statuses("rdr_1")[-1] == "expired"
    assert world.delivery.statuses("rdr_2")[-1] == "no_driver"
    assert len(await world.events_of(NoCabFound)) == 2


async def test_who_declined_before_a_restart_is_not_asked_after_it(world: World) -> None:
    world.drivers("a")
    request = await world.ask()
    await world.desk.decline("a", (await world.offer_to(request, "a")).offer_id, None)
    await world.restart()
    await world.advance(10)
    assert await world.by_driver(request) == {"a": "declined"}


async def test_a_driver_with_an_offer_from_before_a_restart_gets_no_second_one(world: World) -> None:
    world.drivers("a")
    await world.ask("rdr_1")
    await world.restart()
    looked_up = world.travel.calls
    second = await world.ask("rdr_2")
    assert await world.by_driver(second) == {}
    assert world.travel.calls == looked_up  # the store said so, before any road was looked at


async def test_ended_searches_stay_ended_over_a_restart(world: World) -> None:
    world.drivers("a")
    request = await world.ask()
    await world.desk.cancel(request.request_id, "rdr_1")
    await world.restart()
    assert len(world.desk.searches) == 0
    assert (await world.now(request)).status == "cancelled"


@pytest.mark.parametrize("auto_accept", [False, True])
async def test_a_search_cut_off_at_any_point_loses_and_doubles_nothing(
    make_world: MakeWorld, auto_accept: bool
) -> None:
    world = await make_world(auto_accept=auto_accept)
    world.drivers("a", "b", "c", "d")
    for turns in range(0, 40, 3):
        ask = RequestRide(rider_id=f"rdr_{turns}", pickup=CENTRE, dropoff=AIRPORT)
        request = await world.desk.request_ride(ask)
        world.request_ids.append(request.request_id)
        for _ in range(turns):
            await asyncio.sleep(0)
        await world.crash()
        await world.check_truths()
        await world.advance(12)
        await world.check_truths()
        assert len(await world.offers(request)) >= 1
        if not auto_accept:
            await world.desk.cancel(request.request_id, None)
        world.trips.active.clear()
        await world.settled()
