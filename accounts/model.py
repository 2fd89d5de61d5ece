"""Riders, drivers and their vehicles, and the checks on what people enter. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec

from core.errors import FieldError, InvalidInput

RiderClass = Literal["standard", "premium"]
VehicleClass = Literal["standard", "premium"]
DriverStatus = Literal["pending", "approved", "suspended"]
Role = Literal["rider", "driver"]

NAME_MAX = 80
EMAIL_MAX = 120
PLATE_MAX = 12
SEATS_MAX = 16

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_PLATE = re.compile(rf"[A-Z0-9ÅÄÖ]{{2,{PLATE_MAX}}}")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")


class Vehicle(msgspec.Struct, frozen=True, rename={"vehicle_class": "class"}):
    """A car. `seats` are for passengers."""

    plate: str
    vehicle_class: VehicleClass
    seats: int


class Rider(msgspec.Struct, frozen=True, kw_only=True):
    """A rider. Ratings are kept as their sum and number, so that the mean is exact."""

    rider_id: str
    name: str
    phone: str
    email: str | None
    rider_class: RiderClass
    created_at: float
    ratings_sum: int = 0
    ratings: int = 0

    @property
    def rating(self) -> float | None:
        """Mean stars, or None when nobody has rated."""
        return mean_stars(self.ratings_sum, self.ratings)


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """A driver and the car."""

    driver_id: str
    name: str
    phone: str
    vehicle: Vehicle
    status: DriverStatus
    created_at: float
    ratings_sum: int = 0
    ratings: int = 0

    @property
    def rating(self) -> float | None:
        """Mean stars, or None when nobody has rated."""
        return mean_stars(self.ratings_sum, self.ratings)


class NewRider(msgspec.Struct, frozen=True):
    """What a rider enters to sign up."""

    name: str
    phone: str
    email: str | None = None


class NewDriver(msgspec.Struct, frozen=True):
    """What is entered to sign a driver up."""

    name: str
    phone: str
    vehicle: Vehicle


class RiderPatch(msgspec.Struct, frozen=True):
    """Changes to a rider; None leaves a field as it is. `rider_class` is for ops."""

    name: str | None = None
    email: str | None = None
    rider_class: RiderClass | None = None


class DriverPatch(msgspec.Struct, frozen=True):
    """Changes to a driver; None leaves a field as it is. All but the name are for ops."""

    name: str | None = None
    status: DriverStatus | None = None
    plate: str | None = None
    vehicle_class: VehicleClass | None = None
    seats: int | None = None


def mean_stars(total: int, count: int) -> float | None:
    """The mean, to two places as it is shown."""
    return round(total / count, 2) if count else None


def normal_phone(phone: object) -> str:
    """A phone number as E.164: +46 (0)70-123 45 67 and 0046701234567 become +46701234567.

    Raises InvalidInput bad_phone. A number without its country is refused: guessing it would reach someone else.
    """
    if isinstance(phone, str) and len(phone) <= 40:
        bare = re.sub(r"[\s\-./]|\(0\)|[()]", "", phone)
        bare = "+" + bare[2:] if bare.startswith("00") else bare
        if _PHONE.fullmatch(bare):
            return bare
    error = FieldError("phone", "must be a number with its country, such as +46701234567")
    raise InvalidInput(f"phone {error.detail}", code="bad_phone", errors=(error,))


def checked_new_rider(new: NewRider) -> NewRider:
    """The same, normalised. Raises InvalidInput that names every wrong field."""
    checks = _Checks()
    checked = NewRider(
        name=checks.name(new.name),
        phone=checks.phone(new.phone),
        email=None if new.email is None else checks.email(new.email),
    )
    checks.raise_wrong()
    return checked


def checked_new_driver(new: NewDriver) -> NewDriver:
    """The same, normalised. Raises InvalidInput that names every wrong field."""
    checks = _Checks()
    checked = NewDriver(checks.name(new.name), checks.phone(new.phone), checks.vehicle(new.vehicle))
    checks.raise_wrong()
    return checked


def patched_rider(rider: Rider, patch: RiderPatch) -> Rider:
    """The rider with the changes. Raises InvalidInput that names every wrong field."""
    checks = _Checks()
    changes: dict[str, Any] = {}
    if patch.name is not None:
        changes["name"] = checks.name(patch.name)
    if patch.email is not None:
        changes["email"] = checks.email(patch.email)
    if patch.rider_class is not None:
        changes["rider_class"] = checks.one_of(patch.rider_class, get_args(RiderClass), "class")
    checks.raise_wrong()
    return msgspec.structs.replace(rider, **changes)


def patched_driver(driver: Driver, patch: DriverPatch) -> Driver:
    """The driver with the changes. Raises InvalidInput that names every wrong field."""
    checks = _Checks()
    changes: dict[str, Any] = {}
    if patch.name is not None:
        changes["name"] = checks.name(patch.name)
    if patch.status is not None:
        changes["status"] = checks.one_of(patch.status, get_args(DriverStatus), "status")
    car = {"plate": patch.plate, "vehicle_class": patch.vehicle_class, "seats": patch.seats}
    car = {name: value for name, value in car.items() if value is not None}
    if car:
        changes["vehicle"] = checks.vehicle(msgspec.structs.replace(driver.vehicle, **car))
    checks.raise_wrong()
    return msgspec.structs.replace(driver, **changes)


class _Checks:
    """Collects what is wrong, so that one answer names every field."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    def name(self, value: object) -> str:
        text = " ".join(value.split()) if isinstance(value, str) else ""
        if not text or len(text) > NAME_MAX or not text.isprintable():
            self._wrong("name", f"must be 1 to {NAME_MAX} printable characters")
        return text

    def phone(self, value: object) -> str:
        try:
            return normal_phone(value)
        except InvalidInput as error:
            self._errors.extend(error.errors)
            return ""

    def email(self, value: object) -> str:
        text = value.strip() if isinstance(value, str) else ""
        if len(text) > EMAIL_MAX or not text.isprintable() or not _EMAIL.fullmatch(text):
            self._wrong("email", f"must be an address such as ada@example.org, at most {EMAIL_MAX} characters")
        return text

    def vehicle(self, value: Vehicle) -> Vehicle:
        plate = re.sub(r"[\s\-]", "", value.plate).upper() if isinstance(value.plate, str) else ""
        if not _PLATE.fullmatch(plate):
            self._wrong("vehicle.plate", f"must be 2 to {PLATE_MAX} letters and digits")
        self.one_of(value.vehicle_class, get_args(VehicleClass), "vehicle.class")
        if isinstance(value.seats, bool) or not isinstance(value.seats, int) or not 1 <= value.seats <= SEATS_MAX:
            self._wrong("vehicle.seats", f"must be a whole number from 1 to {SEATS_MAX}")
        return Vehicle(plate, value.vehicle_class, value.seats)

    def one_of(self, value: object, allowed: Sequence[object], field: str) -> object:
        if value not in allowed:
            self._wrong(field, f"must be one of {', '.join(map(str, allowed))}")
        return value

    def raise_wrong(self) -> None:
        if self._errors:
            detail = "; ".join(f"{error.field} {error.detail}" for error in self._errors)
            code = "bad_phone" if [error.field for error in self._errors] == ["phone"] else None
            raise InvalidInput(detail, code=code, errors=tuple(self._errors))

    def _wrong(self, field: str, detail: str) -> None:
        self._errors.append(FieldError(field, detail))
