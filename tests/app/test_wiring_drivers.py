"""The drivers' desk: the state of who connects is true at that moment, and who is not approved gets no work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.wiring.drivers import Desk, DriverRooms
from core.errors import Unavailable
from location.live import LiveDrivers
from location.model import BUSY, ONLINE
from tests.app.town import Town
from tests.location.conftest import App
from trips.model import By, Trip

Act = Callable[[], Awaitable[Any]]


def acting(town: Town, *, after_trip: list[Act] | None = None, after_offers: list[Act] | None = None) -> Desk:
    """A desk during whose reads something happens: each act once, after what was read is no longer the latest."""

    async def active_of_driver(driver_id: str) -> Trip | None:
        trip = await town.trips.active_of_driver(driver_id)
        if after_trip:
            await after_trip.pop(0)()
        return trip

    async def offer_messages(driver_id: str) -> list[dict[str, Any]]:
        offers = await town.rides.offer_messages(driver_id)
        if after_offers:
            await after_offers.pop(0)()
        return offers

    rides = SimpleNamespace(offer_messages=offer_messages, driver_gone=town.rides.driver_gone)
    trips = SimpleNamespace(active_of_driver=active_of_driver)
    return Desk(DriverRooms(town.accounts, cast(Any, rides), cast(Any, trips), town.supply, town.audience))


async def trip_of(town: Town, driver_id: str) -> Trip:
    async with town.working(driver_id) as app:
        return await town.assigned(driver_id, app)


@pytest.mark.parametrize("moment", ["trip", "offers"])
async def test_a_trip_that_ends_while_its_driver_connects_does_not_keep_them_busy(town: Town, moment: str) -> None:
    driver_id = await town.hire()
    trip = await trip_of(town, driver_id)

    async def end() -> None:
        await town.trips.cancel(trip.trip_id, By("ops", "ops"))

    desk = acting(town, after_trip=[end]) if moment == "trip" else acting(town, after_offers=[end])
    state = await desk.state(driver_id)
    assert state.trip is None
    assert town.live.driver(driver_id).trip_id is None


async def test_a_trip_that_ends_unheard_of_while_it_is_read_is_not_taken_over(town: Town) -> None:
    driver_id = await town.hire()
    trip = await trip_of(town, driver_id)
    town.supply.set_free(driver_id)  # as after a restart that knows nothing of it

    async def end() -> None:
        await town.trips.cancel(trip.trip_id, By("ops", "ops"))

    assert (await acting(town, after_trip=[end]).state(driver_id)).trip is None
    assert town.live.driver(driver_id).trip_id is None


async def test_a_trip_that_begins_while_its_driver_connects_is_in_the_welcome(town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        await town.ask()
        offer_id = (await app.hear("offer"))["offer_id"]

        async def begin() -> None:
            await Desk(town.rooms).accept(driver_id, offer_id)

        state = await acting(town, after_trip=[begin]).state(driver_id)
    assert state.trip is not None
    assert town.live.driver(driver_id).trip_id == state.trip["trip_id"]


async def test_a_driver_whose_trip_ended_without_a_word_is_freed_by_connecting(town: Town) -> None:
    driver_id = await town.hire()
    town.supply.set_busy(driver_id, "trip_gone")
    async with town.app(driver_id) as app:
        assert (await app.hear("welcome"))["trip"] is None
        assert town.live.driver(driver_id).trip_id is None


async def test_a_trip_that_never_stays_the_same_is_not_read_for_ever(town: Town) -> None:
    driver_id = await town.hire()
    trips = iter(range(100))

    async def flip() -> None:
        town.supply.set_busy(driver_id, f"trip_{next(trips)}")

    with pytest.raises(Unavailable):
        await acting(town, after_trip=[flip] * 100).state(driver_id)


async def test_a_suspended_driver_does_not_come_back_to_work_by_a_restart(town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id):
        await town.until(lambda: town.gateway.counts().pings_logged == 1)
    await town.suspend_unheard(driver_id)
    await restart(town)
    last = await town.trails.last_position(driver_id)
    assert last is not None
    assert last.online  # which the welcome must not believe
    async with town.app(driver_id) as app:
        assert (await app.hear("welcome"))["offers"] == []
        await come_by(town, driver_id, app)
        assert not town.live.driver(driver_id).in_supply
        await app.say("status", online=True)
        assert (await app.hear("error"))["code"] == "not_approved"


async def test_after_a_restart_the_supply_knows_the_car_of_who_is_still_online(town: Town) -> None:
    driver_id = await town.hire(vehicle_class="premium")
    async with town.working(driver_id):
        await town.until(lambda: town.gateway.counts().pings_logged == 1)
    await restart(town)
    async with town.app(driver_id) as app:
        await app.hear("welcome")
        await come_by(town, driver_id, app)
        await town.supply.flush()
        rows = await town.store.in_segments([town.live.driver(driver_id).segment])
    assert (rows.driver_ids, rows.vehicle, rows.flags.tolist()) == ([driver_id], ["premium"], [ONLINE])
    assert rows.seats.tolist() == [4]


async def test_a_driver_without_an_account_connects_and_is_not_supply(town: Town) -> None:
    async with town.app("drv_nobody") as app:
        assert (await app.hear("welcome"))["trip"] is None
        await come_by(town, "drv_nobody", app)
        assert not town.live.driver("drv_nobody").in_supply


async def restart(town: Town) -> None:
    """Another engine on the same stores, as far as drivers are concerned."""
    await town.gateway.close()
    town.live._drivers.clear()
    town.live._by_slot.clear()
    fresh = LiveDrivers()
    town.live.rows, town.live.dirty, town.live.tallies = fresh.rows, fresh.dirty, fresh.tallies
    await town.open()


async def come_by(town: Town, driver_id: str, app: App) -> None:
    town.clock._now += 1
    await app.say("ping", **town.ping(2, north_m=100))
    await town.until(lambda: town.live.driver(driver_id).placed)


async def test_suspending_a_driver_brings_their_offer_to_the_next_one(town: Town) -> None:
    near, far = await town.hire("Bo"), await town.hire("Eva")
    async with town.working(near, 100) as first, town.working(far, 500) as second:
        request = await town.ask()
        offer = await first.hear("offer")
        await town.suspend(near)
        assert (await second.hear("offer"))["request_id"] == request.request_id
        await first.say("accept", offer_id=offer["offer_id"])
        assert (await first.hear("error"))["code"] == "offer_closed"
        assert not town.live.driver(near).in_supply


async def test_an_offer_is_not_accepted_by_a_driver_suspended_meanwhile_and_goes_to_the_next(town: Town) -> None:
    near, far = await town.hire("Bo"), await town.hire("Eva")
    async with town.working(near, 100) as first, town.working(far, 500) as second:
        request = await town.ask()
        offer = await first.hear("offer")
        await town.suspend_unheard(near)
        await first.say("accept", offer_id=offer["offer_id"])
        assert (await first.hear("error"))["code"] == "not_approved"
        assert (await second.hear("offer"))["request_id"] == request.request_id
        assert await town.live_trips.active() == []


async def test_who_accepts_hears_of_the_trip_at_once_and_is_busy_before_any_event_is_relayed(town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        request = await town.ask()
        await app.say("accept", offer_id=(await app.hear("offer"))["offer_id"])
        trip = await app.hear("trip")
        assert (trip["request_id"], trip["status"]) == (request.request_id, "assigned")
        await town.supply.flush()
        rows = await town.store.in_segments([town.live.driver(driver_id).segment])
        assert rows.flags.tolist() == [ONLINE | BUSY]


async def test_an_accept_whose_trip_cannot_be_read_yet_stands_and_is_told_by_its_event(town: Town) -> None:
    driver_id = await town.hire()
    async with town.working(driver_id) as app:
        await town.ask()
        offer_id = (await app.hear("offer"))["offer_id"]
        read, failures = town.live_trips.get, [Unavailable("the store is away")]

        async def get(trip_id: str) -> Trip | None:
            if failures:
                raise failures.pop()
            return await read(trip_id)

        town.audience._live = cast(Any, SimpleNamespace(get=get))
        await Desk(town.rooms).accept(driver_id, offer_id)
        assert town.live.driver(driver_id).trip_id is None
        await town.relay()
        assert (await app.hear("trip"))["status"] == "assigned"
