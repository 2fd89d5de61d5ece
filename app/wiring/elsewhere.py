"""The other hosts: what is told to them, and what they may tell this one. runtime/hosts.py carries the calls."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from app.wiring.apps import Apps, Car
from app.wiring.drivers import AccountWatch
from app.wiring.trips import Audience, TrailsHere
from core.errors import Unavailable
from location.gateway import Gateway
from runtime.host_calls import HostCalls
from runtime.hosts import HostServer
from runtime.presence import Presence, Subject
from runtime.router import Router, answer_calls
from trips.model import Trip

_log = logging.getLogger("hexcab.hosts")

_TRIP, _ACCOUNT, _TRAIL_COMPLETE = "trip", "account", "trail_complete"


class OtherHosts:
    """Elsewhere, in a cluster."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def deliver(self, driver_id: str, message: dict[str, Any]) -> bool:
        return await self._router.deliver(driver_id, message)

    async def tell_rider(self, rider_id: str, message: dict[str, Any]) -> None:
        await self._router.tell_rider(rider_id, message)

    async def trip(self, trip: Trip) -> None:
        watching = [Subject("driver", trip.driver_id), Subject("rider", trip.rider_id)]
        await self._router.everyone(watching, _TRIP, trip)

    async def account(self, driver_id: str, car: Car, approved: bool) -> None:
        body = {"driver_id": driver_id, "approved": approved, **car._asdict()}
        try:
            await self._router.everyone([Subject("driver", driver_id)], _ACCOUNT, body)
        except Unavailable as error:  # it is read again when the driver connects, and before a trip is opened
            _log.warning("a driver's host has not heard of a change: %s", error.detail, extra={"driver_id": driver_id})


class TrailsAnywhere:
    """TrailComplete, where the driver's gateway may be another host: what is not durable yet is in its memory alone.

    A host that is dead has lost it. Its pings were never acknowledged, so the app has them still, but the trip goes on
    without them.
    """

    def __init__(self, here: TrailsHere, presence: Presence, calls: HostCalls, host_id: str) -> None:
        self._here = here
        self._presence = presence
        self._calls = calls
        self._host_id = host_id

    async def __call__(self, trip: Trip) -> bool:
        """Raises Unavailable when the driver's host cannot be asked."""
        if not await self._here(trip):
            return False
        for host in (await self._presence.hosts_of([Subject("driver", trip.driver_id)]))[0]:
            if host.id == self._host_id:
                continue
            if not await self._calls.call(host.address, _TRAIL_COMPLETE, {"trip_id": trip.trip_id}):
                return False
        return True


class SocketsHere:
    """runtime.router's Here."""

    def __init__(self, apps: Apps, gateway: Gateway) -> None:
        self._apps = apps
        self._gateway = gateway

    def deliver(self, driver_id: str, message: dict[str, Any]) -> bool:
        return self._apps.deliver_here(driver_id, message)

    def tell_rider(self, rider_id: str, message: dict[str, Any]) -> bool:
        return self._apps.tell_rider_here(rider_id, message)

    def lost(self, driver_id: str, epoch: int) -> None:
        self._gateway.lost(driver_id, epoch)


def answer_hosts(
    server: HostServer, sockets: SocketsHere, audience: Audience, accounts: AccountWatch, trails: TrailsHere
) -> None:
    """Let the other hosts reach this one."""

    async def trip(body: Any) -> None:
        await audience.here(msgspec.convert(body, Trip))

    async def account(body: dict[str, Any]) -> None:
        car = Car(body["vehicle_class"], body["seats"])
        accounts.changed_here(body["driver_id"], car, body["approved"])

    async def trail_complete(body: dict[str, Any]) -> bool:
        return trails.is_complete(body["trip_id"])

    answer_calls(server, sockets)
    server.register(_TRIP, trip)
    server.register(_ACCOUNT, account)
    server.register(_TRAIL_COMPLETE, trail_complete)
