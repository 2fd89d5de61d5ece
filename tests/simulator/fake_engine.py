"""A tiny engine that speaks the outside contract, for the agents' tests: a request goes to one driver after another."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import Any

import httpx
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Body = dict[str, Any]

WS_PING_S = 5.0
START_CODE = "4711"


class FakeEngine:
    """State survives `stop` and `start`, as an engine's stores do. `down` makes HTTP fail as well."""

    def __init__(self) -> None:
        self.drivers: dict[str, ServerConnection] = {}
        self.riders: dict[str, ServerConnection] = {}
        self.pings: dict[str, list[Body]] = {}
        self.last_seq: dict[str, int] = {}
        self.keys: dict[str, Body] = {}
        self.requests: dict[str, Body] = {}
        self.trips: dict[str, Body] = {}
        self.offers: dict[str, Body] = {}
        self.said: list[tuple[str, Body]] = []
        self.calls: list[tuple[str, str]] = []
        self.down = False
        self.lose_answers = 0  # so many HTTP answers get lost on the way after the work was done
        self.port = 0
        self._server: Server | None = None
        self._people = 0
        self._offer_numbers = itertools.count(1)

    async def start(self) -> None:
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, subprotocols=["hexcab.v1.json"], close_timeout=0.2
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        self.down = False

    async def stop(self) -> None:
        self.down = True
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    # sockets

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        scope, subject = socket.request.headers["Authorization"].removeprefix("Bearer ").split(":")
        assert socket.request.path == f"/v1/{scope}/ws"
        try:
            if scope == "driver":
                await self._driver(subject, socket)
            else:
                await self._rider(subject, socket)
        except ConnectionClosed:
            pass
        finally:
            people = self.drivers if scope == "driver" else self.riders
            if people.get(subject) is socket:
                del people[subject]

    async def _driver(self, driver_id: str, socket: ServerConnection) -> None:
        self.drivers[driver_id] = socket
        trip = next((trip for trip in self.trips.values() if self._active(trip, driver_id)), None)
        offers = [offer for offer in self.offers.values() if offer["driver_id"] == driver_id]
        await self._tell(
            socket,
            type="welcome",
            driver_id=driver_id,
            last_seq=self.last_seq.get(driver_id, 0),
            ping_interval_s=WS_PING_S,
            trip=trip,
            offers=offers,
        )
        async for payload in socket:
            assert isinstance(payload, str)
            message = json.loads(payload)
            if message["type"] in ("ping", "pings"):
                for item in message.get("items", [message]):
                    self.pings.setdefault(driver_id, []).append(item)
                    self.last_seq[driver_id] = max(self.last_seq.get(driver_id, 0), item["seq"])
                await self._tell(socket, type="ack", seq=self.last_seq[driver_id])
            else:
                self.said.append((driver_id, message))
                await self._obey(driver_id, message)

    async def _rider(self, rider_id: str, socket: ServerConnection) -> None:
        self.riders[rider_id] = socket
        latest = next((r for r in reversed(self.requests.values()) if r["rider_id"] == rider_id), None)
        request = None if latest is None or latest["trip_id"] else latest  # open, or ended lately
        trip = next((trip for trip in self.trips.values() if self._active(trip, rider_id)), None)
        shown = {**trip, "start_code": START_CODE} if trip else None
        await self._tell(socket, type="welcome", rider_id=rider_id, request=request, trip=shown)
        async for payload in socket:
            message = json.loads(payload)
            self.said.append((rider_id, message))
            if message["type"] == "book":
                request = self._book(rider_id, message, message["idempotency_key"])
                await self._tell(socket, type="request", **request)
                await self.offer(request["request_id"])
            elif message["type"] == "cancel":
                request = self.requests[message["request_id"]]
                request["status"] = "cancelled"
                await self._tell(socket, type="request", **request)

    async def offer(self, request_id: str) -> None:
        """Offer the request to a driver who has no trip."""
        request = self.requests[request_id]
        for driver_id, socket in self.drivers.items():
            if not any(self._active(trip, driver_id) for trip in self.trips.values()):
                offer_id = f"off{next(self._offer_numbers)}"
                self.offers[offer_id] = {
                    "offer_id": offer_id,
                    "request_id": request_id,
                    "driver_id": driver_id,
                    "pickup": request["pickup"],
                    "dropoff": request["dropoff"],
                }
                await self._tell(socket, type="offer", **self.offers[offer_id])
                return

    async def _obey(self, driver_id: str, message: Body) -> None:
        if message["type"] == "accept":
            offer = self.offers.pop(message["offer_id"])
            request = self.requests[offer["request_id"]]
            trip = {
                "trip_id": f"trip{len(self.trips) + 1}",
                "request_id": request["request_id"],
                "rider_id": request["rider_id"],
                "driver_id": driver_id,
                "status": "assigned",
                "pickup": request["pickup"],
                "dropoff": request["dropoff"],
            }
            self.trips[trip["trip_id"]] = trip
            request.update(status="assigned", trip_id=trip["trip_id"])
            await self.tell_trip(trip)
        elif message["type"] == "decline":
            request_id = self.offers.pop(message["offer_id"])["request_id"]
            await self.offer(request_id)
        elif message["type"] in ("arrive", "board", "complete", "cancel"):
            trip = self.trips[message["trip_id"]]
            if message["type"] == "board" and message["start_code"] != START_CODE:
                await self._tell(self.drivers[driver_id], type="error", code="wrong_start_code", detail="no")
                return
            steps = {"arrive": "arrived", "board": "riding", "complete": "completed", "cancel": "cancelled"}
            trip["status"] = steps[message["type"]]
            await self.tell_trip(trip)

    async def tell_trip(self, trip: Body) -> None:
        """Tell both sides how the trip stands."""
        if trip["driver_id"] in self.drivers:
            await self._tell(self.drivers[trip["driver_id"]], type="trip", **trip)
        if trip["rider_id"] in self.riders:
            await self._tell(self.riders[trip["rider_id"]], type="trip", **trip, start_code=START_CODE)

    @staticmethod
    def _active(trip: Body, who: str) -> bool:
        return who in (trip["driver_id"], trip["rider_id"]) and trip["status"] not in ("completed", "cancelled")

    @staticmethod
    async def _tell(socket: ServerConnection, **message: Any) -> None:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(json.dumps(message))

    # HTTP

    def transport(self) -> httpx.MockTransport:
        """The HTTP side."""
        return httpx.MockTransport(self._http)

    async def _http(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        if self.down:
            raise httpx.ConnectError("down", request=request)
        scope, subject = request.headers["Authorization"].removeprefix("Bearer ").split(":")
        body = json.loads(request.content) if request.content else {}
        path, key = request.url.path, request.headers.get("Idempotency-Key")
        self.calls.append((request.method, path))
        answer = await self._answer(scope, subject, (request.method, path), body, key)
        if self.lose_answers > 0:
            self.lose_answers -= 1
            raise httpx.ReadError("lost", request=request)
        return answer

    async def _answer(
        self, scope: str, subject: str, call: tuple[str, str], body: Body, key: str | None
    ) -> httpx.Response:
        match call[0], call[1].split("/")[2:]:
            case "POST", [("riders" | "drivers") as kind]:
                assert scope == "ops"
                if key not in self.keys:
                    self._people += 1
                    self.keys[str(key)] = {f"{kind[:-1]}_id": f"{kind[:3]}{self._people}"}
                return httpx.Response(201, json=self.keys[str(key)])
            case "PATCH", ["riders", _]:
                return httpx.Response(200, json={})
            case "POST", ["quotes"]:
                return httpx.Response(201, json={"quote_id": "quo1"})
            case "POST", ["ride-requests"]:
                fresh = key not in self.keys
                request = self._book(subject, body, str(key))
                if fresh:
                    await self.offer(request["request_id"])
                return httpx.Response(201, json=request)
            case "GET", ["ride-requests", request_id]:
                return httpx.Response(200, json=self.requests[request_id])
            case "GET", ["trips", trip_id]:
                return httpx.Response(200, json={**self.trips[trip_id], "start_code": START_CODE})
            case "POST", ["trips", trip_id, "cancel"]:
                self.trips[trip_id]["status"] = "cancelled"
                await self.tell_trip(self.trips[trip_id])
                return httpx.Response(200, json=self.trips[trip_id])
            case "POST", ["trips", _, "rate"]:
                return httpx.Response(200, json={})
        return httpx.Response(404, json={"code": "not_found", "detail": call[1]})

    def _book(self, rider_id: str, body: Body, key: str) -> Body:
        if key not in self.keys:
            request_id = f"req{len(self.requests) + 1}"
            self.keys[key] = self.requests[request_id] = {
                "request_id": request_id,
                "rider_id": rider_id,
                "status": "searching",
                "trip_id": None,
                "pickup": body["pickup"],
                "dropoff": body["dropoff"],
            }
        return self.keys[key]
