"""A rider's app and its rider: books until there is an answer, follows the ride, sometimes calls it off."""

from __future__ import annotations

import asyncio
import random
import time

from core.geo import LatLng
from tests.simulation.driver import digest as trip_digest
from tests.simulation.history import Body, Call
from tests.simulation.http import end
from tests.simulation.scene import Person, Scene
from tests.simulation.violation import ENDED
from tests.simulation.wire import Wire

_ANSWER_S = 6.0  # for a booking by the socket; then its outcome is unknown
_SILENCE_S = 3.0  # of a ride that goes on: then the rider looks over HTTP
_AGAIN_S = (0.2, 1.5)  # before a booking without an answer is repeated
_RIDE_M = 500.0
_OVER = ("completed", "cancelled")


class Rider:
    """One rider with one ride after the other; `run` until it is cancelled."""

    def __init__(self, me: Person, scene: Scene, rng: random.Random) -> None:
        self.me = me
        self._scene, self._history, self._rng = scene, scene.history, rng
        self._wire = Wire(scene.rider_url, me.token, rng, probing=True)
        self._wire.heard, self._wire.lost = self._heard, self._lost
        self._requests: dict[str, Body] = {}  # of the present ride and those before
        self._trips: dict[str, Body] = {}  # by request
        self._booking: Call | None = None  # by the socket
        self._welcomed = False
        self._news = asyncio.Event()
        self._heard_at = 0.0  # of the present ride
        self.riding = False

    @property
    def open(self) -> list[str]:
        """Requests whose ride is not over, as far as this rider knows."""
        return [request_id for request_id in self._requests if not self._is_over(request_id)]

    async def run(self) -> None:
        """Ride whenever it is not calm. Raises what goes wrong in this client itself."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._wire.keep())
            while True:
                await asyncio.sleep(self._rng.uniform(*self._scene.habits.rest_s))
                if not self._scene.calm.is_set():
                    await self._ride()

    async def ride_once(self) -> None:
        """Connect for a single ride, see it to its end, and hang up."""
        keeping = asyncio.create_task(self._wire.keep())
        try:
            await self._ride()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _ride(self) -> None:
        self.riding = True
        habits = self._scene.habits
        pickup = self._rng.choice(self._scene.places)
        dropoff = self._scene.near(self._rng, pickup, _RIDE_M)
        await self._book(pickup, dropoff)
        if self._rng.random() < habits.greedy and self.open:
            await self._book(dropoff, pickup)
        cancel_at = float("inf")
        if self._rng.random() < habits.rider_cancels:
            cancel_at = time.monotonic() + self._rng.uniform(*habits.rider_cancels_after_s)
        while waiting := self.open:
            now = time.monotonic()
            if now >= cancel_at:
                cancel_at = float("inf")
                await self._cancel(waiting[0])
            elif now - self._heard_at >= _SILENCE_S:
                for request_id in waiting:
                    await self._look(request_id)
            await self._hear(min(_SILENCE_S, max(0.01, cancel_at - now)))
        self.riding = False

    # booking

    async def _book(self, pickup: LatLng, dropoff: LatLng) -> None:
        """Ask with one key, over whatever way, until it is answered."""
        body = {"pickup": pickup._asdict(), "dropoff": dropoff._asdict()}
        key = f"{self._rng.getrandbits(96):024x}"
        by_socket = self._welcomed and self._rng.random() < self._scene.habits.by_socket
        tries = 2 if self._rng.random() < self._scene.habits.twice else 1
        while True:
            ways = [self._by_http(body, key) for _ in range(tries)]
            if by_socket:
                ways[0].close()
                ways[0] = self._by_socket(body, key)
            if any(await asyncio.gather(*ways)):
                return
            by_socket, tries = False, 1
            await asyncio.sleep(self._rng.uniform(*_AGAIN_S))

    async def _by_http(self, body: Body, key: str) -> bool:
        call = self._history.invoke(self.me.id, "book", key=key, by="http")
        asked = {"rider_id": self.me.id, **body}
        answer = await self._scene.http.call("POST", "/v1/ride-requests", self.me.token, asked, key)
        end(call, answer, **(_digest(answer.body) if answer.ok else {}))
        if answer.ok:
            self._take(answer.body)
        return call.outcome != "unknown" and answer.status != 429

    async def _by_socket(self, body: Body, key: str) -> bool:
        call = self._booking = self._history.invoke(self.me.id, "book", key=key, by="socket")
        self._wire.send({"type": "book", **body, "idempotency_key": key})
        until = time.monotonic() + _ANSWER_S
        while call.outcome is None and time.monotonic() < until:
            await self._hear(until - time.monotonic())
        call.unknown(code="no_answer")
        self._booking = None
        return call.outcome != "unknown"

    # following

    def _is_over(self, request_id: str) -> bool:
        trip = self._trips.get(request_id)
        if trip is not None:
            return trip["status"] in _OVER
        return self._requests[request_id]["status"] in ENDED

    async def _look(self, request_id: str) -> None:
        body = await self._read("read_request", "request_id", request_id, f"/v1/ride-requests/{request_id}")
        if body is not None:
            self._take(body)
        trip_id = self._requests[request_id].get("trip_id")
        if trip_id is not None:
            trip = await self._read("read_trip", "trip_id", trip_id, f"/v1/trips/{trip_id}")
            if trip is not None:
                self._see(trip)
        self._heard_at = time.monotonic()

    async def _read(self, what: str, name: str, id_: str, path: str) -> Body | None:
        call = self._history.invoke(self.me.id, what, **{name: id_})
        answer = await self._scene.http.call("GET", path, self.me.token)
        whole = trip_digest if name == "trip_id" else _digest
        end(call, answer, **(whole(answer.body) if answer.ok else {}))
        return answer.body if answer.ok else None

    async def _cancel(self, request_id: str) -> None:
        trip = self._trips.get(request_id)
        if trip is None:
            call = self._history.invoke(self.me.id, "cancel_request", request_id=request_id)
            path = f"/v1/ride-requests/{request_id}/cancel"
        else:
            call = self._history.invoke(self.me.id, "cancel_trip", trip_id=trip["trip_id"])
            path = f"/v1/trips/{trip['trip_id']}/cancel"
        answer = await self._scene.http.call("POST", path, self.me.token)
        whole = _digest if trip is None else trip_digest
        end(call, answer, **(whole(answer.body) if answer.ok else {}))
        if answer.ok:
            (self._take if trip is None else self._see)(answer.body)

    # the app

    def _heard(self, message: Body) -> None:
        match message["type"]:
            case "welcome":
                self._welcome(message)
            case "request":
                self._history.news(self.me.id, "request", **_digest(message))
                self._take(message)
            case "trip":
                self._see_news(message)
            case "error":
                if self._booking is not None and message.get("about") == "book":
                    refused = message["code"] not in ("unavailable", "internal")
                    (self._booking.fail if refused else self._booking.unknown)(code=message["code"])
        self._news.set()

    def _welcome(self, message: Body) -> None:
        self._wire.settled()
        self._welcomed = True
        request, trip = message["request"], message["trip"]
        self._history.news(self.me.id, "welcome", on=trip and trip["trip_id"])
        if request is not None and request["request_id"] in self._requests:
            self._history.news(self.me.id, "request", **_digest(request))
            self._take(request)
        if trip is not None:
            self._see_news(trip)
        if self._scene.habits.watch:
            self._wire.send({"type": "watch", **self._scene.places[0]._asdict()})

    def _lost(self) -> None:
        self._welcomed = False
        self._heard_at = 0.0
        self._history.news(self.me.id, "lost")
        if self._booking is not None:
            self._booking.unknown(code="connection_lost")
        self._news.set()

    def _take(self, request: Body) -> None:
        """What was heard of a request; what is over stays so, as an older message may come late."""
        self._heard_at = time.monotonic()
        request_id = request["request_id"]
        known = self._requests.get(request_id)
        if known is None:
            if self._booking is not None:
                self._booking.ok(**_digest(request))
        elif known["status"] in ENDED or known.get("trip_id") is not None:
            return
        self._requests[request_id] = request

    def _see_news(self, trip: Body) -> None:
        known = self._trips.get(trip["request_id"])
        if known is None or known["status"] != trip["status"] or known.get("fare") != trip.get("fare"):
            self._history.news(self.me.id, "trip", **trip_digest(trip))  # not every message with a position
        self._see(trip)

    def _see(self, trip: Body) -> None:
        self._heard_at = time.monotonic()
        request_id = trip["request_id"]
        known = self._trips.get(request_id)
        if known is not None and known["status"] in _OVER and trip["status"] not in _OVER:
            return
        self._trips[request_id] = trip
        if trip.get("start_code") and trip["status"] not in _OVER:
            self._scene.codes.tell(trip["trip_id"], trip["start_code"])

    async def _hear(self, seconds: float) -> None:
        """Wait for any message, or so long."""
        self._news.clear()
        try:
            await asyncio.wait_for(self._news.wait(), max(0.0, seconds))
        except TimeoutError:
            return


def _digest(request: Body) -> Body:
    return {name: request.get(name) for name in ("request_id", "rider_id", "status", "trip_id")}
