"""Riders who come at random times at a given rate, each for one ride: load that does not wait for the engine."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from tests.simulation.history import Record, pairs
from tests.simulation.rider import Rider
from tests.simulation.scene import Person, Scene


class Arrivals:
    """Draws riders from a pool; `turned_away` counts those for whom nobody of the pool was free."""

    def __init__(self, scene: Scene, pool: Sequence[Person], rng: random.Random) -> None:
        self._scene = scene
        self._free = list(pool)
        self._rng = rng
        self._under_way: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None
        self.came = 0
        self.turned_away = 0

    async def come(self, per_s: float) -> None:
        """Without end."""
        while True:
            await asyncio.sleep(self._rng.expovariate(per_s))
            if not self._free:
                self.turned_away += 1
                continue
            me = self._free.pop(self._rng.randrange(len(self._free)))
            self.came += 1
            task = asyncio.create_task(self._ride(me, random.Random(self._rng.random())))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def rest(self, patience_s: float) -> int:
        """Wait for the rides under way; how many are still not over. Raises what went wrong in a client itself."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=patience_s)
        self.check()
        return len(self._under_way)

    def check(self) -> None:
        """Raises what went wrong in a client itself."""
        if self._failed is not None:
            raise self._failed

    async def _ride(self, me: Person, rng: random.Random) -> None:
        try:
            await Rider(me, self._scene, rng).ride_once()
        except Exception as error:
            self._failed = error
            return
        self._free.append(me)


def offer_waits(records: Sequence[Record]) -> list[float]:
    """Seconds from the first ask of each acknowledged booking to the moment at which a driver saw its first offer."""
    asked: dict[tuple[str, str], float] = {}
    booked: dict[str, float] = {}
    for pair in pairs(list(records), "book"):
        began = asked.setdefault((pair.asked.who, pair.asked.told["key"]), pair.asked.at)
        if pair.outcome == "ok":
            booked.setdefault(pair.told["request_id"], began)
    offered: dict[str, float] = {}
    for record in records:
        if record.what == "offer":
            offered.setdefault(record.told["request_id"], record.at)
    return [offered[request_id] - began for request_id, began in booked.items() if request_id in offered]
