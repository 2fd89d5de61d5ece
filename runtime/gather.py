"""Gathering: while one call is under way the next ones wait together, and go as one.

A commit waits for the disk and a question for the network, whether it is about one thing or about fifty. Whoever comes
alone waits for nobody; under load the calls grow instead of the queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from core.errors import Unavailable


class Gather[Item, Result]:
    """Calls `work` with one item or many, at most `most` of them and once at a time, and gives each its own result.

    `work` returns a result for each item, in order; one that is an exception is raised for that item alone. What `work`
    itself raises is raised for all. At most `waiting` items wait; more raise Unavailable store_busy.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]], most: int, waiting: int
    ) -> None:
        self._work = work
        self._most = most
        self._limit = waiting
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """The result for one item. A caller who is cancelled hears nothing; the work may be done all the same."""
        if len(self._waiting) >= self._limit:
            raise Unavailable("too many wait for the store", code="store_busy", retry_after_s=1)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="gather")
        return await future

    async def _run(self) -> None:
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            results: Sequence[Result | Exception]
            try:
                results = await self._work([item for item, _ in some])
            except Exception as error:
                results = [error] * len(some)
            except BaseException:
                for _, future in some:
                    future.cancel()
                raise
            for (_, future), result in zip(some, results, strict=True):
                if future.done():  # its caller has gone
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
