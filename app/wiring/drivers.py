"""What the gateway needs: who a driver is, and what their messages ask of dispatch, trips and accounts."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from accounts.model import Driver
from accounts.service import DriverDesk as Accounts
from app.wiring.apps import Car, Elsewhere
from app.wiring.trips import Audience
from core.errors import Forbidden, HexcabError, NotFound, Unauthorized, Unavailable
from dispatch.service import RideDesk
from location.model import DriverState
from location.supply import Supply
from runtime.auth import Identity, Tickets, Tokens
from trips.model import By, Trip
from trips.service import TripDesk
from trips.views import trip_body

_log = logging.getLogger("hexcab.drivers")
_READS = 5  # of a driver's trip, when a trip begins or ends during each


@dataclass(frozen=True, slots=True)
class DriverRooms:
    """The rooms that a driver's messages reach."""

    accounts: Accounts
    rides: RideDesk
    trips: TripDesk
    supply: Supply
    audience: Audience


class Desk:
    """location's DriverDesk."""

    def __init__(self, rooms: DriverRooms) -> None:
        self._rooms = rooms

    async def state(self, driver_id: str) -> DriverState:
        approved = await self._is_approved(driver_id)
        offers = await self._rooms.rides.offer_messages(driver_id) if approved else []
        trip = await self._trip_of(driver_id)  # last: nothing may be awaited between this and the answer
        return DriverState(
            trip=None if trip is None else trip_body(trip, "driver"), offers=offers, online=None if approved else False
        )

    async def _is_approved(self, driver_id: str) -> bool:
        """Whether the driver may work; the supply knows the car from here on, also after a restart."""
        try:
            driver = await self._rooms.accounts.get(driver_id)
        except NotFound:
            return False
        self._rooms.supply.set_vehicle(driver_id, driver.vehicle.vehicle_class, driver.vehicle.seats)
        return driver.status == "approved"

    async def _trip_of(self, driver_id: str) -> Trip | None:
        """The driver's trip, which the driver is busy with on return; without one, the driver is free."""
        duty = self._rooms.audience.duty
        for _ in range(_READS):
            before = duty.trip_of(driver_id)
            trip = await self._rooms.trips.active_of_driver(driver_id)
            if duty.trip_of(driver_id) != before:
                continue  # a trip began or ended meanwhile: what was read may be older
            if trip is None:
                if before is not None:
                    duty.no_trip(driver_id, before)
                return None
            if duty.note(trip):
                return trip
        raise Unavailable("the trip of this driver changes too fast to be read; connect again")

    async def status(self, driver_id: str, online: bool) -> None:
        if not online:
            await self._rooms.rides.driver_gone(driver_id)
            return
        try:
            driver = await self._rooms.accounts.approved(driver_id)
        except NotFound as error:
            raise Forbidden(f"driver {driver_id} is not registered", code="not_approved") from error
        self._rooms.supply.set_vehicle(driver_id, driver.vehicle.vehicle_class, driver.vehicle.seats)

    async def disconnected(self, driver_id: str) -> None:
        await self._rooms.rides.driver_gone(driver_id)

    async def accept(self, driver_id: str, offer_id: str) -> None:
        accepted = await self._rooms.rides.accept(driver_id, offer_id)
        with contextlib.suppress(Unavailable):  # it is committed: TripAssigned tells once the store is back
            await self._rooms.audience.opened(accepted.trip_id)

    async def decline(self, driver_id: str, offer_id: str, reason: str | None) -> None:
        await self._rooms.rides.decline(driver_id, offer_id, reason)

    async def arrive(self, driver_id: str, trip_id: str) -> None:
        await self._rooms.trips.arrive(driver_id, trip_id)

    async def board(self, driver_id: str, trip_id: str, start_code: str) -> None:
        await self._rooms.trips.board(driver_id, trip_id, start_code)

    async def complete(self, driver_id: str, trip_id: str) -> None:
        await self._rooms.trips.complete(driver_id, trip_id)

    async def cancel(self, driver_id: str, trip_id: str, reason: str) -> None:
        await self._rooms.trips.cancel(trip_id, By("driver", driver_id), reason)


class DriverTokens:
    """location's Authorize: drivers alone, by token or by a ticket that is still to be used up.

    `uses_known` raises Unavailable while no ticket could be used up.
    """

    def __init__(self, tokens: Tokens, tickets: Tickets, uses_known: Callable[[], None]) -> None:
        self._tokens = tokens
        self._tickets = tickets
        self._uses_known = uses_known

    def __call__(self, token: str | None, ticket: str | None) -> Identity:
        if token is not None:
            who = self._tokens.verify(token)
        elif ticket is not None:
            self._uses_known()
            who = self._tickets.caller(ticket)
        else:
            raise Unauthorized("a driver's token is needed")
        if who.scope != "driver":
            raise Forbidden(f"this socket is for drivers, not for {who.scope}")
        return who


class AccountWatch:
    """accounts' DriverWatch: the supply knows the car; who is suspended leaves it, and open offers go elsewhere."""

    def __init__(self, supply: Supply, rides: RideDesk, elsewhere: Elsewhere) -> None:
        self._supply = supply
        self._rides = rides
        self._elsewhere = elsewhere

    async def changed(self, driver: Driver) -> None:
        driver_id, approved = driver.driver_id, driver.status == "approved"
        car = Car(driver.vehicle.vehicle_class, driver.vehicle.seats)
        self.changed_here(driver_id, car, approved)
        await self._elsewhere.account(driver_id, car, approved)
        if approved:
            return
        try:
            await self._rides.driver_gone(driver_id)
        except HexcabError as error:  # they end at their deadline, and cannot be accepted before
            _log.warning("offers of a driver could not be ended: %s", error.detail, extra={"driver_id": driver_id})

    def changed_here(self, driver_id: str, car: Car, approved: bool) -> None:
        """Take the change over in the supply, for a driver whom this host has met."""
        if self._supply.live.get(driver_id) is None:
            return
        self._supply.set_vehicle(driver_id, car.vehicle_class, car.seats)
        if not approved:
            self._supply.set_online(driver_id, False)
