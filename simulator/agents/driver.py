"""A driver's app and the driver who holds it: drives, pings, answers offers, carries riders, drops out, comes back."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Any

import msgspec

from core.errors import InvalidInput
from core.geo import LatLng, haversine_m
from simulator.agents.motion import Motion
from simulator.agents.patience import within
from simulator.agents.recorder import Body
from simulator.agents.socket import Socket
from simulator.agents.world import Person, World

_BUFFER = 1_000  # pings that are not acknowledged yet; the oldest are given up
_BATCH = 200
_SAY_AGAIN_S = 15.0
_TRIES = 5
_ROAM_DRAWS = 4
_OVER = ("completed", "cancelled")


class Position(msgspec.Struct, gc=False):
    """One item of `pings`, and all of `ping` but its type."""

    seq: int
    ts: int
    lat: float
    lng: float
    heading: float
    speed: float
    accuracy: float


class DriverAgent:
    """One driver; `run` until it is cancelled."""

    def __init__(self, me: Person, start: LatLng, world: World, rng: random.Random) -> None:
        self._me = me
        self._world, self._clock, self._rng = world, world.clock, rng
        self._habits = world.driver_habits
        self._socket = Socket(world.driver_socket_url(), me.token, world.clock, rng)
        self._motion = Motion.standing(start)
        self._rest_until = self._clock.now() + rng.uniform(0, self._habits.rest_s)
        self._interval_s = 5.0  # until the welcome tells
        self._seq = 0
        self._unacked: deque[Position] = deque(maxlen=_BUFFER)
        self._welcomed = False
        self._offers: dict[str, Body] = {}  # open ones
        self._trip: Body | None = None
        self._trip_changed = asyncio.Event()
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        """Drive and serve."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._keep_pinging())
                self._tasks.create_task(self._drop_out_sometimes())
                await self._socket.serve(self._heard, self._lost, self._refused)
        finally:
            self._lost()

    # the app

    async def _heard(self, message: Body) -> None:
        match message["type"]:
            case "ack":
                self._acked(message["seq"])
            case "welcome":
                await self._welcome(message)
            case "offer":
                self._offered(message)
            case "offer_closed":
                self._offers.pop(message["offer_id"], None)
            case "trip":
                self._see_trip(message)
            case "error":
                self._refused(message["code"], message["detail"])

    async def _welcome(self, message: Body) -> None:
        """Go on where the engine stands: its sequence number, the trip, the offers, and the pings it has not seen."""
        self._interval_s = float(message["ping_interval_s"])
        self._acked(message["last_seq"])
        self._seq = max(self._seq, message["last_seq"])
        self._offers.clear()
        if message["trip"] is not None:
            self._see_trip(message["trip"])
        elif self._trip is not None:  # it ended while nobody could tell us
            self._end_trip()
        await self._say(type="status", online=True)
        sent = message["last_seq"]
        while unsent := [ping for ping in self._unacked if ping.seq > sent][:_BATCH]:  # it grows meanwhile
            if not await self._say(type="pings", items=unsent):
                return
            sent = unsent[-1].seq
        self._welcomed = True
        self._world.recorder.connected("driver", self._me.id)
        for offer in message["offers"]:
            self._offered(offer)

    def _lost(self) -> None:
        if self._welcomed:
            self._welcomed = False
            self._world.recorder.disconnected("driver", self._me.id)

    def _acked(self, seq: int) -> None:
        while self._unacked and self._unacked[0].seq <= seq:
            self._unacked.popleft()
        self._world.recorder.acked(self._me.id, seq)

    def _refused(self, code: str, detail: str) -> None:
        self._world.recorder.refused("driver", self._me.id, code, detail)

    async def _say(self, **message: Any) -> bool:
        return await self._socket.send(msgspec.json.encode(message))

    async def _keep_pinging(self) -> None:
        await self._clock.sleep(self._rng.uniform(0, self._interval_s))  # or all drivers would ping at once
        while True:
            now = self._clock.now()
            if self._trip is None and now >= self._motion.ends_at and now >= self._rest_until:
                self._roam(now)
            here, heading, speed_mps = self._motion.seen(now)
            self._seq += 1
            position = Position(
                self._seq,
                int(now * 1000),
                round(here.lat, 6),
                round(here.lng, 6),
                round(heading, 1) % 360,
                round(speed_mps, 1),
                5.0,
            )
            self._unacked.append(position)
            if self._welcomed:  # before that, it waits for the welcome among the buffered
                await self._socket.send(b'{"type":"ping",' + msgspec.json.encode(position)[1:])
            await self._clock.sleep(self._interval_s)

    async def _drop_out_sometimes(self) -> None:
        while True:
            await self._clock.sleep(self._rng.expovariate(1 / self._habits.drop_out_every_s))
            self._socket.drop(self._rng.uniform(*self._habits.away_s))

    # the driver

    def _roam(self, now: float) -> None:
        """Drive to the nearest of a few random places, then rest."""
        here = self._motion.seen(now).at
        goals = [self._world.place(self._rng) for _ in range(_ROAM_DRAWS)]
        self._drive_to(min(goals, key=lambda goal: haversine_m(here, goal)), now)
        self._rest_until = self._motion.ends_at + self._rng.expovariate(1 / self._habits.rest_s)

    def _drive_to(self, goal: LatLng, now: float) -> bool:
        here, heading, _ = self._motion.seen(now)
        try:
            self._motion = Motion(self._world.path(here, goal), now)
        except InvalidInput:  # no road leads there
            self._motion = Motion.standing(here, heading)
            self._rest_until = now + self._habits.rest_s
            return False
        return True

    def _offered(self, offer: Body) -> None:
        self._world.recorder.offered(self._me.id, offer)
        if offer["offer_id"] not in self._offers:
            self._offers[offer["offer_id"]] = offer
            self._tasks.create_task(self._answer(offer["offer_id"]))

    async def _answer(self, offer_id: str) -> None:
        mood = self._rng.random()
        await self._clock.sleep(self._rng.uniform(*self._habits.answer_s))
        if self._offers.pop(offer_id, None) is None or mood < self._habits.ignore:
            return
        if self._trip is not None or mood < self._habits.ignore + self._habits.decline:
            await self._say(type="decline", offer_id=offer_id, reason="not now")
            return
        self._world.recorder.accepting(self._me.id, offer_id)
        await self._say(type="accept", offer_id=offer_id)

    def _see_trip(self, trip: Body) -> None:
        self._world.recorder.trip_seen("driver", self._me.id, trip)
        mine = self._trip is not None and self._trip["trip_id"] == trip["trip_id"]
        if trip["status"] in _OVER:
            if mine:
                self._end_trip()
            return
        self._trip = trip
        self._trip_changed.set()
        if not mine:
            self._tasks.create_task(self._serve(trip["trip_id"]))

    def _end_trip(self) -> None:
        now = self._clock.now()
        here, heading, _ = self._motion.seen(now)
        self._motion = Motion.standing(here, heading)
        self._rest_until = now + self._rng.expovariate(1 / self._habits.rest_s)
        if self._trip is not None:
            self._world.codes.forget(self._trip["trip_id"])
        self._trip = None
        self._trip_changed.set()

    async def _serve(self, trip_id: str) -> None:
        """Take step after step until the engine says that the trip is over; say a step again if nothing follows."""
        said, before = 0, ""
        while self._trip is not None and self._trip["trip_id"] == trip_id:
            trip, status = self._trip, str(self._trip["status"])
            said, before = said if status == before else 0, status
            if said >= _TRIES and status != "riding":
                await self._say(type="cancel", trip_id=trip_id, reason="it does not go on")
            elif status == "assigned":
                await self._drive(trip, "pickup")
                said += await self._say_if(trip, type="arrive", trip_id=trip_id)
            elif status == "arrived":
                said += await self._board(trip)
            else:
                await self._drive(trip, "dropoff")
                said += await self._say_if(trip, type="complete", trip_id=trip_id)
            await self._while_unchanged(trip, _SAY_AGAIN_S)

    async def _drive(self, trip: Body, end: str) -> None:
        """Drive there; a goal that no road leads to counts as reached at its nearest."""
        goal = LatLng(trip[end]["lat"], trip[end]["lng"])
        if self._drive_to(goal, self._clock.now()):
            while self._unchanged(trip) and (left_s := self._motion.ends_at - self._clock.now()) > 0:
                await self._while_unchanged(trip, left_s)

    async def _board(self, trip: Body) -> bool:
        patience_s, trip_id = self._habits.patience_at_pickup_s, trip["trip_id"]
        code = await within(self._clock, patience_s, self._world.codes.ask(trip_id))
        if not code:
            return await self._say_if(trip, type="cancel", trip_id=trip_id, reason="the rider did not come")
        return await self._say_if(trip, type="board", trip_id=trip_id, start_code=code)

    async def _say_if(self, trip: Body, **message: Any) -> bool:
        return self._unchanged(trip) and await self._say(**message)

    def _unchanged(self, trip: Body) -> bool:
        now = self._trip
        return now is not None and now["trip_id"] == trip["trip_id"] and now["status"] == trip["status"]

    async def _while_unchanged(self, trip: Body, seconds: float) -> None:
        """Wait until the trip has another status, or so many engine seconds."""
        until = self._clock.now() + seconds
        while self._unchanged(trip) and (left_s := until - self._clock.now()) > 0:
            self._trip_changed.clear()
            await within(self._clock, left_s, self._trip_changed.wait())
