"""What the accounts room needs from outside, in its own words."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from accounts.model import Driver, Rider, Role


class Stars(msgspec.Struct, frozen=True):
    """A rating (1..5) that an event told of; `event_id` is what it is known again by."""

    event_id: str
    subject: str
    stars: int
    at: float


class RiderStore(Protocol):
    """Riders, inside one transaction."""

    async def add(self, rider: Rider) -> None:
        """Raises Conflict phone_taken."""
        ...

    async def get(self, rider_id: str) -> Rider | None:
        """The rider, locked until the transaction ends."""
        ...

    async def save(self, rider: Rider) -> None:
        """Write what a patch may change; ratings are counted by `rated`."""
        ...

    async def rated(self, rating: Stars) -> None:
        """Count a rating. Raises Conflict already_counted when the same event was counted before."""
        ...


class DriverStore(Protocol):
    """Drivers, inside one transaction."""

    async def add(self, driver: Driver) -> None:
        """Raises Conflict phone_taken."""
        ...

    async def get(self, driver_id: str) -> Driver | None:
        """The driver, locked until the transaction ends."""
        ...

    async def save(self, driver: Driver) -> None:
        """Write what a patch may change; ratings are counted by `rated`."""
        ...

    async def rated(self, rating: Stars) -> None:
        """Count a rating. Raises Conflict already_counted when the same event was counted before."""
        ...


class CodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time code as it is kept. `subject` is None when nobody has this phone: then nothing was sent."""

    code_id: str
    phone: str
    role: Role
    subject: str | None
    digest: str
    tries: int
    made_at: float
    expires_at: float


class CodeStore(Protocol):
    """One-time codes, inside one transaction."""

    async def void(self, phone: str) -> None:
        """No code of a phone is good any more. Whoever makes another for it at the same time comes second."""
        ...

    async def made_since(self, phone: str, since: float) -> list[float]:
        """When the codes of a phone were made, oldest first."""
        ...

    async def add(self, row: CodeRow, forget_before: float) -> None:
        """Keep a code, the only good one of its phone after `void`; forget some of those made before `forget_before`.

        Raises Conflict code_under_way when another was made meanwhile.
        """
        ...

    async def latest(self, phone: str) -> CodeRow | None:
        """The newest code of a phone, locked until the transaction ends."""
        ...

    async def count_try(self, code_id: str) -> None: ...

    async def spend(self, code_id: str) -> None:
        """The code was used: it is no longer good, but it still counts as sent."""
        ...


class RiderWork(Protocol):
    """One transaction on the riders' database."""

    @property
    def riders(self) -> RiderStore: ...


class DriverWork(Protocol):
    """One transaction on the drivers' database, which may be another."""

    @property
    def drivers(self) -> DriverStore: ...


class CodeWork(Protocol):
    """One transaction on the database of one-time codes."""

    @property
    def codes(self) -> CodeStore: ...


class Transactions[Work](Protocol):
    """Begins a unit of work: commits when the block ends, rolls back when it raises."""

    def __call__(self) -> AbstractAsyncContextManager[Work]: ...


class People(Protocol):
    """Reading accounts without a lock."""

    async def rider(self, rider_id: str) -> Rider | None: ...

    async def driver(self, driver_id: str) -> Driver | None: ...

    async def drivers(self, driver_ids: list[str]) -> dict[str, Driver]:
        """Those of these drivers that exist, by id."""
        ...

    async def subject_of(self, role: Role, phone: str) -> str | None:
        """Whose phone this is."""
        ...


class DriverWatch(Protocol):
    """Who must know that a driver was approved, suspended or changed cars. Called after the commit; must not raise."""

    async def changed(self, driver: Driver) -> None: ...


class CodeSender(Protocol):
    """Takes a one-time code to a phone."""

    async def send(self, phone: str, code: str, good_for_s: float) -> None:
        """Raises Unavailable when it cannot be sent."""
        ...


class Minter(Protocol):
    """Makes bearer tokens."""

    def __call__(self, scope: Role, subject: str, ttl_s: float, /) -> str: ...
