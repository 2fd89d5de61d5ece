"""The way to drivers and riders on other hosts: presence says which host, and that host is called.

A remembered host may be wrong. It then says that nobody is there, or does not answer; presence is asked once more, past
what is remembered, and whoever it names is tried.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from core.errors import Unavailable
from runtime.host_calls import HostCalls
from runtime.host_settings import HostSettings
from runtime.hosts import HostServer
from runtime.presence import Host, Presence, Subject

_log = logging.getLogger("hexcab.router")

Message = Mapping[str, Any]

_DELIVER, _TELL_RIDER, _LOST = "deliver", "tell_rider", "lost"


class Here(Protocol):
    """The sockets of this host."""

    def deliver(self, driver_id: str, message: dict[str, Any]) -> bool:
        """Hand a message to a driver who is connected here; False when there is none or they do not take more."""
        ...

    def tell_rider(self, rider_id: str, message: dict[str, Any]) -> bool:
        """Send a message to the rider's sockets here; False when there is none."""
        ...

    def lost(self, driver_id: str, epoch: int) -> None:
        """The driver has a connection of this epoch on another host."""
        ...


def answer_calls(server: HostServer, here: Here) -> None:
    """Let other hosts reach the sockets of this one. Before the server starts."""

    async def deliver(body: dict[str, Any]) -> bool:
        return here.deliver(body["id"], body["message"])

    async def tell_rider(body: dict[str, Any]) -> bool:
        return here.tell_rider(body["id"], body["message"])

    async def lost(body: dict[str, Any]) -> None:
        here.lost(body["id"], body["epoch"])

    server.register(_DELIVER, deliver)
    server.register(_TELL_RIDER, tell_rider)
    server.register(_LOST, lost)


class Router:
    """Reaches the other hosts. `here` is this one, which is never called."""

    def __init__(
        self,
        here: Host,
        presence: Presence,
        calls: HostCalls,
        settings: HostSettings,
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        self._here = here
        self._presence = presence
        self._calls = calls
        self._remembered = _Remembered(settings, wall)

    async def deliver(self, driver_id: str, message: Message) -> bool:
        """Hand a message to a driver on another host; False when they are on none, or it cannot be reached."""
        driver = Subject("driver", driver_id)
        remembered = self._remembered.get(driver)
        if remembered is not None and await self._delivered(remembered, driver_id, message):
            return True
        try:
            hosts = (await self._presence.hosts_of([driver]))[0]
        except Unavailable as error:
            _log.warning("a driver's host is not known: %s", error.detail)
            return False
        self._remembered.put(driver, hosts)
        return await self._delivered(hosts, driver_id, message)

    async def tell_rider(self, rider_id: str, message: Message) -> None:
        """Send a message to the rider's sockets on all other hosts, as far as they can be reached now.

        Where a rider hangs is not remembered: a socket that has just been opened on one more host would hear nothing.
        """
        try:
            await self.everyone([Subject("rider", rider_id)], _TELL_RIDER, {"id": rider_id, "message": message})
        except Unavailable as error:
            _log.warning("a rider was perhaps not told: %s", error.detail)

    async def everyone(self, subjects: Sequence[Subject], name: str, body: object) -> None:
        """Make a call to every other host on which one of these hangs, once.

        Raises Unavailable when presence is away, or one of the hosts may not have heard; the others have.
        """
        found = {host for hosts in await self._presence.hosts_of(subjects) for host in hosts}
        calls = [self._calls.call(host.address, name, body) for host in found if host.id != self._here.id]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def lost(self, host: Host, subject: Subject, epoch: int) -> None:
        """Tell a host that a driver of its has a connection of this epoch here. Raises HostUnreachable."""
        await self._calls.call(host.address, _LOST, {"id": subject.id, "epoch": epoch})

    async def _delivered(self, hosts: Sequence[Host], driver_id: str, message: Message) -> bool:
        for host in hosts:
            if host.id == self._here.id:
                continue
            try:
                if await self._calls.call(host.address, _DELIVER, {"id": driver_id, "message": message}):
                    return True
            except Unavailable as error:
                _log.info("a message did not reach a driver's host: %s", error.detail, extra={"host": host.id})
        return False


class _Found(NamedTuple):
    hosts: list[Host]
    until: float


class _Remembered:
    """Where drivers were found, for a while; the oldest goes when there are too many."""

    def __init__(self, settings: HostSettings, wall: Callable[[], float]) -> None:
        self._keep_s = settings.presence_cache_s
        self._limit = settings.presence_cache_max
        self._wall = wall
        self._found: dict[Subject, _Found] = {}

    def get(self, subject: Subject) -> list[Host] | None:
        """The hosts, or None when that is not known, or too old."""
        found = self._found.get(subject)
        return None if found is None or found.until < self._wall() else found.hosts

    def put(self, subject: Subject, hosts: list[Host]) -> None:
        """Remember; nobody is not worth remembering, as they may come at any time."""
        self._found.pop(subject, None)
        if not hosts:
            return
        while len(self._found) >= self._limit:
            del self._found[next(iter(self._found))]
        self._found[subject] = _Found(hosts, self._wall() + self._keep_s)
