"""A rider with their app: looks at the cabs around, asks the price, books, follows the trip, pays in stars."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from core.geo import LatLng
from simulator.agents.api import Api, Ask
from simulator.agents.patience import within
from simulator.agents.recorder import Body
from simulator.agents.socket import Socket
from simulator.agents.world import Person, World

_CONNECT_S = 60.0
_ANSWER_S = 30.0  # to a booking over the socket; then HTTP is asked
_POLL_S = 60.0  # of silence
_FAILED = ("no_driver", "cancelled", "expired")
_OVER = ("completed", "cancelled")


class Ride(NamedTuple):
    """From where to where."""

    pickup: LatLng
    dropoff: LatLng


class RiderAgent:
    """One rider; `ride` takes one ride at a time."""

    def __init__(self, me: Person, api: Api, world: World, rng: random.Random) -> None:
        self._me, self._api = me, api
        self._world, self._clock, self._rng = world, world.clock, rng
        self._habits = world.rider_habits
        self._socket = Socket(world.rider_socket_url(), me.token, world.clock, rng)
        self._news = asyncio.Event()
        self._welcomed = False
        self._watching: LatLng | None = None
        self._request: Body | None = None
        self._trip: Body | None = None
        self._booked: set[str] = set()

    async def ride(self, ride: Ride) -> str:
        """How it ended: completed, a status of a request that failed, `refused`, or `forgotten`."""
        self._forget()
        listening = asyncio.create_task(self._listen())
        try:
            return await self._ride(ride)
        finally:
            if self._trip is not None:
                self._world.codes.forget(self._trip["trip_id"])
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            self._lost()

    async def _ride(self, ride: Ride) -> str:
        await self._until(lambda: self._welcomed, _CONNECT_S)
        if self._running():  # of an earlier time: see it through first
            await self._follow(None)
            self._forget()
        self._watching = ride.pickup
        await self._watch()
        await self._clock.sleep(self._rng.uniform(*self._habits.look_s))
        if (request_id := await self._book(ride)) is None:
            return "refused"
        cancel = self._rng.random() < self._habits.cancel
        after_s = self._rng.uniform(*self._habits.cancel_after_s)
        ended = await self._follow(self._clock.now() + after_s if cancel else None)
        if ended == "completed" and self._trip is not None and self._rng.random() < self._habits.rate:
            stars = self._rng.choices((5, 4, 3, 2, 1), (70, 20, 6, 2, 2))[0]
            await self._call("POST", f"/v1/trips/{self._trip['trip_id']}/rate", {"stars": stars})
        self._booked.discard(request_id)
        return ended

    # booking

    async def _book(self, ride: Ride) -> str | None:
        """The id of the acknowledged request; the same key over both ways makes it one request, however often asked."""
        ends = {"pickup": ride.pickup._asdict(), "dropoff": ride.dropoff._asdict()}
        quoted = await self._create("/v1/quotes", ends, self._api.new_key())
        if quoted is None:
            return None
        wanted, key = {**ends, "quote_id": quoted["quote_id"]}, self._api.new_key()
        if self._rng.random() < self._habits.by_socket:
            await self._say(type="book", **wanted, idempotency_key=key)
            await self._until(lambda: self._request is not None, _ANSWER_S)
            if self._request is not None:
                return str(self._request["request_id"])
        made = await self._create("/v1/ride-requests", {"rider_id": self._me.id, **wanted}, key)
        if made is None:
            return None
        if self._request is None:
            self._see_request(made)
        return str(made["request_id"])

    async def _create(self, path: str, body: Body, key: str) -> Body | None:
        answer = await self._api.call(Ask("POST", path, self._me.token, body, key))
        if not answer.ok:
            self._refused(answer.code, str(answer.body.get("detail", "")))
            return None
        return answer.body

    async def _call(self, method: str, path: str, body: Body | None = None) -> Body | None:
        answer = await self._api.call(Ask(method, path, self._me.token, body), _POLL_S)
        if not answer.ok:
            self._refused(answer.code, str(answer.body.get("detail", "")))
            return None
        return answer.body

    # following

    async def _follow(self, cancel_at: float | None) -> str:
        """Watch until the request or its trip is over; ask over HTTP when the socket is silent."""
        forget_at = self._clock.now() + self._habits.patience_s
        while (now := self._clock.now()) < forget_at:
            if (ended := self._ended()) is not None:
                return ended
            if cancel_at is not None and now >= cancel_at:
                cancel_at = None
                await self._cancel()
                continue
            self._news.clear()
            wait_s = _POLL_S if cancel_at is None else min(_POLL_S, cancel_at - now)
            if await within(self._clock, wait_s, self._news.wait()) is None:
                await self._poll()
        return "forgotten"

    def _ended(self) -> str | None:
        if self._trip is not None:
            return str(self._trip["status"]) if self._trip["status"] in _OVER else None
        if self._request is not None and self._request["status"] in _FAILED:
            return str(self._request["status"])
        return None

    def _running(self) -> bool:
        return (self._request is not None or self._trip is not None) and self._ended() is None

    async def _poll(self) -> None:
        if self._request is not None and self._trip is None:
            body = await self._call("GET", f"/v1/ride-requests/{self._request['request_id']}")
            if body is not None:
                self._see_request(body)
        trip_id = (self._trip or self._request or {}).get("trip_id")
        if trip_id is not None:
            body = await self._call("GET", f"/v1/trips/{trip_id}")
            if body is not None:
                self._see_trip(body)

    async def _cancel(self) -> None:
        """Call it off, unless already on board."""
        if self._trip is not None:
            if self._trip["status"] != "riding":
                path = f"/v1/trips/{self._trip['trip_id']}/cancel"
                body = await self._call("POST", path, {"reason": "changed my mind"})
                if body is not None and "trip_id" in body:
                    self._see_trip(body)
        elif self._request is not None:
            await self._say(type="cancel", request_id=self._request["request_id"])

    # the app

    async def _listen(self) -> None:
        await self._socket.serve(self._heard, self._lost, self._refused)

    async def _heard(self, message: Body) -> None:
        match message["type"]:
            case "welcome":
                self._welcomed = True
                self._world.recorder.connected("rider", self._me.id)
                request = message.get("request")
                if request is not None and (self._request is not None or request["status"] not in _FAILED):
                    self._see_request(request)  # before the booking, one that failed is of an earlier ride
                if message.get("trip") is not None:
                    self._see_trip(message["trip"])
                self._news.set()
                await self._watch()
            case "request":
                self._see_request(message)
            case "trip":
                self._see_trip(message)
            case "error":
                self._refused(message["code"], message["detail"])

    def _lost(self) -> None:
        if self._welcomed:
            self._welcomed = False
            self._world.recorder.disconnected("rider", self._me.id)

    def _see_request(self, request: Body) -> None:
        request_id = request["request_id"]
        if self._request is not None and self._request["request_id"] != request_id:
            return  # an earlier ride
        if self._trip is not None and self._trip["request_id"] != request_id:
            self._trip = None
        self._request = request
        if request["request_id"] not in self._booked:
            self._booked.add(request["request_id"])
            self._world.recorder.booked(self._me.id, request["request_id"])
        self._world.recorder.request_seen(self._me.id, request)
        self._news.set()

    def _forget(self) -> None:
        self._request = self._trip = None

    def _see_trip(self, trip: Body) -> None:
        if self._request is not None and trip["request_id"] != self._request["request_id"]:
            return
        self._trip = trip
        if trip.get("start_code") and trip["status"] not in _OVER:
            self._world.codes.tell(trip["trip_id"], trip["start_code"])
        self._world.recorder.trip_seen("rider", self._me.id, trip)
        self._news.set()

    async def _watch(self) -> None:
        if self._watching is not None and not self._running():
            await self._say(type="watch", lat=self._watching.lat, lng=self._watching.lng)

    def _refused(self, code: str, detail: str) -> None:
        self._world.recorder.refused("rider", self._me.id, code, detail)

    async def _say(self, **message: Any) -> bool:
        return await self._socket.send(msgspec.json.encode(message))

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until it holds, or so many engine seconds."""
        until = self._clock.now() + seconds
        while not holds() and (left_s := until - self._clock.now()) > 0:
            self._news.clear()
            await within(self._clock, left_s, self._news.wait())
