"""Everybody at once: drivers and riders signed up through the API, running until they are stopped."""

from __future__ import annotations

import asyncio
import random
import time

from tests.simulation.driver import Driver
from tests.simulation.history import Body
from tests.simulation.http import Http
from tests.simulation.rider import Rider
from tests.simulation.scene import Person, Scene

_AT_ONCE = 16
_TRIES = 20


class Crowd:
    """Drivers and riders of one scene. `start`, then `stop`; whoever fails in between fails `check`."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene = scene
        self._rng = random.Random(f"{seed} crowd")
        self.drivers: list[Driver] = []
        self.riders: list[Rider] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, drivers: int, riders: int) -> None:
        """Sign everybody up and let them come."""
        for me in await self.sign_up_all("driver", drivers):
            at = self._rng.choice(self._scene.places)
            self.drivers.append(Driver(me, at, self._scene, random.Random(f"{me.id} {self._rng.random()}")))
        for me in await self.sign_up_all("rider", riders):
            self.riders.append(Rider(me, self._scene, random.Random(f"{me.id} {self._rng.random()}")))
        runs = [*(each.run() for each in self.drivers), *(each.run() for each in self.riders)]
        self._tasks = [asyncio.create_task(each) for each in runs]

    async def sign_up_all(self, kind: str, count: int) -> list[Person]:
        """So many new accounts of drivers or riders, a few at once."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def person() -> Person:
            async with gate:
                return await sign_up(self._scene, kind, self._rng)

        return await asyncio.gather(*(person() for _ in range(count)))

    def check(self) -> None:
        """Raises what went wrong in a client itself."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def rest(self, patience_s: float) -> list[str]:
        """Let rides end and none begin; who is still under way after all the patience."""
        self._scene.calm.set()
        until = time.monotonic() + patience_s
        while (busy := self._busy()) and time.monotonic() < until:
            self.check()
            await asyncio.sleep(0.1)
        return busy

    def go_on(self) -> None:
        """Ride again."""
        self._scene.calm.clear()

    async def stop(self) -> None:
        """Everybody hangs up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _busy(self) -> list[str]:
        riders = [f"rider {each.me.id} waits for {each.open}" for each in self.riders if each.riding]
        drivers = [f"driver {each.me.id} is on {each.trip['trip_id']}" for each in self.drivers if each.trip]
        return riders + drivers


async def sign_up(scene: Scene, kind: str, rng: random.Random) -> Person:
    """A new account, made by an operator. Raises AssertionError when the engine does not make one."""
    body: Body = {"name": f"{kind} {rng.randrange(10**6)}"}
    if kind == "driver":
        body["vehicle"] = {"plate": f"CHX {rng.randrange(100, 1_000)}", "class": "standard", "seats": 4}
    made = await _create(scene.http, f"/v1/{kind}s", body, rng)
    person_id = str(made[f"{kind}_id"])
    return Person(person_id, scene.mint(kind, person_id))


async def _create(http: Http, path: str, body: Body, rng: random.Random) -> Body:
    for _ in range(_TRIES):
        phone, key = f"+4670{rng.randrange(10**7, 10**8)}", f"{rng.getrandbits(96):024x}"
        answer = await http.call("POST", path, body={**body, "phone": phone}, key=key)
        if answer.ok:
            return answer.body
        await asyncio.sleep(0.1)
    raise AssertionError(f"POST {path}: {answer}")
