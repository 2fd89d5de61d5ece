"""Two workers that share a city: each does the searches of its own lanes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from core.geo import LatLng
from dispatch.searches import LaneOf
from dispatch.service import RideDesk
from maps import segments
from tests.dispatch.conftest import MakeWorld
from tests.dispatch.world import AIRPORT, CENTRE, World, north_of

WEST, EAST = 1, 2
AT_THE_AIRPORT = segments.name(segments.segment_of(*AIRPORT))


def lane_of(segment: str) -> int:
    return EAST if segment == AT_THE_AIRPORT else WEST


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world()


Workers = Callable[[], Awaitable[tuple[RideDesk, RideDesk]]]


@pytest.fixture
async def workers(world: World) -> Workers:
    """A worker for the west and one for the east; the world's own desk only takes requests."""

    async def start() -> tuple[RideDesk, RideDesk]:
        await world.desk.close()
        world.desk = worker(world, lane_of)
        west, east = worker(world, lane_of), worker(world, lane_of)
        await west.searches.take({WEST})
        await east.searches.take({EAST})
        world.workers = [west, east]
        return west, east

    return start


def worker(world: World, lanes: LaneOf) -> RideDesk:
    return world.new_desk(lane_of=lanes)


async def bring(world: World, desk: RideDesk) -> None:
    """Every event, again and again: workers see each at least once."""
    for event in await world.kind.events():
        await desk.searches.heard(event)
    await world.settled()


async def test_a_request_is_searched_for_by_the_owner_of_its_lane_alone(world: World, workers: Workers) -> None:
    west, east = await workers()
    await world.ask("rdr_1", pickup=CENTRE)
    await world.ask("rdr_2", pickup=AIRPORT, dropoff=CENTRE)
    for desk in (west, east):
        await bring(world, desk)
        await bring(world, desk)
    assert len(world.desk.searches) == 0
    assert (len(west.searches), len(east.searches)) == (1, 1)


async def test_a_search_begins_without_any_event_at_the_next_look(world: World, workers: Workers) -> None:
    west, _ = await workers()
    request = await world.ask("rdr_1")
    world.drivers("a")
    await west.searches.look()
    await world.settled()
    assert await world.by_driver(request) == {"a": "open"}


async def test_lanes_that_are_taken_over_go_on_with_their_open_searches(world: World, workers: Workers) -> None:
    west, east = await workers()
    world.drivers("a", "b")
    request = await world.ask("rdr_1", rider_class="premium")
    await west.searches.look()
    await world.settled()
    assert await world.by_driver(request) == {"a": "open"}
    await west.searches.leave({WEST})
    assert len(west.searches) == 0
    assert await east.searches.take({WEST}) == 1
    await world.advance(12)
    assert await world.by_driver(request) == {"a": "expired", "b": "open"}


async def test_an_answer_given_elsewhere_wakes_the_search_by_its_event(world: World, workers: Workers) -> None:
    west, _ = await workers()
    world.drivers("a", "b")
    request = await world.ask("rdr_1", rider_class="premium")
    await west.searches.look()
    await world.settled()
    await world.desk.decline("a", (await world.offer_to(request, "a")).offer_id, None)
    await bring(world, west)
    assert await world.by_driver(request) == {"a": "declined", "b": "open"}


async def test_an_answer_given_elsewhere_is_found_by_a_look_when_its_event_is_late(
    world: World, workers: Workers
) -> None:
    west, _ = await workers()
    world.drivers("a", "b")
    request = await world.ask("rdr_1", rider_class="premium")
    await west.searches.look()
    await world.settled()
    await world.desk.decline("a", (await world.offer_to(request, "a")).offer_id, None)
    await west.searches.look()
    await world.settled()
    assert await world.by_driver(request) == {"a": "declined", "b": "open"}


async def test_two_workers_that_both_believe_to_own_a_lane_break_no_truth(world: World, workers: Workers) -> None:
    west, east = await workers()
    await east.searches.take({WEST})
    world.drivers("a", "b", "c", "d")
    request = await world.ask("rdr_1", pickup=north_of(CENTRE, 50))
    for desk in (west, east):
        await bring(world, desk)
    await world.check_truths()
    first = next(offer for offer in await world.offers(request) if offer.is_open)
    accepted = await world.desk.accept(first.driver_id, first.offer_id)
    for desk in (west, east):
        await bring(world, desk)
    assert accepted.request_id == request.request_id
    assert (len(west.searches), len(east.searches)) == (0, 0)
    await world.check_truths()


async def test_nothing_begins_in_a_lane_that_was_given_up(world: World, workers: Workers) -> None:
    west, _ = await workers()
    await west.searches.leave({WEST})
    await world.ask("rdr_1", pickup=LatLng(CENTRE.lat, CENTRE.lng))
    await bring(world, west)
    await west.searches.look()
    assert len(west.searches) == 0
