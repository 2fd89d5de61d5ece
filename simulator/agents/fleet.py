"""All drivers and riders of a demo or a test at once."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass

import httpx

from core.geo import haversine_m
from simulator.agents.api import Api
from simulator.agents.driver import DriverAgent
from simulator.agents.people import Office
from simulator.agents.rider import Ride, RiderAgent
from simulator.agents.world import Person, World

_SHORTEST_M = 700.0
_DRAWS = 8
_AT_ONCE = 8  # drivers being signed up


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """How many drivers, how many ride requests per engine hour, and the bounds."""

    drivers: int = 200
    requests_per_h: float = 400.0
    seed: int = 0
    max_riders: int = 2_000  # riding or waiting at the same time


class Fleet:
    """Runs the agents until it is stopped; the engine may go away and come back meanwhile."""

    def __init__(self, plan: FleetPlan, world: World, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._plan = plan
        self._world = world
        self._transport = transport
        self._main: asyncio.Task[None] | None = None
        self._idle_riders: list[Person] = []
        self._closing = False
        self.riders = 0  # signed up
        self.riding = 0  # on their ride now, from looking for a cab to the end
        self.turned_away = 0  # would have ridden, but max_riders were under way
        self.endings: dict[str, int] = {}  # of rides, by how they ended

    def start(self) -> None:
        """Begin; returns at once."""
        assert self._main is None, "a fleet starts once"
        self._main = asyncio.create_task(self._run())

    async def wait(self) -> None:
        """Wait until it ends, which it does only when it is stopped or fails; raises what failed."""
        if self._main is not None:
            await asyncio.shield(self._main)

    def send_no_more_riders(self) -> None:
        """Whoever is on a ride sees it through; nobody new comes."""
        self._closing = True

    async def stop(self) -> None:
        """Hang up everywhere; no task is left. Raises what had failed before."""
        if self._main is None:
            return
        self._main.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._main

    async def _run(self) -> None:
        seed, clock = self._plan.seed, self._world.clock
        # accounts outlive a demo, so their phone numbers must differ from those of the last one
        accounts = random.Random(f"{seed} accounts {clock.now()}")
        async with Api.client(self._world.base_url, self._transport) as client, asyncio.TaskGroup() as group:
            api = Api(client, clock, accounts)
            office = Office(self._world, api, accounts)
            gate = asyncio.Semaphore(_AT_ONCE)
            for number in range(self._plan.drivers):
                group.create_task(self._drive(office, random.Random(f"{seed} driver {number}"), gate))
            await self._send_riders(office, api, group)

    async def _drive(self, office: Office, rng: random.Random, gate: asyncio.Semaphore) -> None:
        async with gate:
            me = await office.driver()
        await DriverAgent(me, self._world.place(rng), self._world, rng).run()

    async def _send_riders(self, office: Office, api: Api, group: asyncio.TaskGroup) -> None:
        """Riders come one by one, at random times, without end."""
        rng = random.Random(f"{self._plan.seed} riders")
        number = 0
        while self._plan.requests_per_h > 0:
            await self._world.clock.sleep(rng.expovariate(self._plan.requests_per_h / 3600))
            if self._closing:
                return
            if self.riding >= self._plan.max_riders:
                self.turned_away += 1
                continue
            number += 1
            group.create_task(self._ride(office, api, random.Random(f"{self._plan.seed} ride {number}")))

    async def _ride(self, office: Office, api: Api, rng: random.Random) -> None:
        self.riding += 1
        try:
            if self._idle_riders:
                me = self._idle_riders.pop()
            else:
                me = await office.rider()
                self.riders += 1
            ended = await RiderAgent(me, api, self._world, rng).ride(self._draw(rng))
            self.endings[ended] = self.endings.get(ended, 0) + 1
            if ended != "forgotten":  # whose ride may still be under way
                self._idle_riders.append(me)
        finally:
            self.riding -= 1

    def _draw(self, rng: random.Random) -> Ride:
        pickup = self._world.place(rng)
        for _ in range(_DRAWS):
            dropoff = self._world.place(rng)
            if haversine_m(pickup, dropoff) >= _SHORTEST_M:
                break
        return Ride(pickup, dropoff)
