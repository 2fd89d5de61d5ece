"""Answers on their way from the driver's thread to the event loop: one wake-up for as many as have come."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any


class Answers:
    """Fulfils futures of one loop from other threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._come: deque[tuple[asyncio.Future[Any], object]] = deque()
        self._woken = False

    def put(self, answer: asyncio.Future[Any], result: object) -> None:
        """Fulfil a future; from any thread. An error is a result like any other. The loop may be closed already."""
        self._come.append((answer, result))
        if not self._woken:  # the loop takes it back before it looks, so nothing is left lying
            self._woken = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False
        while self._come:
            answer, result = self._come.popleft()
            if not answer.done():  # otherwise whoever waited has gone
                answer.set_result(result)
