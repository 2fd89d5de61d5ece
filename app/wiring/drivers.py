"""What the gateway needs: who a driver is, and what their messages ask of dispatch, trips and accounts."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.model import Driver
from accounts.service import DriverDesk as Accounts
from app.wiring.board import Board
from core.errors import Forbidden, NotFound, Unauthorized
from dispatch.service import RideDesk
from location.model import DriverState
from location.supply import Supply
from runtime.auth import Identity, Tickets, Tokens
from trips.model import By
from trips.service import TripDesk
from trips.views import trip_body


@dataclass(frozen=True, slots=True)
class DriverRooms:
    """The rooms that a driver's messages reach."""

    accounts: Accounts
    rides: RideDesk
    trips: TripDesk
    supply: Supply
    board: Board


class Desk:
    """location's DriverDesk."""

    def __init__(self, rooms: DriverRooms) -> None:
        self._rooms = rooms

    async def state(self, driver_id: str) -> DriverState:
        trip = await self._rooms.trips.active_of_driver(driver_id)
        if trip is not None:
            self._rooms.board.note(trip)
        return DriverState(
            trip=None if trip is None else trip_body(trip, "driver"),
            offers=await self._rooms.rides.offer_messages(driver_id),
        )

    async def status(self, driver_id: str, online: bool) -> None:
        if not online:
            await self._rooms.rides.driver_gone(driver_id)
            return
        try:
            driver = await self._rooms.accounts.approved(driver_id)
        except NotFound as error:
            raise Forbidden(f"driver {driver_id} is not registered", code="not_approved") from error
        self._rooms.supply.set_vehicle(driver_id, driver.vehicle.vehicle_class)

    async def disconnected(self, driver_id: str) -> None:
        await self._rooms.rides.driver_gone(driver_id)

    async def accept(self, driver_id: str, offer_id: str) -> None:
        await self._rooms.rides.accept(driver_id, offer_id)

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
    """location's Authorize: drivers alone, by token or ticket."""

    def __init__(self, tokens: Tokens, tickets: Tickets) -> None:
        self._tokens = tokens
        self._tickets = tickets

    def __call__(self, token: str | None, ticket: str | None) -> Identity:
        if token is not None:
            who = self._tokens.verify(token)
        elif ticket is not None:
            who = self._tickets.redeem(ticket)
        else:
            raise Unauthorized("a driver's token is needed")
        if who.scope != "driver":
            raise Forbidden(f"this socket is for drivers, not for {who.scope}")
        return who


class AccountWatch:
    """accounts' DriverWatch: the supply knows the car, and a suspended driver is offered nothing more."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply

    async def changed(self, driver: Driver) -> None:
        self._supply.set_vehicle(driver.driver_id, driver.vehicle.vehicle_class)
        if driver.status != "approved":
            self._supply.set_online(driver.driver_id, False)
