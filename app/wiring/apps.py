"""The way to the apps: the sockets of this host, and those of the others."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from location.gateway.server import Gateway
from trips.model import Trip
from web.hub import Hub


class Car(NamedTuple):
    """What the supply knows of a driver's car."""

    vehicle_class: str
    seats: int


class Elsewhere(Protocol):
    """The other hosts."""

    async def deliver(self, driver_id: str, message: dict[str, Any]) -> bool:
        """Hand a message to a driver who is connected to another host; False when that cannot be done now."""
        ...

    async def tell_rider(self, rider_id: str, message: dict[str, Any]) -> None:
        """Send a message to the rider's sockets on other hosts."""
        ...

    async def trip(self, trip: Trip) -> None:
        """Bring a trip's news to whichever other hosts its driver and rider are connected to.

        Raises Unavailable when one of them may not have heard of it.
        """
        ...

    async def account(self, driver_id: str, car: Car, approved: bool) -> None:
        """Bring a change of a driver's account to the host that they are connected to, as far as it can be reached."""
        ...


class Alone:
    """Elsewhere, where this host is the only one."""

    async def deliver(self, driver_id: str, message: dict[str, Any]) -> bool:
        return False

    async def tell_rider(self, rider_id: str, message: dict[str, Any]) -> None: ...

    async def trip(self, trip: Trip) -> None: ...

    async def account(self, driver_id: str, car: Car, approved: bool) -> None: ...


class Apps:
    """dispatch's Delivery. The gateway is given later, as it needs a desk first."""

    def __init__(self, hub: Hub, elsewhere: Elsewhere) -> None:
        self._hub = hub
        self._elsewhere = elsewhere
        self.gateway: Gateway | None = None

    async def deliver(self, driver_id: str, message: dict[str, Any]) -> bool:
        return self.deliver_here(driver_id, message) or await self._elsewhere.deliver(driver_id, message)

    async def tell_rider(self, rider_id: str, message: dict[str, Any]) -> None:
        self.tell_rider_here(rider_id, message)
        await self._elsewhere.tell_rider(rider_id, message)

    def deliver_here(self, driver_id: str, message: dict[str, Any]) -> bool:
        """Hand a message to a driver of this host; False when there is none or they do not take more."""
        return self.gateway is not None and self.gateway.deliver(driver_id, message)

    def tell_rider_here(self, rider_id: str, message: dict[str, Any]) -> bool:
        """Send a message to the rider's sockets on this host; False when there is none."""
        return self._hub.tell(rider_id, message)
