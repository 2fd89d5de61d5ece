"""Riders, drivers and one-time codes in SQL."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.model import EMAIL_MAX, NAME_MAX, PLATE_MAX, Driver, Rider, Role, Vehicle
from accounts.ports import CodeRow, Stars
from core.errors import Conflict
from runtime.gather import Gather
from runtime.sql import Database, Transaction, among, metadata, unique

_ID, _PHONE = 40, 20

riders = sa.Table(
    "riders",
    metadata,
    sa.Column("rider_id", sa.String(_ID), primary_key=True),
    sa.Column("name", sa.String(NAME_MAX), nullable=False),
    sa.Column("phone", sa.String(_PHONE), nullable=False, unique=True),
    sa.Column("email", sa.String(EMAIL_MAX)),
    sa.Column("rider_class", sa.String(12), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("ratings_sum", sa.Integer, nullable=False),
    sa.Column("ratings", sa.Integer, nullable=False),
)

drivers = sa.Table(
    "drivers",
    metadata,
    sa.Column("driver_id", sa.String(_ID), primary_key=True),
    sa.Column("name", sa.String(NAME_MAX), nullable=False),
    sa.Column("phone", sa.String(_PHONE), nullable=False, unique=True),
    sa.Column("plate", sa.String(PLATE_MAX), nullable=False),
    sa.Column("vehicle_class", sa.String(12), nullable=False),
    sa.Column("seats", sa.Integer, nullable=False),
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("ratings_sum", sa.Integer, nullable=False),
    sa.Column("ratings", sa.Integer, nullable=False),
)

# What was counted, by the event that told of it: in the transaction that counts it, so that nothing is counted twice.
rider_ratings, driver_ratings = (
    sa.Table(
        name,
        metadata,
        sa.Column("event_id", sa.String(120), primary_key=True),
        sa.Column("subject", sa.String(_ID), nullable=False, index=True),
        sa.Column("stars", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    for name in ("rider_ratings", "driver_ratings")
)

one_time_codes = sa.Table(
    "one_time_codes",
    metadata,
    sa.Column("code_id", sa.String(_ID), primary_key=True),
    sa.Column("phone", sa.String(_PHONE), nullable=False),
    sa.Column("good_phone", sa.String(_PHONE), unique=True),  # of the one code that may be good; else NULL
    sa.Column("role", sa.String(8), nullable=False),
    sa.Column("subject", sa.String(_ID)),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("made_at", sa.Double, nullable=False, index=True),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Index(None, "phone", "made_at"),
)

_FORGET_AT_ONCE = 50  # old codes with each new one: they cannot pile up, and no sign-in waits for many
_PHONE_TAKEN = "this phone number already has an account"


class SqlRiders:
    """The RiderStore port on one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def add(self, rider: Rider) -> None:
        with unique(riders, {"phone": Conflict(_PHONE_TAKEN, code="phone_taken")}):
            await self._tx.connection.execute(sa.insert(riders).values(**_rider_row(rider)))

    async def get(self, rider_id: str) -> Rider | None:
        return await _rider(
            self._tx.connection, sa.select(riders).where(riders.c.rider_id == rider_id).with_for_update()
        )

    async def save(self, rider: Rider) -> None:
        values = {"name": rider.name, "email": rider.email, "rider_class": rider.rider_class}
        update = sa.update(riders).where(riders.c.rider_id == rider.rider_id)
        await self._tx.connection.execute(update.values(**values))

    async def rated(self, rating: Stars) -> None:
        await _count(self._tx, rider_ratings, riders, rating)


class SqlDrivers:
    """The DriverStore port on one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def add(self, driver: Driver) -> None:
        with unique(drivers, {"phone": Conflict(_PHONE_TAKEN, code="phone_taken")}):
            await self._tx.connection.execute(sa.insert(drivers).values(**_driver_row(driver)))

    async def get(self, driver_id: str) -> Driver | None:
        query = sa.select(drivers).where(drivers.c.driver_id == driver_id).with_for_update()
        return await _driver(self._tx.connection, query)

    async def save(self, driver: Driver) -> None:
        values = _driver_row(driver)
        for kept in ("driver_id", "phone", "created_at", "ratings_sum", "ratings"):
            del values[kept]
        update = sa.update(drivers).where(drivers.c.driver_id == driver.driver_id)
        await self._tx.connection.execute(update.values(**values))

    async def rated(self, rating: Stars) -> None:
        await _count(self._tx, driver_ratings, drivers, rating)


_CODE = [column for column in one_time_codes.columns if column.name != "good_phone"]


class SqlCodes:
    """The CodeStore port on one transaction. A spent code is one whose time is over."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def void(self, phone: str) -> None:
        mine = sa.update(one_time_codes).where(one_time_codes.c.phone == phone)
        await self._tx.connection.execute(mine.values(expires_at=0.0, good_phone=None))

    async def made_since(self, phone: str, since: float) -> list[float]:
        query = (
            sa.select(one_time_codes.c.made_at)
            .where(one_time_codes.c.phone == phone, one_time_codes.c.made_at > since)
            .order_by(one_time_codes.c.made_at)
        )
        return list((await self._tx.connection.execute(query)).scalars())

    async def add(self, row: CodeRow, forget_before: float) -> None:
        connection = self._tx.connection
        old = sa.select(one_time_codes.c.code_id).where(one_time_codes.c.made_at <= forget_before)
        oldest = old.order_by(one_time_codes.c.made_at).limit(_FORGET_AT_ONCE)
        if found := (await connection.execute(oldest)).scalars().all():
            await connection.execute(sa.delete(one_time_codes).where(one_time_codes.c.code_id.in_(found)))
        values = {name: getattr(row, name) for name in row.__struct_fields__} | {"good_phone": row.phone}
        with unique(one_time_codes, {"good_phone": Conflict("a code was made meanwhile", code="code_under_way")}):
            await connection.execute(sa.insert(one_time_codes).values(**values))

    async def latest(self, phone: str) -> CodeRow | None:
        query = (
            sa.select(*_CODE)
            .where(one_time_codes.c.phone == phone)
            .order_by(one_time_codes.c.expires_at.desc())
            .limit(1)
            .with_for_update()
        )
        row = (await self._tx.connection.execute(query)).mappings().first()
        return None if row is None else CodeRow(**row)

    async def count_try(self, code_id: str) -> None:
        update = sa.update(one_time_codes).where(one_time_codes.c.code_id == code_id)
        await self._tx.connection.execute(update.values(tries=one_time_codes.c.tries + 1))

    async def spend(self, code_id: str) -> None:
        update = sa.update(one_time_codes).where(one_time_codes.c.code_id == code_id)
        await self._tx.connection.execute(update.values(expires_at=0.0))


class SqlRiderWork:
    """The RiderWork port on one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self.riders = SqlRiders(tx)


class SqlDriverWork:
    """The DriverWork port on one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self.drivers = SqlDrivers(tx)


class SqlCodeWork:
    """The CodeWork port on one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self.codes = SqlCodes(tx)


class SqlTransactions[Work]:
    """The Transactions port on the database that the work's tables are in."""

    def __init__(self, database: Database, work: Callable[[Transaction], Work]) -> None:
        self._database = database
        self._work = work

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[Work]:
        async with self._database.transaction() as tx:
            yield self._work(tx)


class SqlPeople:
    """The People port, on the riders' and the drivers' database."""

    def __init__(self, of_riders: Database, of_drivers: Database) -> None:
        self._of_riders = of_riders
        self._of_drivers = of_drivers
        settings = of_riders.settings
        self._rider = Gather(self._riders, settings.booking_batch, settings.waiting)

    async def rider(self, rider_id: str) -> Rider | None:
        return await self._rider(rider_id)

    async def driver(self, driver_id: str) -> Driver | None:
        async with self._of_drivers.reading() as connection:
            return await _driver(connection, sa.select(drivers).where(drivers.c.driver_id == driver_id))

    async def drivers(self, driver_ids: list[str]) -> dict[str, Driver]:
        query = sa.select(drivers).where(drivers.c.driver_id.in_(driver_ids))
        async with self._of_drivers.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return {row["driver_id"]: _driver_of(row) for row in rows}

    async def _riders(self, rider_ids: Sequence[str]) -> Sequence[Rider | None]:
        query = sa.select(riders).where(among(riders.c.rider_id, rider_ids, self._of_riders.kind))
        async with self._of_riders.reading() as connection:
            found = {row["rider_id"]: Rider(**row) for row in (await connection.execute(query)).mappings()}
        return [found.get(rider_id) for rider_id in rider_ids]

    async def subject_of(self, role: Role, phone: str) -> str | None:
        table, database = (riders, self._of_riders) if role == "rider" else (drivers, self._of_drivers)
        async with database.reading() as connection:
            found = await connection.execute(sa.select(*table.primary_key.columns).where(table.c.phone == phone))
            return found.scalar_one_or_none()


async def _count(tx: Transaction, counted: sa.Table, accounts: sa.Table, rating: Stars) -> None:
    """Count a rating, atomically: two at once both count."""
    row = {name: getattr(rating, name) for name in rating.__struct_fields__}
    with unique(counted, {"event_id": Conflict("this rating is counted", code="already_counted")}):
        await tx.connection.execute(sa.insert(counted).values(**row))
    (key,) = accounts.primary_key.columns
    added = {"ratings_sum": accounts.c.ratings_sum + rating.stars, "ratings": accounts.c.ratings + 1}
    await tx.connection.execute(sa.update(accounts).where(key == rating.subject).values(**added))


async def _rider(connection: AsyncConnection, query: sa.Select[Any]) -> Rider | None:
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else Rider(**row)


async def _driver(connection: AsyncConnection, query: sa.Select[Any]) -> Driver | None:
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else _driver_of(row)


def _driver_of(row: sa.RowMapping) -> Driver:
    return Driver(
        driver_id=row["driver_id"],
        name=row["name"],
        phone=row["phone"],
        vehicle=Vehicle(row["plate"], row["vehicle_class"], row["seats"]),
        status=row["status"],
        created_at=row["created_at"],
        ratings_sum=row["ratings_sum"],
        ratings=row["ratings"],
    )


def _rider_row(rider: Rider) -> dict[str, Any]:
    return {name: getattr(rider, name) for name in rider.__struct_fields__}


def _driver_row(driver: Driver) -> dict[str, Any]:
    row = {name: getattr(driver, name) for name in driver.__struct_fields__ if name != "vehicle"}
    car = driver.vehicle
    return {**row, "plate": car.plate, "vehicle_class": car.vehicle_class, "seats": car.seats}
