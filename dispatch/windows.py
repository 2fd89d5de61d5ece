"""Batch windows: requests are gathered for a moment, then looked at and matched together.

A window keeps nothing that matters: a search that hears nothing of it, or is restarted, joins the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from core.clock import Clock
from dispatch.batch import Considered, match_window
from dispatch.decide import Decision
from dispatch.look import Lookout, Sought
from dispatch.model import Policy
from runtime.batch_settings import BatchSettings

_Waiting = tuple[Sought, "asyncio.Future[Decision]"]


class Windows:
    """The windows of this worker, for all its lanes: one for new requests, a shorter one for those that come back."""

    def __init__(self, lookout: Lookout, policy: Policy, settings: BatchSettings, clock: Clock) -> None:
        self._lookout = lookout
        self._policy = policy
        self._settings = settings
        self._clock = clock
        self._open: dict[bool, list[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._deciding = 0

    @property
    def resting(self) -> bool:
        """Whether no window is being decided."""
        return not self._deciding

    def join(self, sought: Sought, again: bool) -> asyncio.Future[Decision]:
        """Wait for the decision of the window that is open, or is opened by this; cancel it to leave.

        `again` is for a request whose offer has just ended: its window is short. The decision has one driver or none.
        The future fails with what the look failed with.
        """
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        window = self._open.get(again)
        if window is None:
            window = self._open[again] = []
            task = asyncio.create_task(self._serve(window, again), name="batch-window")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        window.append((sought, future))
        if len(window) >= self._settings.requests:
            del self._open[again]  # the next request opens another
        return future

    async def close(self) -> None:
        """Decide no more. Whoever still waits is cancelled."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, window: list[_Waiting], again: bool) -> None:
        try:
            await self._clock.sleep(self._settings.again_s if again else self._settings.window_s)
            if self._open.get(again) is window:
                del self._open[again]
            here = sorted((each for each in window if not each[1].done()), key=lambda each: _age(each[0]))
            self._deciding += 1
            try:
                results: Sequence[Decision | BaseException] = await self._decide([sought for sought, _ in here])
            except Exception as error:
                results = [error] * len(here)
            finally:
                self._deciding -= 1
            for (_, future), result in zip(here, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        finally:
            for _, future in window:
                future.cancel()

    async def _decide(self, here: Sequence[Sought]) -> list[Decision | BaseException]:
        looks = await self._lookout.look_together(here, self._settings.candidates)
        now = self._clock.now()
        good = {
            place: Considered(look, now - sought.request.created_at)
            for place, (sought, look) in enumerate(zip(here, looks, strict=True))
            if isinstance(look, Decision)
        }
        matched = dict(zip(good, match_window(list(good.values()), self._policy), strict=True))
        return [matched.get(place, look) for place, look in enumerate(looks)]


def _age(sought: Sought) -> tuple[float, str]:
    return sought.request.created_at, sought.request.request_id
