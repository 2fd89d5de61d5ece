"""The rider desk and the driver desk: sign up, look up, change."""

from __future__ import annotations

import msgspec

from accounts.model import (
    Driver,
    DriverPatch,
    NewDriver,
    NewRider,
    Rider,
    RiderPatch,
    checked_new_driver,
    checked_new_rider,
    patched_driver,
    patched_rider,
)
from accounts.ports import DriverWatch, DriverWork, People, RiderWork, Transactions
from core.clock import Clock
from core.errors import FieldError, Forbidden, NotFound
from core.ids import Ids


class RiderDesk:
    """Riders."""

    def __init__(self, transactions: Transactions[RiderWork], people: People, ids: Ids, clock: Clock) -> None:
        self._transactions = transactions
        self._people = people
        self._ids = ids
        self._clock = clock

    async def create(self, new: NewRider) -> Rider:
        """Sign a rider up. Raises InvalidInput naming the fields, and Conflict phone_taken."""
        checked = checked_new_rider(new)
        rider = Rider(
            rider_id=self._ids.new("rdr"),
            name=checked.name,
            phone=checked.phone,
            email=checked.email,
            rider_class="standard",
            created_at=self._clock.now(),
        )
        async with self._transactions() as uow:
            await uow.riders.add(rider)
        return rider

    async def get(self, rider_id: str) -> Rider:
        """Raises NotFound."""
        rider = await self._people.rider(rider_id)
        if rider is None:
            raise NotFound(f"no rider {rider_id}")
        return rider

    async def change(self, rider_id: str, patch: RiderPatch, *, by_ops: bool) -> Rider:
        """Change a rider. Raises NotFound, InvalidInput naming the fields, and Forbidden ops_only."""
        if not by_ops:
            _refuse_ops_fields(patch, {"rider_class": "class"})
        async with self._transactions() as uow:
            rider = await uow.riders.get(rider_id)
            if rider is None:
                raise NotFound(f"no rider {rider_id}")
            changed = patched_rider(rider, patch)
            if changed != rider:
                await uow.riders.save(changed)
        return changed


class DriverDesk:
    """Drivers and their cars."""

    def __init__(
        self, transactions: Transactions[DriverWork], people: People, watch: DriverWatch, ids: Ids, clock: Clock
    ) -> None:
        self._transactions = transactions
        self._people = people
        self._watch = watch
        self._ids = ids
        self._clock = clock

    async def create(self, new: NewDriver, *, by_ops: bool) -> Driver:
        """Sign a driver up: approved at once by ops, pending otherwise.

        Raises InvalidInput naming the fields, and Conflict phone_taken.
        """
        checked = checked_new_driver(new)
        driver = Driver(
            driver_id=self._ids.new("drv"),
            name=checked.name,
            phone=checked.phone,
            vehicle=checked.vehicle,
            status="approved" if by_ops else "pending",
            created_at=self._clock.now(),
        )
        async with self._transactions() as uow:
            await uow.drivers.add(driver)
        return driver

    async def get(self, driver_id: str) -> Driver:
        """Raises NotFound."""
        driver = await self._people.driver(driver_id)
        if driver is None:
            raise NotFound(f"no driver {driver_id}")
        return driver

    async def approved(self, driver_id: str) -> Driver:
        """The driver, who may work. Raises NotFound, and Forbidden not_approved for one who may not."""
        driver = await self.get(driver_id)
        if driver.status != "approved":
            raise Forbidden(f"driver {driver_id} is {driver.status}, not approved", code="not_approved")
        return driver

    async def change(self, driver_id: str, patch: DriverPatch, *, by_ops: bool) -> Driver:
        """Change a driver. Raises NotFound, InvalidInput naming the fields, and Forbidden ops_only."""
        if not by_ops:
            names = {"status": "status", "plate": "vehicle.plate", "seats": "vehicle.seats"}
            _refuse_ops_fields(patch, {**names, "vehicle_class": "vehicle.class"})
        async with self._transactions() as uow:
            driver = await uow.drivers.get(driver_id)
            if driver is None:
                raise NotFound(f"no driver {driver_id}")
            changed = patched_driver(driver, patch)
            if changed != driver:
                await uow.drivers.save(changed)
        if changed != driver:
            await self._watch.changed(changed)
        return changed


def _refuse_ops_fields(patch: msgspec.Struct, names: dict[str, str]) -> None:
    asked = [shown for name, shown in names.items() if getattr(patch, name) is not None]
    if asked:
        raise Forbidden(
            f"only ops may change {', '.join(asked)}",
            code="ops_only",
            errors=tuple(FieldError(field, "only ops may change this") for field in asked),
        )
