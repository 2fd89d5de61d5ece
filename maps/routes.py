"""Map matching, routes and isochrones by Valhalla in child processes, from asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import msgspec
import numpy as np

from core.errors import InvalidInput, Unavailable
from core.geo import FloatArray, LatLng
from maps.livespeeds import LiveSpeeds
from maps.matching import (
    Isochrone,
    IsochroneAsk,
    MatchAsk,
    Matched,
    Route,
    RouteAsk,
    TraceAsk,
    Traced,
)
from maps.paths import NoRoute
from maps.route_worker import LENGTH_BYTES, Answer, Ask, Question, frame
from runtime.settings import MapSettings

__all__ = ["Isochrone", "Matched", "Route", "RouteWorkers"]


class RouteWorkers:
    """A pool of Valhalla processes; each answers one question at a time and is replaced when it hangs, dies or bloats.

    Processes start with the first question. Close it with aclose, in the event loop that used it. Where a city has no
    tiles (`config` is None) there are no workers: trails fit no road, and routes are refused with no_tiles. Routes and
    isochrones go by the live `speeds`, which must outlive the workers; without them by the tiles' own.
    """

    def __init__(
        self,
        config: Path | None,
        settings: MapSettings | None = None,
        workers: int = 1,
        speeds: LiveSpeeds | None = None,
    ) -> None:
        self._settings = settings or MapSettings()
        self._speeds, archive = speeds, str(speeds.path) if speeds else ""
        self._workers = [] if config is None else [_Worker(config, archive, self._settings) for _ in range(workers)]
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        for worker in self._workers:
            self._idle.put_nowait(worker)
        self._waiting = 0
        self._closed = False

    async def match(self, lat: FloatArray, lng: FloatArray, at_s: FloatArray) -> Matched:
        """The roads that a trail followed: pings of shape (n,) in degrees and seconds, sorted by time.

        Raises InvalidInput for arrays that are not finite or
        not sorted, Unavailable when all workers are busy and the queue is full, or when Valhalla fails or takes too
        long.
        """
        ask = MatchAsk(*_trail(lat, lng, at_s))
        if len(ask.lat) < 2 or not self._workers:
            return Matched([])
        answer = await self._ask(ask)
        assert isinstance(answer.result, Matched)
        return answer.result

    async def trace(self, lat: FloatArray, lng: FloatArray, at_s: FloatArray) -> Traced | None:
        """The edges that a trail followed, as `match`, with which it shares the errors; None where it fits no road."""
        ask = TraceAsk(*_trail(lat, lng, at_s))
        if len(ask.lat) < 2 or not self._workers:
            return None
        answer = await self._ask(ask)
        assert answer.result is None or isinstance(answer.result, Traced)
        return answer.result

    async def route(self, start: LatLng, end: LatLng, *, manoeuvres: bool = False) -> Route:
        """The fastest way by the speeds in force, by Valhalla's own reckoning.

        Raises NoRoute (there is none), InvalidInput (no_tiles), Unavailable (see `match`).
        """
        answer = await self._asked(RouteAsk(start, end, manoeuvres))
        if answer.refused is not None:
            raise NoRoute(answer.refused)
        assert isinstance(answer.result, Route)
        return answer.result

    async def isochrone(self, start: LatLng, minutes: float) -> Isochrone:
        """The area that cars reach within so many minutes from a place. Raises as `route`."""
        answer = await self._asked(IsochroneAsk(start, minutes, self._speeds.slowdown if self._speeds else 1.0))
        if answer.refused is not None:
            raise NoRoute(answer.refused)
        assert isinstance(answer.result, Isochrone)
        return answer.result

    async def _asked(self, ask: RouteAsk | IsochroneAsk) -> Answer:
        if not self._workers:
            raise InvalidInput(
                "this city was built from CSV tables, without Valhalla: it has no routes", code="no_tiles"
            )
        return await self._ask(ask)

    def pids(self) -> list[int]:
        """Process ids of the workers that are running now."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    async def aclose(self) -> None:
        """End the workers; questions under way fail with Unavailable."""
        self._closed = True
        for worker in self._workers:
            await worker.stop()

    async def _ask(self, ask: Ask) -> Answer:
        if self._closed:
            raise Unavailable("the route workers are closed", code="routes_closed")
        if self._waiting >= self._settings.route_queue:
            raise Unavailable("too many questions wait for a route worker", code="routes_busy")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._settings.route_wait_s):
                worker = await self._idle.get()
        except TimeoutError:
            raise Unavailable("all route workers are busy", code="routes_busy") from None
        finally:
            self._waiting -= 1
        try:
            return await self._ask_twice(worker, Question(ask))
        finally:
            self._idle.put_nowait(worker)

    async def _ask_twice(self, worker: _Worker, question: Question) -> Answer:
        """A worker that dies gets one more chance: what killed it was most likely not this question."""
        for last_try in (False, True):
            try:
                return await worker.ask(question)
            except (asyncio.IncompleteReadError, OSError) as error:
                if last_try or self._closed:
                    raise Unavailable("the route worker died", code="routes_failed") from error
        raise AssertionError("unreachable")


def _trail(lat: FloatArray, lng: FloatArray, at_s: FloatArray) -> tuple[list[float], list[float], list[float]]:
    if not (len(lat) == len(lng) == len(at_s)) or not np.isfinite([lat, lng, at_s]).all():
        raise InvalidInput("a trail needs finite lat, lng and time of every ping", code="bad_trail")
    if (np.diff(at_s) < 0).any():
        raise InvalidInput("the pings of a trail must be sorted by time", code="bad_trail")
    return np.asarray(lat).tolist(), np.asarray(lng).tolist(), np.asarray(at_s).tolist()


class _Worker:
    """One child process; `process` is None while there is none."""

    def __init__(self, config: Path, speeds: str, settings: MapSettings) -> None:
        self._command = [
            sys.executable,
            "-m",
            "maps.route_worker",
            str(config),
            speeds,
            msgspec.json.encode(settings).decode(),
        ]
        self._settings = settings
        self.process: Process | None = None

    async def ask(self, question: Question) -> Answer:
        """One answer. Raises Unavailable when late, IncompleteReadError or OSError when the process dies."""
        answered = False
        try:
            if self.process is None:
                process = await self._start()
            else:
                process = self.process
            async with asyncio.timeout(self._settings.route_timeout_s):
                assert process.stdin is not None
                process.stdin.write(frame(question))
                await process.stdin.drain()
                answer = await self._read(process)
            answered = True
        except TimeoutError:
            waited = self._settings.route_timeout_s
            raise Unavailable(f"no route answer within {waited:g} s", code="routes_late") from None
        finally:
            if not answered:  # late, dead or cancelled: a later answer must not be taken for that of another question
                await self.stop()
        if answer.rss_mb > self._settings.route_worker_rss_mb:
            await self.stop()
        return answer

    async def _start(self) -> Process:
        self.process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE)
        try:
            async with asyncio.timeout(self._settings.route_start_timeout_s):
                await self._read(self.process)  # says that it is ready
        except TimeoutError:
            raise Unavailable("the route worker did not start in time", code="routes_late") from None
        except asyncio.IncompleteReadError:
            raise Unavailable("the route worker could not start", code="routes_failed") from None
        return self.process

    async def _read(self, process: Process) -> Answer:
        assert process.stdout is not None
        size = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "little")
        if size > self._settings.route_answer_bytes:
            raise OSError(f"a route answer of {size} bytes")
        return msgspec.json.decode(await process.stdout.readexactly(size), type=Answer)

    async def stop(self) -> None:
        """End the process and wait until it is gone; does nothing when there is none."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
