"""/v1/rider/ws: cabs around me, booking, and my trip as it goes."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import cast

from fastapi import APIRouter, WebSocket

from core.errors import Forbidden, HexcabError, InvalidInput, NotFound, Unavailable
from core.geo import LatLng
from runtime.auth import Identity
from web.auth import socket_caller
from web.connection import Connection, refuse
from web.edge import Edge, edge_of
from web.idempotency import request_id_of
from web.messages import Book, Cancel, FromRider, Watch
from web.ports import Body, RideAsk

log = logging.getLogger(__name__)
router = APIRouter()

MAX_CABS = 20
_RUNNING = ("assigned", "arrived", "riding")


@router.websocket("/rider/ws")
async def rider_socket(socket: WebSocket) -> None:
    """Serve one rider's app."""
    edge = edge_of(socket)
    try:
        rider_id = (await socket_caller(socket, "rider")).subject
        rider = RiderSocket(edge, rider_id, Connection(socket, edge.settings.web, edge.engine.wall))
        edge.engine.hub.join(rider_id, rider)
    except HexcabError as error:
        await refuse(socket, error)
        return
    try:
        await rider.serve()
    finally:
        edge.engine.hub.leave(rider_id, rider)


class RiderSocket:
    """One rider's open socket. What the hub tells before the welcome is part of the welcome."""

    def __init__(self, edge: Edge, rider_id: str, connection: Connection) -> None:
        self._engine = edge.engine
        self._settings = edge.settings.web
        self._rider_id = rider_id
        self._connection = connection
        self._welcomed = False
        self._told_early = False
        self._watched: LatLng | None = None
        self._watching = asyncio.Event()
        self._trip: Body | None = None
        self._on_trip = asyncio.Event()

    def tell(self, message: Body) -> bool:
        """Queue a message; a trip is followed from here on, until it ends."""
        if not self._welcomed:
            self._told_early = True
            return True
        if message["type"] == "trip":
            self._follow(message)
        return self._connection.tell(message)

    def close(self, code: int, reason: str) -> None:
        """Begin to close."""
        self._connection.close(code, reason)

    async def serve(self) -> None:
        """Everything from the welcome to the end."""
        await self._connection.accept()
        try:
            self._connection.tell(await self._welcome())
        except HexcabError as error:  # a store is away: come again
            self._connection.close(1013, error.code)
        await self._connection.run(self._listen(), self._show_cabs(), self._show_trip())

    async def _welcome(self) -> Body:
        request, trip = None, None
        await self._engine.hub.known(self._rider_id)
        for _ in range(5):  # what is told while the state is read may be newer than what was read
            self._told_early = False
            request = await self._engine.rides.recent_of_rider(self._rider_id, self._settings.recent_request_s)
            trip = await self._engine.trips.active_of_rider(self._rider_id)
            if not self._told_early:
                break
        self._welcomed = True
        running = None if trip is None else trip["trip_id"]
        if request is not None and request["trip_id"] not in (None, running):
            request = None  # its trip is over
        if trip is not None:
            self._follow(trip)
        return {"type": "welcome", "rider_id": self._rider_id, "request": request, "trip": trip}

    async def _listen(self) -> None:
        async for payload in self._connection.frames():
            about = None
            try:
                message = self._connection.codec.decode(payload)
                about = type(message).__struct_config__.tag
                await self._handle(message)
            except HexcabError as error:
                if isinstance(error, InvalidInput):
                    self._connection.refuse_message(error.code, error.detail, cast(str | None, about), error.more)
                else:
                    self._connection.tell({"type": "error", "code": error.code, "detail": error.detail, "about": about})
            except Exception:
                log.exception("a rider's message failed")
                self._connection.tell({"type": "error", "code": "internal", "detail": "something went wrong here"})

    async def _handle(self, message: FromRider) -> None:
        if isinstance(message, Watch):
            self._watched = LatLng(message.lat, message.lng)
            self._watching.set()
        elif isinstance(message, Book):
            self.tell({"type": "request", **await self._engine.rides.request(self._ask(message))})
        else:
            await self._cancel(message)

    def _ask(self, book: Book) -> RideAsk:
        if book.rider_id not in (None, self._rider_id):
            raise NotFound("no such rider")
        if book.mode is not None:
            raise Forbidden("only operators choose the mode")
        key = book.idempotency_key
        return RideAsk(
            rider_id=self._rider_id,
            pickup=book.pickup.place(),
            dropoff=book.dropoff.place(),
            quote_id=book.quote_id,
            vehicle_class=book.vehicle_class,
            seats=book.seats,
            request_id=request_id_of(Identity("rider", self._rider_id), self._rider_id, key) if key else None,
        )

    async def _cancel(self, cancel: Cancel) -> None:
        rides = self._engine.rides
        if (await rides.get(cancel.request_id))["rider_id"] != self._rider_id:
            raise NotFound("no such ride request")
        self.tell({"type": "request", **await rides.cancel(cancel.request_id, "rider")})

    async def _show_cabs(self) -> None:
        await self._watching.wait()
        while True:
            assert self._watched is not None
            try:
                items = list(await self._engine.cabs.near(self._watched, MAX_CABS))
            except InvalidInput as error:  # nobody can be near such a place: wait for another
                self._connection.refuse_message(error.code, error.detail, "watch")
                self._watching.clear()
                await self._watching.wait()
                continue
            except HexcabError:
                log.warning("cabs could not be shown", exc_info=True)
            else:
                self._connection.tell({"type": "cabs", "items": items})
            await self._engine.wall.sleep(self._settings.cabs_every_s)

    def _follow(self, trip: Body) -> None:
        if trip["status"] in _RUNNING:
            self._trip = trip
            self._on_trip.set()
        elif self._trip is not None and self._trip["trip_id"] == trip["trip_id"]:  # others may end late, as with a fare
            self._trip = None
            self._on_trip.clear()

    async def _show_trip(self) -> None:
        while True:
            await self._on_trip.wait()
            trip = self._trip
            if trip is not None:
                position, eta_s = await self._progress(trip)
                if trip is self._trip:  # the trip may have gone on meanwhile
                    seen = {"driver_position": position, "eta_s": eta_s}
                    self._connection.tell({**trip, **seen, "type": "trip"})
            await asyncio.gather(
                self._engine.clock.sleep(self._settings.trip_every_s),
                self._engine.wall.sleep(self._settings.trip_gap_s),
            )

    async def _progress(self, trip: Body) -> tuple[Body | None, float | None]:
        try:
            found = await self._engine.cabs.position(trip["driver_id"])
        except Unavailable:  # the trip goes on; its place is shown again once the supply is back
            found = None
        if found is None:
            return None, None
        position = {**found.at._asdict(), "heading": found.heading, "age_s": round(found.age_s, 1)}
        if trip["status"] == "arrived":
            return position, 0.0
        target = trip.get("dropoff" if trip["status"] == "riding" else "pickup")
        if target is None:
            return position, None
        try:
            seconds = (await self._engine.city.eta(found.at, LatLng(target["lat"], target["lng"]))).seconds
        except HexcabError:  # such as a driver in a yard far from every road
            return position, None
        return position, round(seconds, 1) if math.isfinite(seconds) else None
