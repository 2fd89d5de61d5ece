"""Requests that are matched together: the window, its decision, and what becomes of those it leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from core.clock import Clock
from core.errors import Unavailable
from core.events import OffersMade
from core.geo import LatLng
from dispatch.batch import Considered, match_window
from dispatch.candidates import shortlist
from dispatch.decide import Decision, decide
from dispatch.model import Ask, PickupTravel, Policy, RideRequest, SupplyRows
from runtime.batch_settings import BatchSettings
from tests.dispatch.conftest import MakeWorld
from tests.dispatch.pure import NOW, unknown_profiles
from tests.dispatch.world import CENTRE, World, north_of, supply_rows

BATCH = BatchSettings(standard=True)
ALL = 24


def considered(eta_s: dict[str, float], waited_s: float = 0.0, line: dict[str, int] | None = None) -> Considered:
    """A request with its drivers and how far away they are."""
    rows = supply_rows([{"driver": driver, "seen_at": NOW, "idle_since": NOW} for driver in eta_s])
    ask = Ask(now=NOW, mode="batch", free=ALL, line=line or {})
    listed = shortlist(rows, ask, Policy())
    seconds = np.array(list(eta_s.values()))
    return Considered(
        decide(ask, listed, PickupTravel(seconds, seconds * 10), unknown_profiles(listed.rows), Policy()), waited_s
    )


def drivers(decisions: list[Decision]) -> list[str | None]:
    return [decision.chosen[0].driver if decision.chosen else None for decision in decisions]


def test_the_window_costs_the_least_as_a_whole() -> None:
    greedy_would_leave_the_second = considered({"a": 60, "b": 70}), considered({"a": 90, "b": 600})
    assert drivers(match_window(greedy_would_leave_the_second, Policy())) == ["b", "a"]


def test_who_waited_longer_is_served_when_drivers_are_few() -> None:
    late, early = considered({"a": 60}, waited_s=2), considered({"a": 90}, waited_s=60)
    assert drivers(match_window([late, early], Policy())) == [None, "a"]
    assert drivers(match_window([late, early], Policy(left_per_waited_s=0))) == ["a", None]


def test_a_cab_that_is_too_far_is_taken_once_the_rider_has_waited() -> None:
    policy = Policy(left_s=300, left_per_waited_s=5)
    assert drivers(match_window([considered({"a": 900})], policy)) == [None]
    assert drivers(match_window([considered({"a": 900}, waited_s=130)], policy)) == ["a"]


def test_whoever_waits_in_line_comes_before_nearer_drivers_in_the_order_of_the_line() -> None:
    line = {"first": 1, "second": 2}
    one = considered({"near": 10, "second": 20, "first": 300}, line=line)
    assert drivers(match_window([one], Policy())) == ["first"]
    assert sorted(map(str, drivers(match_window([one, one], Policy())))) == ["first", "second"]


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.dictionaries(st.sampled_from("abcde"), st.sampled_from([5.0, 60.0, 900.0]), max_size=5), max_size=6))
def test_nobody_is_chosen_twice_and_nobody_is_left_who_could_be_served(etas: list[dict[str, float]]) -> None:
    window = [considered(eta) for eta in etas]
    chosen = drivers(match_window(window, Policy()))
    taken = [driver for driver in chosen if driver is not None]
    assert len(set(taken)) == len(taken)
    assert all(driver is None or driver in eta for driver, eta in zip(chosen, etas, strict=True))
    for driver, eta in zip(chosen, etas, strict=True):
        assert driver is not None or not set(eta) - set(taken)


async def batch_world(make_world: MakeWorld, **fields: Any) -> World:
    return await make_world(batch=BATCH, **fields)


async def asked(world: World, *places: LatLng, **fields: Any) -> list[RideRequest]:
    """One rider at each place, all within one window."""
    return [await world.ask(f"rdr_{n}", pickup=place, **fields) for n, place in enumerate(places)]


async def test_a_window_gathers_requests_and_matches_them_globally(make_world: MakeWorld) -> None:
    world = await batch_world(make_world)
    world.supply.add("north", north_of(CENTRE, 400))
    world.supply.add("south", north_of(CENTRE, -900))
    requests = await asked(world, north_of(CENTRE, 100), north_of(CENTRE, 1_500))
    assert [request.mode for request in requests] == ["batch", "batch"]
    assert world.delivery.offers() == [], "the window is open"
    calls = world.travel.calls
    await world.advance(2)
    assert [await world.by_driver(request) for request in requests] == [{"south": "open"}, {"north": "open"}]
    assert world.travel.calls == calls + 1, "one question for all roads"
    assert [event.mode for event in await world.events_of(OffersMade)] == ["batch", "batch"]


async def test_no_driver_is_offered_two_requests_of_a_window(make_world: MakeWorld) -> None:
    world = await batch_world(make_world)
    world.drivers("a", "b")
    requests = await asked(world, CENTRE, CENTRE, CENTRE)
    await world.advance(2)
    offered = [driver for request in requests for driver in await world.by_driver(request)]
    assert sorted(offered) == ["a", "b"]
    before = [await world.offers(request) for request in requests]
    await world.advance(9)
    assert [await world.offers(request) for request in requests] == before, "who has an offer keeps it"


async def test_a_declined_request_comes_back_at_once_without_that_driver(make_world: MakeWorld) -> None:
    world = await batch_world(make_world)
    world.drivers("a", "b")
    request = await world.ask()
    await world.advance(2)
    await world.desk.decline("a", (await world.offer_to(request, "a")).offer_id, "no")
    await world.settled()
    await world.advance(BATCH.again_s)
    assert await world.by_driver(request) == {"a": "declined", "b": "open"}
    await world.advance(12.5)
    assert await world.by_driver(request) == {"a": "declined", "b": "expired"}


async def test_an_accept_ends_the_search(make_world: MakeWorld) -> None:
    world = await batch_world(make_world)
    world.drivers("a")
    request = await world.ask()
    await world.advance(2)
    await world.desk.accept("a", (await world.offer_to(request, "a")).offer_id)
    await world.settled()
    assert (await world.now(request)).status == "assigned"
    assert len(world.desk.searches) == 0


async def test_a_rider_who_leaves_the_window_leaves_the_driver_to_the_others(make_world: MakeWorld) -> None:
    world = await batch_world(make_world)
    world.drivers("a")
    near, far = await asked(world, CENTRE, north_of(CENTRE, -900))
    await world.desk.cancel(near.request_id, None)
    await world.settled()
    await world.advance(2)
    assert await world.by_driver(near) == {}
    assert await world.by_driver(far) == {"a": "open"}


async def test_a_request_that_expires_before_its_window_closes_ends_in_time(make_world: MakeWorld) -> None:
    world = await batch_world(make_world, request_s=1.0)
    world.drivers("a")
    request = await world.ask()
    await world.advance(1)
    assert (await world.now(request)).status == "no_driver"


async def test_a_window_that_fails_loses_nothing(make_world: MakeWorld) -> None:
    world = await batch_world(make_world)
    world.drivers("a", "b")
    world.travel.failure = Unavailable("the roads are away")
    requests = await asked(world, CENTRE, CENTRE)
    await world.advance(3)
    assert [(await world.now(request)).status for request in requests] == ["searching", "searching"]
    world.travel.failure = None
    await world.advance(4)
    assert [(await world.now(request)).status for request in requests] == ["offered", "offered"]


class OneBadPlace:
    """Queues that cannot be read for one pickup."""

    def __init__(self, bad: LatLng) -> None:
        self._bad = bad

    def at(self, pickup: LatLng) -> bool:
        return False

    async def first(self, pickup: LatLng, limit: int) -> SupplyRows:
        if pickup == self._bad:
            raise Unavailable("this queue is away")
        return SupplyRows.join(())


async def test_a_request_that_cannot_be_looked_for_does_not_hold_up_the_others(make_world: MakeWorld) -> None:
    world = await batch_world(make_world)
    bad = north_of(CENTRE, 50)
    world.queues = OneBadPlace(bad)
    await world.restart()
    world.drivers("a", "b")
    requests = await asked(world, bad, CENTRE)
    await world.advance(2)
    assert [bool(await world.by_driver(request)) for request in requests] == [False, True]


async def test_a_crash_before_the_window_closes_loses_no_request(make_world: MakeWorld) -> None:
    world = await batch_world(make_world)
    world.drivers("a", "b")
    requests = await asked(world, CENTRE, CENTRE)
    await world.advance(1)
    await world.crash()
    await world.advance(2)
    offered = [driver for request in requests for driver in await world.by_driver(request)]
    assert sorted(offered) == ["a", "b"]


async def test_without_asking_the_window_assigns(make_world: MakeWorld) -> None:
    world = await batch_world(make_world, auto_accept=True)
    world.drivers("a", "b")
    requests = await asked(world, CENTRE, CENTRE)
    await world.advance(2)
    assert [(await world.now(request)).status for request in requests] == ["assigned", "assigned"]


async def test_without_asking_a_driver_who_cannot_take_a_trip_is_passed_by_in_the_next_window(
    make_world: MakeWorld,
) -> None:
    world = await batch_world(make_world, auto_accept=True)
    world.drivers("suspended", "b")
    world.trips.suspended.add("suspended")
    request = await world.ask()
    await world.advance(5)
    assert await world.by_driver(request) == {"b": "accepted"}


async def test_a_driver_who_arrives_is_given_to_who_was_left(make_world: MakeWorld) -> None:
    world = await batch_world(make_world)
    request = await world.ask()
    await world.advance(20)
    world.drivers("a")
    await world.advance(4)
    assert await world.by_driver(request) == {"a": "open"}


async def test_standard_riders_are_matched_together_while_many_ask(make_world: MakeWorld, clock: Clock) -> None:
    world = await make_world(batch=BatchSettings(above_open=2))
    requests = [await world.ask(f"rdr_{n}") for n in range(3)]
    assert [request.mode for request in requests] == ["broadcast"] * 3
    await world.advance(3)
    await world.ask("rdr_5")  # begins the next reading of the load
    await asyncio.sleep(0.05)
    assert (await world.ask("rdr_6")).mode == "batch"
    assert (await world.ask("rdr_7", rider_class="premium")).mode == "best"
