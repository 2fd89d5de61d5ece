"""What the edge and trips need of accounts: riders, drivers, sessions, driver cards."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from accounts.adapters.sql import SqlPeople
from accounts.model import Driver, DriverPatch, NewDriver, NewRider, Rider, RiderPatch, Vehicle
from accounts.service import DriverDesk, RiderDesk
from accounts.sessions import SessionDesk
from core.clock import rfc3339
from core.errors import Conflict, NotFound
from core.geo import FloatArray
from runtime.auth import Identity
from trips.model import DriverCard, TripDriver, TripVehicle
from web.ports import Body, Role

_log = logging.getLogger("hexcab.sessions")


class LoggedCodes:
    """accounts' CodeSender where no SMS service is connected: the operator reads the code in the log."""

    async def send(self, phone: str, code: str, good_for_s: float) -> None:
        _log.info("one-time code", extra={"phone": phone, "code": code, "good_for_s": good_for_s})


class People:
    """web's Accounts."""

    def __init__(self, riders: RiderDesk, drivers: DriverDesk) -> None:
        self._riders = riders
        self._drivers = drivers

    async def create_rider(self, rider: Body) -> Body:
        return _rider(await self._riders.create(NewRider(rider["name"], rider["phone"], rider.get("email"))))

    async def rider(self, rider_id: str) -> Body:
        return _rider(await self._riders.get(rider_id))

    async def change_rider(self, rider_id: str, changes: Body, by_ops: bool) -> Body:
        patch = RiderPatch(changes.get("name"), changes.get("email"), changes.get("class"))
        return _rider(await self._riders.change(rider_id, patch, by_ops=by_ops))

    async def create_driver(self, driver: Body, approved: bool) -> Body:
        new = NewDriver(driver["name"], driver["phone"], _vehicle(driver["vehicle"]))
        return _driver(await self._drivers.create(new, by_ops=approved))

    async def driver(self, driver_id: str) -> Body:
        return _driver(await self._drivers.get(driver_id))

    async def change_driver(self, driver_id: str, changes: Body, by_ops: bool) -> Body:
        vehicle = changes.get("vehicle") or {}
        patch = DriverPatch(
            name=changes.get("name"),
            status=changes.get("status"),
            plate=vehicle.get("plate"),
            vehicle_class=vehicle.get("class"),
            seats=vehicle.get("seats"),
        )
        return _driver(await self._drivers.change(driver_id, patch, by_ops=by_ops))


class SignIn:
    """web's Sessions."""

    def __init__(self, desk: SessionDesk) -> None:
        self._desk = desk

    async def start(self, phone: str, role: Role) -> None:
        await self._desk.start(phone, role)

    async def verify(self, phone: str, code: str) -> Identity:
        session = await self._desk.verify(phone, code)
        return Identity(session.role, session.subject)


class StarRatings:
    """dispatch's Ratings."""

    def __init__(self, people: SqlPeople) -> None:
        self._people = people

    async def of(self, driver_ids: Sequence[str]) -> FloatArray:
        known = await self._people.drivers(list(driver_ids))
        stars = [known[driver_id].rating if driver_id in known else None for driver_id in driver_ids]
        return np.array([np.nan if each is None else each for each in stars], dtype=np.float64)


class Cards:
    """trips' DriverCards."""

    def __init__(self, people: SqlPeople) -> None:
        self._people = people

    async def __call__(self, driver_id: str) -> DriverCard:
        driver = await self._people.driver(driver_id)
        if driver is None:
            raise NotFound(f"no driver {driver_id}")
        if driver.status != "approved":  # suspended after the offer was made
            raise Conflict(f"driver {driver_id} is {driver.status}, not approved", code="not_approved")
        vehicle = TripVehicle(driver.vehicle.plate, driver.vehicle.vehicle_class, driver.vehicle.seats)
        return DriverCard(TripDriver(driver.name, driver.rating), vehicle)


def _vehicle(vehicle: dict[str, Any]) -> Vehicle:
    return Vehicle(plate=vehicle["plate"], vehicle_class=vehicle["class"], seats=vehicle["seats"])


def _rider(rider: Rider) -> Body:
    return {
        "rider_id": rider.rider_id,
        "name": rider.name,
        "phone": rider.phone,
        "email": rider.email,
        "class": rider.rider_class,
        "rating": rider.rating,
        "created_at": rfc3339(rider.created_at),
    }


def _driver(driver: Driver) -> Body:
    return {
        "driver_id": driver.driver_id,
        "name": driver.name,
        "phone": driver.phone,
        "vehicle": msgspec.to_builtins(driver.vehicle),
        "status": driver.status,
        "rating": driver.rating,
        "created_at": rfc3339(driver.created_at),
    }
