"""A running engine: the rooms of one process, on the stores of its settings, in the roles that it plays.

Starting order: stores, rooms, the ports, then drivers, events, searches, and last the API. Stopping goes the other way
round, so that nothing is accepted that could not be finished. A port that is taken is found before anything moves.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, cast

from app.clock import ClockMark
from app.keys import server_key
from app.link import Joining, Link, join
from app.readiness import readiness
from app.roles import ALL, GROUPS, ROLES, Role
from app.rooms import Rooms, connect_rooms
from app.server import Server, reachable
from app.stores import Start, open_stores
from app.upkeep import upkeep
from runtime.auth import Scope, Tokens
from runtime.settings import Settings
from runtime.tasks import Tasks, repeat

_LOOK_EVERY_S = 1.0  # wall time


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """A running engine."""

    rooms: Rooms
    server: Server
    settings: Settings
    tokens: Tokens
    failed: asyncio.Future[None]  # raises what ended the engine's work; never done while all is well
    link: Link | None  # None: no other host is there
    started: float  # time.monotonic()

    @property
    def url(self) -> str:
        """The API's address."""
        return self.server.url

    @property
    def gateway_url(self) -> str:
        """The address of drivers' sockets, from this machine."""
        return f"ws://{reachable(self.settings.web.host)}:{self.rooms.gateway.port}/v1/driver/ws"

    @property
    def speed(self) -> float:
        """Engine seconds per wall second."""
        return self.settings.runtime.clock_speed

    async def run_until(self, stopping: asyncio.Event) -> None:
        """Return when told to stop; raises what ended the engine's work before."""
        stop = asyncio.ensure_future(stopping.wait())
        waited: list[asyncio.Future[Any]] = [stop, self.failed]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if self.failed.done():
            self.failed.result()
        if self.link is not None:  # proxies send nobody new from here on
            self.link.leaving.begun = True
            await asyncio.sleep(self.settings.cluster.leave_s)

    def mint(self, scope: str, subject: str) -> str:
        """A token for a rider, a driver or an operator of this engine."""
        return self.tokens.sign(cast(Scope, scope), subject, self.settings.web.token_s)


@contextlib.asynccontextmanager
async def running_engine(start: Start) -> AsyncIterator[RunningEngine]:
    """Run an engine for as long as the block lasts; whatever an earlier one left open goes on.

    Raises Unavailable when a port is taken or a store does not start; nothing is left running then.
    """
    async with contextlib.AsyncExitStack() as stack:
        tasks = Tasks()
        try:
            yield await _started(start, tasks, stack)
        finally:
            tasks.stop()


async def _started(start: Start, tasks: Tasks, stack: contextlib.AsyncExitStack) -> RunningEngine:
    """What is pushed on the stack last is closed first."""
    settings, roles = start.settings, start.roles
    tokens = Tokens(server_key(start.data, settings.cluster))
    if roles == ALL:
        mark = ClockMark(start.data, start.clock)
        stack.callback(mark.close)
    stores = await open_stores(start, tokens, stack)
    link = None
    if settings.redis.url:  # other hosts may be there
        joining = Joining(stores.client, tokens, stores.ids, stores.metrics, settings.cluster)
        link = join(joining, readiness(stores), stack)
    rooms = connect_rooms(start.city, stores, tokens, settings, link)
    stack.push_async_callback(rooms.learner.close)
    stack.push_async_callback(tasks.close)

    server = Server(rooms.edge, settings)
    stack.callback(server.release)
    if "edge" in roles:
        server.open()
    await rooms.prepare()
    stack.push_async_callback(stores.relay.close)
    stack.push_async_callback(stores.bus.close)
    stack.push_async_callback(rooms.rides.close)
    if link is not None:
        stores.redis.on_loss(link.roll.tell_again)
        link.start(tasks, settings.cluster.beat_s, stack)
    if "gateway" in roles:
        await rooms.gateway.start()
        stack.push_async_callback(rooms.gateway.close)

    await stores.bus.start(_groups(roles, rooms))
    tasks.start("the bus", stores.bus.wait())
    if "trips" in roles:
        stores.relay.start()
        tasks.start("the relay", stores.relay.wait())
    for name, work in upkeep(start, rooms, stores, link):
        tasks.start(name, work)
    if roles == ALL:
        tasks.start("the mark of engine time", repeat(mark.keep, _LOOK_EVERY_S, asyncio.sleep))
    if "edge" in roles:
        stack.push_async_callback(server.close)
        tasks.watch(server.start())
    return RunningEngine(rooms, server, settings, tokens, tasks.failed, link, time.monotonic())


def _groups(roles: AbstractSet[Role], rooms: Rooms) -> list[str]:
    groups = [rooms.maps_group, *(group for role in ROLES if role in roles for group in GROUPS[role])]
    return [*groups, rooms.board_group] if "edge" in roles else groups
