"""The searches under way in this process: those of the lanes that it owns.

A lane is a part of the city (`LaneOf`); who owns which lane is decided outside, so that several workers share a city. A
lane's open requests are found in SQL when it is taken, by events from then on, and by a look now and then at what
events did not bring: no event is needed for a search to begin.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from core.events import AnyEvent, CabFound, NoCabFound, OfferAccepted, OfferEnded, RideRequested
from dispatch.model import RideRequest
from dispatch.search import Means, Search

_log = logging.getLogger("hexcab.dispatch")

LaneOf = Callable[[str], int]  # from a pickup's segment
SEARCH_EVENTS = (RideRequested, OfferEnded, OfferAccepted, CabFound, NoCabFound)
ONE_LANE = frozenset({0})


def one_lane(_segment: str) -> int:
    """Where one process does all the searches."""
    return 0


class Searches:
    """Begins, wakes and ends searches. `close` leaves them open for whoever owns their lanes next."""

    def __init__(self, means: Means, lane_of: LaneOf = one_lane) -> None:
        self._means = means
        self._lane_of = lane_of
        self._lanes: set[int] = set()
        self._searches: dict[str, Search] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._searches)

    @property
    def lanes(self) -> Collection[int]:
        """The lanes owned now."""
        return self._lanes

    @property
    def resting(self) -> bool:
        """Whether every search waits for time or an answer to come."""
        return (
            self._means.arrivals.resting
            and self._means.windows.resting
            and all(search.resting for search in self._searches.values())
        )

    async def take(self, lanes: Collection[int]) -> int:
        """Own these lanes from now on and take up their open searches; returns how many.

        What is overdue ends properly at once. Raises Unavailable when the store is away: the lanes are owned all the
        same, and `look` finds their searches later.
        """
        self._lanes.update(lanes)
        before = len(self._searches)
        await self.look()
        return len(self._searches) - before

    async def leave(self, lanes: Collection[int]) -> None:
        """Own these lanes no more. Their searches have finished their step, or were cancelled, on return."""
        self._lanes.difference_update(lanes)
        await self._stop([each for each in self._searches.values() if each.lane not in self._lanes])

    async def look(self) -> None:
        """Begin what is open in the owned lanes and not under way; wake what others have changed or ended.

        Raises Unavailable.
        """
        before = list(self._searches.values())
        found = await self._means.store.open_searches()
        still_open = {request_id for request_id, _, _ in found}
        for each in before:
            if each.request_id not in still_open:
                each.wake()
        for request_id, segment, status in found:
            search = self._searches.get(request_id)
            if search is None:
                self.begin(request_id, segment)
            elif search.resting and search.status not in (None, status):
                search.wake()

    def begin(self, request_id: str, segment: str) -> None:
        """Begin the search of a request whose lane is owned; nothing happens otherwise, or when it is under way."""
        lane = self._lane_of(segment)
        if request_id in self._searches or self._closed or lane not in self._lanes:
            return
        search = Search(request_id, self._means, lane)
        self._searches[request_id] = search
        task = asyncio.create_task(search.run(), name=f"search-{request_id}")
        self._tasks[request_id] = task
        task.add_done_callback(lambda _: self._left(request_id))

    def wake(self, request_id: str) -> None:
        """Something about the request changed."""
        if search := self._searches.get(request_id):
            search.wake()

    async def heard(self, event: AnyEvent) -> None:
        """What other processes did to requests of the owned lanes."""
        if isinstance(event, RideRequested):
            self.begin(event.request_id, event.segment)
        elif isinstance(event, OfferEnded | OfferAccepted | CabFound | NoCabFound):
            self.wake(event.request_id)

    def lock(self, request_id: str) -> AbstractAsyncContextManager[Any]:
        """Hold this while committing and telling, so that messages follow the order of the commits."""
        search = self._searches.get(request_id)
        return search.lock if search else nullcontext()

    def entered(self, request: RideRequest) -> None:
        """A request was made here."""
        self.begin(request.request_id, request.segment)

    async def close(self) -> None:
        """Stop the searches where they are; nothing ends by this."""
        self._closed = True
        await self._stop(list(self._searches.values()))
        await self._means.windows.close()
        await self._means.arrivals.close()  # last: a search may come to rest while it is stopped

    async def _stop(self, searches: Collection[Search]) -> None:
        tasks = [self._tasks[search.request_id] for search in searches]
        for search in searches:
            search.stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._means.settings.close_timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _left(self, request_id: str) -> None:
        del self._searches[request_id]
        del self._tasks[request_id]
