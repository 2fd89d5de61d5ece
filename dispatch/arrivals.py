"""Arrivals: searches that looked in vain rest until a driver near them becomes free.

One reading in `arrivals_s` asks for the neighbourhoods of all resting searches at once, so a thousand of them cost
little more than one. Whoever can be offered a trip wakes the searches around: the nearest first, a few at a time, until
somebody has taken the driver. The searches then look as ever: a reading decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from core.clock import Clock
from core.errors import HexcabError
from core.geo import IntArray
from dispatch.candidates import open_to_work
from dispatch.claims import Claims
from dispatch.model import Policy, SupplyRows
from dispatch.ports import Ports
from runtime.settings import DispatchSettings

_log = logging.getLogger("hexcab.dispatch")

Neighbourhood = Callable[[str], Sequence[int]]  # of a pickup's segment: what a look reads, the nearest first


class Resting(Protocol):
    """A search."""

    def arrived(self) -> None:
        """Somebody has come near: look again now."""
        ...

    async def rested(self) -> None:
        """Until it rests again, or is over."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """A search that rests. `looked` is how many readings were complete when it began its look.

    Drivers of another class, with too few seats, and those who said no before do not wake it.
    """

    search: Resting
    segment: str
    looked: int
    saw_nobody: bool  # who suits: then any free driver who does is news
    vehicle_class: str | None = None
    seats: int | None = None
    said_no: AbstractSet[str] = frozenset()

    def suits(self, driver: str, found: _Free) -> bool:
        """Whether the driver is worth a look."""
        fits = self.vehicle_class in (None, found.vehicle_class) and (self.seats or 0) <= found.seats
        return fits and driver not in self.said_no


_Where = tuple[int, float, str, int]  # a segment, since when idle there, with what class of vehicle and how many seats


class _Free(NamedTuple):
    """A driver who can be offered a trip."""

    segment: int
    idle_since: float
    vehicle_class: str
    seats: int
    since: int  # the reading that found the driver free here first


class _Place:
    """The searches of one pickup segment."""

    def __init__(self, near: Sequence[int]) -> None:
        self.watches: dict[Watch, None] = {}
        self.look_at(near)

    def look_at(self, near: Sequence[int]) -> None:
        """Watch these segments, the nearest first."""
        segments: IntArray = np.array(near, dtype=np.int64)
        self._steps: IntArray = np.argsort(segments, kind="stable")  # how far along the neighbourhood
        self.segments: IntArray = segments[self._steps]

    def due(self, reading: int, free: Sequence[tuple[str, _Free]], at: IntArray) -> Iterator[tuple[int, Watch]]:
        """Whoever has not looked since one of these drivers became free, with the steps to the nearest of them.

        `at` are the segments of the drivers (n,).
        """
        places = np.minimum(np.searchsorted(self.segments, at), len(self.segments) - 1)
        near = np.flatnonzero(self.segments[places] == at)
        steps = self._steps[places[near]]
        outward = [(int(steps[n]), *free[near[n]]) for n in np.argsort(steps, kind="stable").tolist()]
        for watch in self.watches:
            for step, driver, each in outward:
                is_news = (reading if watch.saw_nobody else each.since) > watch.looked
                if is_news and watch.suits(driver, each):
                    yield step, watch
                    break


class Arrivals:
    """Wakes resting searches. Its task runs while there are any."""

    def __init__(self, ports: Ports, claims: Claims, near: Neighbourhood, policy: Policy, clock: Clock) -> None:
        self.readings = 0  # complete ones
        self._ports = ports
        self._claims = claims
        self._near = near
        self._policy = policy
        self._clock = clock
        self._settings: DispatchSettings = claims.settings
        self._places: dict[str, _Place] = {}
        self._version = ports.segments.version
        self._asked: Counter[int] = Counter()  # segments, by how many places want to know of them
        self._free: dict[str, _Free] = {}
        self._let_go: set[str] = set()  # drivers whose claim has ended since the last reading began
        self._task: asyncio.Task[None] | None = None
        self._reading = self._failing = False
        claims.on_end(self._ended)

    @property
    def resting(self) -> bool:
        """Whether no reading is under way."""
        return not self._reading

    def add(self, watch: Watch) -> None:
        """The search rests from now on."""
        place = self._places.get(watch.segment)
        if place is None:
            place = self._places[watch.segment] = _Place(self._near(watch.segment))
            self._asked.update(place.segments.tolist())
        place.watches[watch] = None
        if self._task is None or self._task.done():
            self._free.clear()  # what was read long ago tells nothing of who has come since
            self._task = asyncio.create_task(self._run(), name="arrivals")

    def leave(self, watch: Watch) -> None:
        """The search rests no more."""
        place = self._places[watch.segment]
        del place.watches[watch]
        if not place.watches:
            del self._places[watch.segment]
            for segment in place.segments.tolist():
                self._asked[segment] -= 1
                if not self._asked[segment]:
                    del self._asked[segment]

    async def close(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._places:
            await self._clock.sleep(self._settings.arrivals_s)
            self._reading = True
            try:
                await self._look()
                self._failing = False
            except HexcabError as error:
                if not self._failing:  # once per outage
                    _log.warning("nobody can tell who arrives: %s", error.detail, extra={"code": error.code})
                self._failing = True
            except Exception:
                _log.exception("the look for arrivals failed and will be tried again")
            finally:
                self._reading = False

    async def _look(self) -> None:
        await self._ports.segments.sure()
        if self._version != self._ports.segments.version:
            self._cut_anew()
        if not self._asked:
            return
        let_go, self._let_go = self._let_go, set()
        try:
            found = await self._ports.supply.by_segment(list(self._asked))
            self._note(await self._without_offers(found), let_go)
        except BaseException:
            self._let_go |= let_go
            raise
        while some := self._due()[: self._settings.arrivals_at_once]:
            for watch in some:
                watch.search.arrived()
            with contextlib.suppress(TimeoutError):  # one that hangs must not keep the others from their turn
                async with asyncio.timeout(self._settings.arrivals_turn_s):
                    for watch in some:
                        await watch.search.rested()

    def _cut_anew(self) -> None:
        """Segments were split or merged: drivers may be placed in others now."""
        self._version = self._ports.segments.version
        self._asked.clear()
        for segment, place in self._places.items():
            place.look_at(self._near(segment))
            self._asked.update(place.segments.tolist())

    async def _without_offers(self, found: Mapping[int, SupplyRows]) -> dict[str, _Where]:
        """Where the drivers are who are open to work and hold no offer, since when they idle, and what they drive."""
        free: dict[str, _Where] = {}
        for segment, rows in found.items():
            open_rows = rows.take(np.flatnonzero(open_to_work(rows, self._clock.now(), self._policy)))
            columns = (open_rows.driver, open_rows.idle_since, open_rows.vehicle_class, open_rows.seats)
            for driver, *where in zip(*(column.tolist() for column in columns), strict=True):
                free[driver] = (segment, *where)
        if free:
            for driver in await self._ports.store.holding_offers(list(free)):
                del free[driver]
        return free

    def _note(self, free: Mapping[str, _Where], let_go: AbstractSet[str]) -> None:
        """Take over what a reading found. Who moved, idles anew or was let go counts as one who has come just now."""
        claimed = self._claims.held(self._clock.now())
        reading = self.readings + 1
        known, self._free = self._free, {}
        for driver, where in free.items():
            if driver in claimed:
                continue
            before = known.get(driver)
            same = before is not None and before[:4] == where and driver not in let_go
            self._free[driver] = _Free(*where, since=before.since if before is not None and same else reading)
        self.readings = reading

    def _due(self) -> list[Watch]:
        """The searches to be woken, the nearest first."""
        claimed = self._claims.held(self._clock.now())
        free = [(driver, each) for driver, each in self._free.items() if driver not in claimed]
        if not free:
            return []
        at: IntArray = np.array([each.segment for _, each in free], dtype=np.int64)
        due = [pair for place in self._places.values() for pair in place.due(self.readings, free, at)]
        due.sort(key=lambda pair: pair[0])
        return [watch for _, watch in due]

    def _ended(self, driver_id: str) -> None:
        if self._places:
            self._let_go.add(driver_id)
