"""Searches that found nobody rest without asking, and whoever arrives is found within the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from core.errors import Unavailable
from core.geo import LatLng
from dispatch.model import RideRequest, SupplyRows
from maps.segments import segment_of
from tests.dispatch.conftest import MakeWorld
from tests.dispatch.world import CENTRE, ON_TRIP, FakeSupply, World, north_of, supply_rows

LIMIT_S = 2.0  # `retry_s`: how soon a search without arrivals would look again


class CountingSupply(FakeSupply):
    """Counts who asked, and can be away."""

    looks = readings = 0
    away = False

    async def in_segments(self, wanted: Sequence[int]) -> SupplyRows:
        self.looks += 1
        if self.away:
            raise Unavailable("away")
        return await super().in_segments(wanted)

    async def by_segment(self, wanted: Sequence[int]) -> dict[int, SupplyRows]:
        self.readings += 1
        if self.away:
            raise Unavailable("away")
        looks = self.looks
        found = await super().by_segment(wanted)
        self.looks = looks
        return found


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await counting(await make_world())


async def counting(world: World) -> World:
    world.supply = CountingSupply(world.clock)
    await world.restart()
    return world


def supply(world: World) -> CountingSupply:
    assert isinstance(world.supply, CountingSupply)
    return world.supply


def rings_of_a_look(world: World) -> int:
    """How often a look asks that finds nobody."""
    around = world.segments.around(world.segments.at(CENTRE), world.settings.dispatch.max_pickup_m)
    return len(list(around.rings(CENTRE, world.settings.dispatch.near_m, world.settings.dispatch.max_pickup_m)))


async def ask_all(world: World, riders: int, pickup: LatLng = CENTRE) -> list[RideRequest]:
    return [await world.ask(f"rdr_{number}", pickup=pickup, rider_class="premium") for number in range(riders)]


async def test_searches_without_anybody_near_share_one_reading_and_do_not_look(world: World) -> None:
    await ask_all(world, 5)
    looks = supply(world).looks
    await world.advance(30)
    assert supply(world).looks == looks
    assert supply(world).readings == 30, "one a second, however many searches rest"


async def test_nobody_reads_when_no_search_rests(world: World) -> None:
    request = await world.ask()
    await world.desk.cancel(request.request_id, None)
    await world.settled()
    await world.advance(2)
    readings = supply(world).readings
    await world.advance(30)
    assert supply(world).readings == readings


@pytest.mark.parametrize("after_s", [0, 1, 7, 31])
async def test_a_driver_who_comes_online_is_found_within_the_limit(world: World, after_s: int) -> None:
    request = await world.ask()
    await world.advance(after_s)
    world.drivers("a")
    await world.advance(LIMIT_S)
    assert await world.by_driver(request) == {"a": "open"}


async def test_a_driver_whose_trip_ends_is_found_within_the_limit(world: World) -> None:
    world.supply.add("a", north_of(CENTRE, 300), flags=ON_TRIP)
    request = await world.ask()
    await world.advance(20)
    world.supply.add("a", north_of(CENTRE, 300))
    await world.advance(LIMIT_S)
    assert await world.by_driver(request) == {"a": "open"}


async def test_a_driver_who_was_silent_is_found_within_the_limit_of_pinging_again(world: World) -> None:
    world.supply.add("a", north_of(CENTRE, 300), seen_at=world.clock.now() - 29.5)
    world.delivery.away = {"a"}
    await world.ask()
    await world.advance(20)
    world.delivery.away = set()
    late = await world.ask("rdr_late")
    assert await world.by_driver(late) == {}
    del world.supply.drivers["a"]["seen_at"]
    await world.advance(LIMIT_S)
    assert [driver for driver, _ in world.delivery.offers()] == ["a"]


async def test_a_driver_who_declined_one_search_is_offered_to_another_within_the_limit(make_world: MakeWorld) -> None:
    world = await make_world(cool_down_s=0.0)
    world.drivers("a")
    first, second = await ask_all(world, 2)
    await world.advance(5)
    assert await world.by_driver(second) == {}
    await world.desk.decline("a", (await world.offer_to(first, "a")).offer_id, None)
    await world.advance(LIMIT_S)
    assert await world.by_driver(second) == {"a": "open"}


async def test_a_driver_who_was_left_alone_is_offered_to_another_when_that_is_over(world: World) -> None:
    world.drivers("a")
    first, second = await ask_all(world, 2)
    await world.desk.decline("a", (await world.offer_to(first, "a")).offer_id, None)
    await world.advance(world.settings.dispatch.cool_down_s - 0.5)
    assert await world.by_driver(second) == {}
    await world.advance(0.5 + LIMIT_S)
    assert await world.by_driver(second) == {"a": "open"}


async def test_an_offer_that_came_and_went_between_two_readings_is_not_missed(make_world: MakeWorld) -> None:
    world = await make_world(cool_down_s=0.0)
    world.drivers("a")
    await world.ask("rdr_van", vehicle_class="van", rider_class="premium")
    await world.advance(1)  # a reading has seen the driver free
    first, second = await ask_all(world, 2)
    assert await world.by_driver(second) == {}, "the driver holds an offer"
    await world.desk.decline("a", (await world.offer_to(first, "a")).offer_id, None)
    await world.settled()
    assert await world.by_driver(second) == {}
    await world.advance(LIMIT_S)
    assert await world.by_driver(second) == {"a": "open"}


async def test_one_driver_wakes_a_few_searches_and_not_all(make_world: MakeWorld) -> None:
    world = await counting(await make_world(arrivals_at_once=2))
    await ask_all(world, 12)
    looks = supply(world).looks
    world.drivers("a")
    await world.advance(LIMIT_S)
    assert [driver for driver, _ in world.delivery.offers()] == ["a"]
    assert supply(world).looks - looks <= 2 * rings_of_a_look(world), "the others rest on"


async def test_the_nearest_search_is_woken_first(make_world: MakeWorld) -> None:
    world = await counting(await make_world(arrivals_at_once=1))
    (far,) = await ask_all(world, 1, north_of(CENTRE, 6_000))
    near = await world.ask("rdr_near", rider_class="premium")
    world.drivers("a")
    await world.advance(LIMIT_S)
    assert await world.by_driver(near) == {"a": "open"}
    assert await world.by_driver(far) == {}


async def test_searches_who_cannot_use_a_driver_pass_the_turn_on_at_once(make_world: MakeWorld) -> None:
    world = await counting(await make_world(arrivals_at_once=1))
    for number in range(6):
        await world.ask(f"rdr_{number}", vehicle_class="van", rider_class="premium")
    suited = await world.ask("rdr_suited", pickup=north_of(CENTRE, 2_000), rider_class="premium")
    world.drivers("a")
    await world.advance(LIMIT_S)
    assert await world.by_driver(suited) == {"a": "open"}


async def test_drivers_of_another_class_and_who_said_no_wake_nobody(world: World) -> None:
    van = await world.ask("rdr_van", vehicle_class="van", rider_class="premium")
    world.drivers("a")
    request = await world.ask("rdr_1", rider_class="premium")
    await world.desk.decline("a", (await world.offer_to(request, "a")).offer_id, None)
    await world.settled()
    looks = supply(world).looks
    for metres in (500, 2_500, 5_000):
        await world.advance(10)
        world.supply.add("a", north_of(CENTRE, metres))
    assert supply(world).looks == looks
    await world.desk.cancel(request.request_id, None)
    world.supply.add("b", north_of(CENTRE, 300), vehicle_class="van")
    await world.advance(LIMIT_S)
    assert await world.by_driver(van) == {"b": "open"}


async def test_a_cab_with_too_few_seats_wakes_nobody_who_needs_more(world: World) -> None:
    many = await world.ask("rdr_many", seats=6, rider_class="premium")
    await world.advance(LIMIT_S)
    looks = supply(world).looks
    world.supply.add("a", north_of(CENTRE, 300), seats=4)
    await world.advance(LIMIT_S)
    assert supply(world).looks == looks
    world.supply.add("b", north_of(CENTRE, 300), seats=6)
    await world.advance(LIMIT_S)
    assert await world.by_driver(many) == {"b": "open"}


async def test_a_search_that_hangs_does_not_keep_the_others_from_their_turn(make_world: MakeWorld) -> None:
    world = await counting(await make_world(arrivals_at_once=1, arrivals_turn_s=0.01))
    _, second = await ask_all(world, 2)
    deliver, never = world.delivery.deliver, asyncio.Event()

    async def hang_on_a(driver_id: str, message: dict[str, object]) -> bool:
        if driver_id == "a":
            await never.wait()
        return await deliver(driver_id, message)

    world.delivery.deliver = hang_on_a  # type: ignore[method-assign]
    world.drivers("a", "b")
    await world.clock.advance(1, settle_s=0)
    async with asyncio.timeout(5):
        while await world.by_driver(second) != {"b": "open"}:
            await asyncio.sleep(0.005)
    never.set()
    await world.settled()


async def test_somebody_whom_a_look_does_not_see_wakes_it_now_and_then_and_not_with_every_reading(
    world: World,
) -> None:
    await ask_all(world, 1)
    by_segment = supply(world).by_segment

    async def with_a_ghost(wanted: Sequence[int]) -> dict[int, SupplyRows]:
        row = {"driver": "ghost", "lat": CENTRE.lat, "lng": CENTRE.lng, "seen_at": world.clock.now()}
        return {**await by_segment(wanted), wanted[0]: supply_rows([row])}

    supply(world).by_segment = with_a_ghost  # type: ignore[method-assign]
    looks = supply(world).looks
    await world.advance(30)
    most = 2 * (1 + 30 / world.settings.dispatch.look_again_s)
    assert 0 < supply(world).looks - looks <= most * rings_of_a_look(world)


async def test_drivers_near_who_cannot_take_it_are_looked_at_again_now_and_then(make_world: MakeWorld) -> None:
    world = await counting(await make_world(max_pickup_eta_s=27))
    before, after = north_of(CENTRE, 300), north_of(CENTRE, 250)
    assert segment_of(*before) == segment_of(*after), "so that coming nearer is no news"
    world.supply.add("a", before)
    request = await world.ask()
    await world.advance(5)
    assert await world.by_driver(request) == {}
    world.supply.drivers["a"]["lat"] = after.lat
    await world.advance(5)
    assert await world.by_driver(request) == {}
    await world.advance(world.settings.dispatch.look_again_s - 5)
    assert await world.by_driver(request) == {"a": "open"}


async def test_while_the_supply_is_away_searches_rest_and_go_on_afterwards(world: World) -> None:
    request = await world.ask()
    supply(world).away = True
    world.drivers("a")
    await world.advance(10)
    assert await world.by_driver(request) == {}
    supply(world).away = False
    await world.advance(LIMIT_S)
    assert await world.by_driver(request) == {"a": "open"}


async def test_a_search_that_another_process_ended_is_over_at_the_next_look(world: World) -> None:
    request = await world.ask()
    other = world.new_desk()
    await other.cancel(request.request_id, None)
    await world.advance(5)
    assert len(world.desk.searches) == 1, "no event has told"
    await world.desk.searches.look()
    await world.settled()
    assert len(world.desk.searches) == 0


async def test_a_closed_desk_leaves_no_task_behind(world: World) -> None:
    await world.ask()
    await world.desk.close()
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "arrivals"]
