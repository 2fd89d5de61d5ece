"""A driver's app and its driver: pings, answers offers, drives trips to their end, comes back after every loss."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Literal

from core.geo import LatLng
from tests.simulation.history import Body, Call, Outcome
from tests.simulation.http import end
from tests.simulation.pinger import Pinger
from tests.simulation.scene import Person, Scene
from tests.simulation.violation import ACTIVE
from tests.simulation.wire import Wire

_ANSWER_S = 6.0  # for a command; then its outcome is unknown
_ACK_S = 8.0  # without any ack the connection is taken for dead
_CODE_S = 25.0  # for the rider to come
_ROAM_M = 400.0
# refusals that certainly did nothing; any other error may have come after a commit
_REFUSED = frozenset(
    {"offer_closed", "offer_expired", "not_found", "wrong_status", "wrong_start_code", "code_locked", "driver_busy"}
    | {"rider_busy", "not_approved", "forbidden", "too_many_commands", "conflict"}
)
_OVER = ("completed", "cancelled")

Judge = Callable[[Body], Literal["ok", "fail"] | None]  # a trip that was shown: what does it say of a command?


class _Command:
    """One command under way."""

    def __init__(self, type_: str, call: Call, judge: Judge) -> None:
        self.type = type_
        self.judge = judge
        self.ended = asyncio.Event()
        self._call = call

    def end(self, outcome: Outcome, **told: Any) -> None:
        """It ended, or nobody will know."""
        getattr(self._call, outcome)(**told)
        self.ended.set()


class Driver:
    """One driver; `run` until it is cancelled."""

    def __init__(self, me: Person, at: LatLng, scene: Scene, rng: random.Random) -> None:
        self.me = me
        self.trip: Body | None = None  # that the driver is on
        self._scene, self._history, self._rng = scene, scene.history, rng
        self._wire = Wire(scene.driver_url, me.token, rng)
        self._wire.heard, self._wire.lost = self._heard, self._lost
        self._pinger = Pinger(me.id, at, self._wire, scene.history)
        self._interval_s = 1.0  # until the welcome tells
        self._welcomed = False
        self._offers: set[str] = set()  # open ones
        self._command: _Command | None = None
        self._commanding = asyncio.Lock()
        self._news = asyncio.Event()
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        """Drive and serve. Raises what goes wrong in this client itself."""
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._wire.keep())
            await self._keep_pinging()

    # the app

    def _heard(self, message: Body) -> None:
        match message["type"]:
            case "ack":
                self._pinger.acked(message["seq"])
            case "welcome":
                self._welcome(message)
            case "offer":
                self._offered(message)
            case "offer_closed":
                self._offers.discard(message["offer_id"])
                self._history.news(self.me.id, "offer_closed", offer_id=message["offer_id"], reason=message["reason"])
            case "trip":
                self._see(message)
            case "error":
                self._refused(message)
        self._news.set()

    def _welcome(self, message: Body) -> None:
        """Go on where the engine stands."""
        self._wire.settled()
        self._interval_s = float(message["ping_interval_s"])
        trip, mine = message["trip"], self.trip
        self._history.news(self.me.id, "welcome", last_seq=message["last_seq"], on=trip and trip["trip_id"])
        if trip is not None:
            self._see(trip)
        elif mine is not None:  # it ended while nobody could tell; the facts say how
            self._leave(mine["trip_id"])
        self._wire.send({"type": "status", "online": True})
        self._pinger.go_on_after(message["last_seq"])
        self._welcomed = True
        self._offers.clear()
        for offer in message["offers"]:
            self._offered(offer)

    def _lost(self) -> None:
        self._welcomed = False
        self._history.news(self.me.id, "lost")
        if self._command is not None:
            self._command.end("unknown", code="connection_lost")
        self._news.set()

    def _refused(self, error: Body) -> None:
        if self._command is not None and error.get("about") == self._command.type:
            self._command.end("fail" if error["code"] in _REFUSED else "unknown", code=error["code"])

    async def _keep_pinging(self) -> None:
        habits = self._scene.habits
        await asyncio.sleep(self._rng.uniform(0, self._interval_s))
        while True:
            self._pinger.move(habits.ride_mps if self.trip else habits.roam_mps)
            if self.trip is None and self._pinger.there:
                self._pinger.goal = self._scene.near(self._rng, self._pinger.at, _ROAM_M)
            self._pinger.ping(self.trip["trip_id"] if self.trip else None, self._welcomed)
            if self._welcomed and time.monotonic() - self._pinger.acked_at > max(_ACK_S, 3 * self._interval_s):
                self._wire.drop()
            await asyncio.sleep(self._interval_s)

    # offers

    def _offered(self, offer: Body) -> None:
        offer_id, request_id = offer["offer_id"], offer["request_id"]
        self._history.news(self.me.id, "offer", offer_id=offer_id, request_id=request_id)
        if offer_id not in self._offers:
            self._offers.add(offer_id)
            self._tasks.create_task(self._answer(offer_id, request_id))

    async def _answer(self, offer_id: str, request_id: str) -> None:
        habits, mood = self._scene.habits, self._rng.random()
        await asyncio.sleep(self._rng.uniform(*habits.answer_s))
        if offer_id not in self._offers or self.trip is not None or mood < habits.ignore:
            return
        self._offers.discard(offer_id)
        if mood < habits.ignore + habits.decline:
            self._history.news(self.me.id, "decline", offer_id=offer_id)
            self._wire.send({"type": "decline", "offer_id": offer_id, "reason": "not now"})
            return
        asked = {"offer_id": offer_id, "request_id": request_id}
        await self._ask(
            "accept", asked, {"offer_id": offer_id}, lambda trip: "ok" if trip["request_id"] == request_id else None
        )

    # trips

    def _see(self, trip: Body) -> None:
        self._history.news(self.me.id, "trip", **digest(trip))
        if self._command is not None and (outcome := self._command.judge(trip)) is not None:
            self._command.end(outcome, **digest(trip))
        if trip["status"] not in ACTIVE:
            self._leave(trip["trip_id"])
            return
        known, self.trip = self.trip, trip
        if known is None or known["trip_id"] != trip["trip_id"]:
            self._tasks.create_task(self._serve(trip["trip_id"]))

    def _leave(self, trip_id: str) -> None:
        if self._on(trip_id) is not None:
            self.trip = None
            self._pinger.goal = self._pinger.at
            self._scene.codes.forget(trip_id)

    async def _serve(self, trip_id: str) -> None:
        """Step after step until the trip is over; where a step's outcome is unknown, look, and say it again."""
        gives_up = self._rng.random() < self._scene.habits.driver_cancels
        while (trip := self._on(trip_id)) is not None:
            if trip["status"] == "assigned":
                if await self._drive(trip, "pickup"):
                    await (self._cancel(trip_id, "no time") if gives_up else self._step("arrive", trip_id, "arrived"))
            elif trip["status"] == "arrived":
                if code := await self._code(trip_id):
                    await self._step("board", trip_id, "riding", start_code=code)
                elif self._on(trip_id) is not None:
                    await self._cancel(trip_id, "nobody came")
            elif await self._drive(trip, "dropoff"):
                await self._step("complete", trip_id, "completed")
            if self._unchanged(trip):
                await self._look(trip_id)

    def _on(self, trip_id: str) -> Body | None:
        return self.trip if self.trip is not None and self.trip["trip_id"] == trip_id else None

    def _unchanged(self, trip: Body) -> bool:
        now = self._on(trip["trip_id"])
        return now is not None and now["status"] == trip["status"]

    async def _drive(self, trip: Body, to: str) -> bool:
        """True once there, with every ping of the way acked or a while spent waiting; False when the trip changed."""
        self._pinger.goal = LatLng(trip[to]["lat"], trip[to]["lng"])
        mps = self._scene.habits.ride_mps
        while self._unchanged(trip) and not self._pinger.there:
            await self._hear(self._pinger.left_m / mps + 0.01)
            self._pinger.move(mps)
        until = time.monotonic() + _ANSWER_S
        while self._unchanged(trip) and not self._pinger.all_acked and time.monotonic() < until:
            await self._hear(0.5)
        return self._unchanged(trip)

    async def _code(self, trip_id: str) -> str:
        try:
            return await asyncio.wait_for(self._scene.codes.ask(trip_id), _CODE_S)
        except TimeoutError:
            return ""

    async def _look(self, trip_id: str) -> None:
        """Ask over HTTP how the trip stands: a message may have been lost."""
        await self._hear(1.0)
        call = self._history.invoke(self.me.id, "read_trip", trip_id=trip_id)
        answer = await self._scene.http.call("GET", f"/v1/trips/{trip_id}", self.me.token)
        end(call, answer, **(digest(answer.body) if answer.ok else {}))
        if answer.ok and self._on(trip_id) is not None:
            self._see(answer.body)

    async def _cancel(self, trip_id: str, reason: str) -> None:
        await self._step("cancel_trip", trip_id, "cancelled", reason=reason)

    async def _step(self, what: str, trip_id: str, status: str, **more: str) -> None:
        def judge(trip: Body) -> Literal["ok", "fail"] | None:
            if trip["trip_id"] != trip_id:
                return None
            if trip["status"] == status:
                return "ok"
            return "fail" if trip["status"] in _OVER else None

        await self._ask(what, {"trip_id": trip_id}, {"trip_id": trip_id, **more}, judge)

    # commands

    async def _ask(self, what: str, asked: Body, fields: Body, judge: Judge) -> None:
        """One command after the other, each with its end in the history."""
        async with self._commanding:
            while not self._welcomed:
                await self._hear(1.0)
            type_ = "cancel" if what == "cancel_trip" else what
            command = self._command = _Command(type_, self._history.invoke(self.me.id, what, **asked), judge)
            self._wire.send({"type": type_, **fields})
            try:
                await asyncio.wait_for(command.ended.wait(), _ANSWER_S)
            except TimeoutError:
                command.end("unknown", code="no_answer")
            self._command = None

    async def _hear(self, seconds: float) -> None:
        """Wait for any message, or so long."""
        self._news.clear()
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return


def digest(trip: Body) -> Body:
    """What the history keeps of a trip."""
    return {name: trip.get(name) for name in ("trip_id", "request_id", "rider_id", "driver_id", "status", "fare")}
